//! The store suite.

mod bed;
mod cases;
mod words;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::mpsc;

use self::bed::{Bed, Reply};
use super::{__block_on, ManualClock};
use crate::store::JobStore;

/// How the suite gets a store to test.
///
/// Every case starts a store of its own, empty and alone. A harness for a database creates a
/// schema for each, and drops it with the guard: the suite writes, deletes and races freely.
pub trait StoreHarness {
    /// The store under test.
    type Store: JobStore;

    /// What must live as long as the store, and is dropped after it: a temporary folder, a server.
    type Guard;

    /// Starts an empty store. One that takes its time from outside takes it from `clock`.
    fn start(&self, clock: Arc<ManualClock>) -> impl Future<Output = (Self::Store, Self::Guard)>;

    /// Which time the store goes by.
    fn time(&self) -> Time {
        Time::Manual
    }

    /// Opens the same data again, after the store and everything that came from it was dropped.
    /// `None` when the store does not outlive its process.
    fn reopen(
        &self,
        guard: &Self::Guard,
        clock: Arc<ManualClock>,
    ) -> impl Future<Output = Option<Self::Store>> {
        let _ = (guard, clock);
        async { None }
    }
}

/// Which time a store goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// The clock that the suite gave it. Where a case needs time to pass, the suite moves it.
    Manual,
    /// A clock of its own, such as the database's. The suite waits a few real milliseconds.
    Real,
}

/// What a store may be unable to do. The words stand in `require = [...]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreCapability {
    /// `many_nodes`: more than one live node at a time, [`JobStore::allows_many_nodes`].
    ManyNodes,
    /// `signals`: hints about changes, [`JobStore::signals`].
    Signals,
    /// `reopen`: the data outlive the store, [`StoreHarness::reopen`].
    Reopen,
}

/// Runs one case on a fresh store.
#[doc(hidden)]
pub fn __run_store_case<H: StoreHarness>(harness: &H, case: &str, required: &'static [StoreCapability]) {
    __block_on(async {
        let clock = Arc::new(ManualClock::new());
        let (store, guard) = harness.start(Arc::clone(&clock)).await;
        let (reopen, mut reopens) = mpsc::channel(1);
        let bed = Bed::new(Arc::new(store), Arc::clone(&clock), harness.time(), reopen, required);
        let mut case = pin!(cases::run(case, bed));
        loop {
            tokio::select! {
                biased;
                () = &mut case => break,
                Some(reply) = reopens.recv() => {
                    let store = harness.reopen(&guard, Arc::clone(&clock)).await;
                    let _ = Reply::send(reply, store.map(|store| Arc::new(store) as Arc<dyn JobStore>));
                }
            }
        }
    });
}

/// Runs a store through the store suite: expands to one `#[test]` for each case, in a module for
/// each area. Takes an expression that is a [`StoreHarness`], and the capabilities that must not be
/// skipped (`many_nodes`, `signals`, `reopen`).
///
/// Two stores in one file need a module each. See [`conformance`](crate::conformance).
#[macro_export]
macro_rules! store_conformance {
    ($harness:expr $(,)?) => {
        $crate::store_conformance!($harness, require = []);
    };
    ($harness:expr, require = [$($capability:ident),* $(,)?] $(,)?) => {
        $crate::__store_cases! {
            __conformance_tests,
            __run_store_case, __store_capability, $harness, [$($capability)*]
        }
    };
}

/// The word for a capability, as it stands in `require = [...]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_capability {
    (many_nodes) => {
        $crate::conformance::StoreCapability::ManyNodes
    };
    (signals) => {
        $crate::conformance::StoreCapability::Signals
    };
    (reopen) => {
        $crate::conformance::StoreCapability::Reopen
    };
}
