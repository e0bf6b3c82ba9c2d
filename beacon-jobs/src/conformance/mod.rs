//! The suites that any store or executor can be run through.
//!
//! A suite is one macro: it expands to one named `#[test]` for each case, so that a case added here
//! appears in every crate that uses the suite with its next update. The cases, their names and
//! their number are not part of the semver promise of this crate.
//!
//! In another crate, with `beacon-jobs = { version = "...", features = ["conformance"] }` among its
//! `[dev-dependencies]` and nothing else:
//!
//! ```
//! use std::sync::Arc;
//!
//! use beacon_jobs::conformance::{ManualClock, StoreHarness};
//! use beacon_jobs::store::MemoryStore; // the store under test
//!
//! struct Harness;
//!
//! impl StoreHarness for Harness {
//!     type Store = MemoryStore;
//!     type Guard = ();
//!
//!     async fn start(&self, clock: Arc<ManualClock>) -> (MemoryStore, ()) {
//!         (MemoryStore::with_clock(clock), ())
//!     }
//! }
//!
//! beacon_jobs::store_conformance!(Harness, require = [many_nodes, signals]);
//! # fn main() {}
//! ```
//!
//! An executor is tested against a provider that the suite can look into and break: a double, which
//! implements [`TestProvider`]. [`executor_conformance!`](crate::executor_conformance) runs it through
//! a real runner. Against a real provider such a harness works too, with an account for tests only: the
//! suites write, delete, race and cancel whatever they find, so put it behind `#[ignore]` or a feature.
//!
//! For tests of your own there is [`HookedStore`]: it holds, counts, refuses or loses the calls of a store.
//!
//! A case that needs what a store or an executor cannot do prints `skipped:` and passes; what stands in
//! `require = [...]` must not be skipped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by panicking: it runs inside a test"
)]

mod clock;
mod executor;
mod expand;
mod hooked;
mod store;

use std::future::Future;
use std::time::Duration;

pub use clock::ManualClock;
pub use executor::{__run_executor_case, ExecutorCapability, ExecutorHarness, Fault, TestProvider, Work};
pub use hooked::{HookedStore, StoreAnswer, StoreCall, StoreHooks};
pub use store::{__run_store_case, StoreCapability, StoreHarness, Time};

/// How long a case may take. It waits for events, so that only a hang ever comes near. A loop in a
/// case has an await that gives way, or nothing could end it.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a case on a runtime of its own, so that who uses a suite needs no runtime.
#[doc(hidden)]
#[expect(clippy::disallowed_methods, reason = "a hang must end though the case drives the clock by hand")]
pub fn __block_on<F: Future>(case: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let output = runtime.block_on(async {
        tokio::select! {
            biased;
            output = case => Some(output),
            () = tokio::time::sleep(LIMIT) => None,
        }
    });
    // A call that hangs in a thread must not keep the test from failing.
    runtime.shutdown_background();
    output.unwrap_or_else(|| panic!("the case did not end within {LIMIT:?}"))
}
