//! Many nodes on one store, in one process and on a clock that jumps, with everything that can go
//! wrong drawn from a seed; the promises are checked after each step, and again after healing.
//!
//! - `SEED=7 cargo nextest run -p beacon-jobs --all-features --run-ignored only --no-capture -E 'test(one_seed)'`
//!   plays one seed and prints what happened.
//! - `SEEDS=0..100000` plays these instead; `SIMULATION_SEEDS=100000` makes the usual parts longer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::future_not_send,
    unreachable_pub,
    missing_docs,
    reason = "a test's panic is its verdict, and this is the clock that the others are given"
)]

mod checks;
mod executor;
mod faulty_store;
mod log;
mod mutations;
mod node;
mod provider;
mod rng;
mod runs;
mod script;
mod sources;
mod world;
