//! The Golem executor in a real runner, against the fake daemon: what goes wrong, and what is said of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's panic is its verdict")]

mod bed;
mod errors;
mod fuzz;
mod hostile;
mod money;
mod progress;
#[path = "../scenarios/mod.rs"]
mod scenarios;
mod secrets;
mod shared;
mod submit;
mod watch;
