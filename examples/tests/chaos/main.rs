//! Three nodes, a PostgreSQL server of their own and a provider that outlives them all, under every sort
//! of trouble at once.
//!
//! `CHAOS_SEED` repeats the choices of a run, `CHAOS_MINUTES` makes it long, `CHAOS_JOBS` sets how many
//! jobs there are at least. A long run:
//!
//! ```sh
//! CHAOS_MINUTES=60 cargo nextest run -p beacon-jobs-examples --profile long --no-capture -E 'binary(chaos)'
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::future_not_send,
    clippy::print_stdout,
    reason = "a test's panic is its verdict, and it waits for the real machine"
)]

mod chance;
mod cluster;
mod islet;
mod judge;
mod ledger;
mod node;
#[path = "../support/provider.rs"]
mod provider;
#[path = "../support/server.rs"]
mod server;
#[path = "../runner/support.rs"]
#[allow(dead_code, reason = "it serves another test binary too")]
mod support;
mod trouble;

use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};

use crate::chance::Chance;
use crate::trouble::Trouble;

/// How long trouble is made for at least: in the ordinary test run, all must be over in 3 minutes.
const ORDINARY: Duration = Duration::from_secs(60);
const JOBS: usize = 200;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_of_many_nodes_loses_nothing_and_leaves_nothing_alive() {
    let chance = Chance::new();
    let time = number("CHAOS_MINUTES").map_or(ORDINARY, |minutes| Duration::from_secs(minutes * 60));
    let jobs = number("CHAOS_JOBS").map_or(JOBS, |jobs| usize::try_from(jobs).unwrap());
    let end = SystemClock.now() + time;
    let mut trouble = Trouble::new(chance).await;
    while SystemClock.now() < end || trouble.submitted() < jobs {
        trouble.next().await;
    }
    trouble.heal().await;
    trouble.reckon().await;
}
