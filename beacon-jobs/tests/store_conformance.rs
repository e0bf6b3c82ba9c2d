//! Every store of this crate, through the store suite.

use std::sync::Arc;

use beacon_jobs::conformance::{ManualClock, StoreHarness};
use beacon_jobs::store::{JobStore, MemoryStore};
use beacon_jobs::store_conformance;

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

struct Dyn;

impl StoreHarness for Dyn {
    type Store = Arc<dyn JobStore>;
    type Guard = ();

    async fn start(&self, clock: Arc<ManualClock>) -> (Arc<dyn JobStore>, ()) {
        (Arc::new(MemoryStore::with_clock(clock)), ())
    }
}

mod dyn_store {
    use super::*;
    store_conformance!(Dyn, require = [many_nodes, signals]);
}
