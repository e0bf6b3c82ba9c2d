//! The stand-in provider: its executor through the executor suite, its misbehaviour, and its log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's panic is its verdict")]

mod conformance;
mod faults;
mod record;
