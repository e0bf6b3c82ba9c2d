//! The real runner, its real client and real child processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::future_not_send,
    reason = "a test's panic is its verdict, and it waits for the real machine"
)]

mod beacon_v1;
mod chaos;
mod children;
mod client;
mod demo;
mod modal;
mod nodes;
mod points;
mod postgres;
#[path = "../support/provider.rs"]
mod provider;
mod refusals;
mod serve;
#[path = "../support/server.rs"]
mod server;
mod support;
mod wallet;
mod watchers;
