//! The Modal executor in a real runner, against the fake control plane: what goes wrong, and what is
//! said of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's panic is its verdict")]

mod bed;
mod config;
mod errors;
mod hostile;
mod secrets;
mod submit;
mod watch;
mod web;
