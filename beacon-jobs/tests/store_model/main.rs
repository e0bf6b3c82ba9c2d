//! Random operations on the memory store and on SQLite, or Postgres, give the same answers and leave
//! the same state. The memory store is the model: it is small, and its rows are always loaded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's panic is its verdict")]

#[path = "../support/postgres.rs"]
mod server;

mod known;
mod ops;
mod pair;
mod stores;

use std::sync::Arc;

use beacon_jobs::conformance::ManualClock;
use proptest::prelude::*;

use ops::ops;
use pair::Pair;
use stores::{Postgres, Time, sqlite};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_sqlite_agree(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let clock = Arc::new(ManualClock::new());
            let (store, _folder) = sqlite(&clock).await;
            Pair::new(store, Time::Manual(clock)).await.run(&ops).await;
        });
    }
}

#[test]
fn memory_and_postgres_agree() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let postgres = runtime.block_on(Postgres::new());
    let config = ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() };
    proptest!(config, |(ops in ops())| {
        runtime.block_on(async {
            let time = postgres.clear().await;
            Pair::new(Arc::clone(&postgres.store), time).await.run(&ops).await;
        });
    });
}
