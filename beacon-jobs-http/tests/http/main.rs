//! The API, driven through its router as a client would, and over a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod audit;
mod auth;
mod cancel;
mod cancel_many;
mod config;
mod events;
mod faults;
mod foreign_loop;
mod health;
mod limits;
mod list;
#[cfg(feature = "openapi")]
mod openapi;
mod order;
mod rate;
mod refusals;
mod secrets;
mod show;
mod socket;
mod sqlite;
mod submit;
mod support;
mod wait;
#[cfg(feature = "wallet")]
mod wallet;
