//! Every store of this crate, through the store suite.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::future_not_send,
    reason = "a test's panic is its verdict, and it waits for the real machine"
)]

use std::sync::Arc;

use beacon_jobs::conformance::{HookedStore, ManualClock, StoreHarness, StoreHooks, Time};
use beacon_jobs::store::postgres::{PostgresStore, PostgresStoreOptions};
use beacon_jobs::store::sqlite::{SqliteStore, SqliteStoreOptions};
use beacon_jobs::store::{JobStore, MemoryStore};
use beacon_jobs::store_conformance;

#[path = "support/postgres.rs"]
mod server;

struct Memory;

impl StoreHarness for Memory {
    type Store = MemoryStore;
    type Guard = MemoryStore;

    async fn start(&self, clock: Arc<ManualClock>) -> (MemoryStore, MemoryStore) {
        let store = MemoryStore::with_clock(clock);
        (store.clone(), store)
    }

    async fn reopen(&self, guard: &MemoryStore, _: Arc<ManualClock>) -> Option<MemoryStore> {
        Some(guard.clone())
    }
}

mod memory {
    use super::*;
    store_conformance!(Memory, require = [many_nodes, signals]);
}

/// A store behind a pointer, which goes by a clock of its own.
struct Dyn;

impl StoreHarness for Dyn {
    type Store = Arc<dyn JobStore>;
    type Guard = ();

    async fn start(&self, _: Arc<ManualClock>) -> (Arc<dyn JobStore>, ()) {
        (Arc::new(MemoryStore::new()), ())
    }

    fn time(&self) -> Time {
        Time::Real
    }
}

mod dyn_store {
    use super::*;
    store_conformance!(Dyn, require = [many_nodes, signals]);
}

/// Hooks that do nothing.
struct Idle;

impl StoreHooks for Idle {}

struct Hooked;

impl StoreHarness for Hooked {
    type Store = HookedStore<MemoryStore, Arc<Idle>>;
    type Guard = ();

    async fn start(&self, clock: Arc<ManualClock>) -> (Self::Store, ()) {
        (HookedStore::new(MemoryStore::with_clock(clock), Arc::new(Idle)), ())
    }
}

mod hooked {
    use super::*;
    store_conformance!(Hooked, require = [many_nodes, signals]);
}

struct Sqlite;

impl Sqlite {
    async fn open(folder: &tempfile::TempDir, clock: Arc<ManualClock>) -> SqliteStore {
        let options = SqliteStoreOptions::new().with_clock(clock);
        let store = options.open(folder.path().join("beacon.db")).await.unwrap();
        store.migrate().await.unwrap();
        store
    }
}

impl StoreHarness for Sqlite {
    type Store = SqliteStore;
    type Guard = tempfile::TempDir;

    async fn start(&self, clock: Arc<ManualClock>) -> (SqliteStore, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Self::open(&folder, clock).await, folder)
    }

    async fn reopen(&self, folder: &tempfile::TempDir, clock: Arc<ManualClock>) -> Option<SqliteStore> {
        Some(Self::open(folder, clock).await)
    }
}

mod sqlite {
    use super::*;
    store_conformance!(Sqlite, require = [signals, reopen]);
}

/// A schema of its own for each case, on the server of the test run.
struct Postgres {
    is_pooled: bool,
    notifies: bool,
}

impl Postgres {
    async fn open(&self, schema: &str) -> PostgresStore {
        let options = PostgresStoreOptions::new()
            .with_schema(schema)
            .unwrap()
            .with_notifications(self.notifies)
            .with_transaction_pooling(self.is_pooled);
        let url = if self.is_pooled { server::pooling_url() } else { server::url() };
        let store = options.open(&url).await.unwrap();
        store.migrate().await.unwrap();
        store
    }
}

impl StoreHarness for Postgres {
    type Store = PostgresStore;
    type Guard = String;

    async fn start(&self, _: Arc<ManualClock>) -> (PostgresStore, String) {
        let schema = server::schema();
        (self.open(&schema).await, schema)
    }

    fn time(&self) -> Time {
        Time::Real
    }

    async fn reopen(&self, schema: &String, _: Arc<ManualClock>) -> Option<PostgresStore> {
        Some(self.open(schema).await)
    }
}

mod postgres {
    use super::*;
    store_conformance!(
        Postgres { is_pooled: false, notifies: true },
        require = [many_nodes, signals, reopen]
    );
}

mod postgres_without_notifications {
    use super::*;
    store_conformance!(
        Postgres { is_pooled: false, notifies: false },
        require = [many_nodes, signals, reopen]
    );
}

mod postgres_behind_pgbouncer {
    use super::*;
    store_conformance!(Postgres { is_pooled: true, notifies: true }, require = [many_nodes, signals, reopen]);
}
