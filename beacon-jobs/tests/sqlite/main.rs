//! What only the SQLite store has: its file, its writer, and its place in a host program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bed;
mod durability;
mod faults;
mod host;
mod open;
mod speed;
mod writer;
