//! What only the SQLite store has: its file, its writer, and its place in a host program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::future_not_send,
    reason = "a test's panic is its verdict, and it waits for the real machine"
)]

mod bed;
mod durability;
mod faults;
mod host;
mod open;
mod speed;
#[path = "../support/bed.rs"]
mod store_bed;
mod writer;
