//! What only the Postgres store has: its server, its races between nodes, its connections, and its
//! place in a host program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::future_not_send,
    reason = "a test's panic is its verdict, and it waits for the real machine"
)]

mod bed;
mod connections;
mod growth;
mod hints;
mod host;
mod many;
mod open;
mod proxy;
mod races;
#[path = "../support/postgres.rs"]
mod server;
#[path = "../support/bed.rs"]
mod store_bed;
