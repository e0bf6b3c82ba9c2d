//! A provider for tests and benches: a small HTTP server that runs "compute" until it is really
//! stopped, whoever waits for it, and the [`Executor`](beacon_jobs::executor::Executor) for it.
//!
//! Nothing computes there; work is *alive* from its begin until its own time is over or it was really
//! ended. What was alive when, and who asked for what, stands in a log that a test can
//! [judge](Record). The server can be made to misbehave in the ways in which providers do:
//! see [`Faults`].

mod client;
mod executor;
mod floor;
mod mortal;
mod points;
mod record;
mod server;
mod wire;

pub use client::{CallError, Client};
pub use executor::{Kind, StandInExecutor};
pub use floor::Floor;
pub use points::{Point, Points};
pub use record::{Life, Record};
pub use server::{Door, Server, router, serve};
pub use wire::{Create, Entry, Event, Faults, Input, Look, State, WhenTold, Work};
