//! The executor suite.

mod bed;
mod cases;
mod gate;

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use self::bed::Bed;
use super::__block_on;
use crate::executor::Executor;

/// How the suite gets a provider to test an executor against.
pub trait ExecutorHarness {
    /// The provider.
    type Provider: TestProvider;

    /// Starts a provider on which nothing runs. Every case starts its own.
    fn start(&self) -> impl Future<Output = Self::Provider>;
}

/// A provider that the suite can look into and break: a double on this machine, or a real one with
/// an account for tests.
///
/// What runs there must go on until it is really ended. A double that forgets its work when the
/// executor lets go of it would pass where the real provider would not.
#[async_trait]
pub trait TestProvider: Send + Sync + 'static {
    /// An executor on this provider. The same one, or one that shares what it holds in memory.
    fn executor(&self) -> Arc<dyn Executor>;

    /// What an execution is given for this sort of work; `None` when the provider has none such.
    /// [`Work::Ends`] and [`Work::GoesOn`] are needed.
    fn input(&self, work: Work) -> Option<Value>;

    /// How many pieces of work compute right now, whoever waits for them.
    async fn alive(&self) -> usize;

    /// How many pieces of work have ever begun to compute.
    async fn begun(&self) -> usize;

    /// Lets all work that goes on complete by itself, with an output.
    async fn complete(&self);

    /// An executor as another process would make it: it knows nothing but what the provider and a
    /// saved handle tell. `None` when its work does not outlive its process.
    fn restarted(&self) -> Option<Arc<dyn Executor>> {
        None
    }

    /// Makes the provider, or the way to it, fail. `false` when it cannot be made to.
    async fn inject(&self, fault: Fault) -> bool {
        let _ = fault;
        false
    }
}

/// Sorts of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Ends by itself soon, with an output.
    Ends,
    /// Fails by itself soon.
    Fails,
    /// Goes on until it is ended, or [`TestProvider::complete`] lets it complete.
    GoesOn,
    /// As [`GoesOn`](Self::GoesOn); told to end, it saves itself at once, with an output.
    SavesItself,
    /// As [`GoesOn`](Self::GoesOn), and pays no heed when it is told to end: only force ends it.
    Ignores,
    /// None: an input that the executor cannot run.
    Illegal,
}

/// What can go wrong between an executor and its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next so many stop calls bring no answer.
    StopsFail(u32),
    /// The next so many requests that create work do not arrive, and bring an error.
    StartsFail(u32),
    /// The next so many requests that begin work arrive, and their replies are lost.
    RepliesLost(u32),
    /// The next so many calls that look at the work bring an error; the work goes on.
    WatchesFail(u32),
}

/// What an executor or its provider may be unable to do. The words stand in `require = [...]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorCapability {
    /// `two_step`, of [`Capabilities`](crate::executor::Capabilities).
    TwoStep,
    /// `resume`, of [`Capabilities`](crate::executor::Capabilities).
    Resume,
    /// `refuses_start_after_stop`, of [`Capabilities`](crate::executor::Capabilities).
    RefusesStartAfterStop,
    /// `grace`, of [`Capabilities`](crate::executor::Capabilities), and [`Work::SavesItself`].
    Grace,
    /// `failing_work`: [`Work::Fails`].
    FailingWork,
    /// `force`: [`Work::Ignores`].
    Force,
    /// `restart`: [`TestProvider::restarted`].
    Restart,
    /// `illegal_input`: [`Work::Illegal`].
    IllegalInput,
    /// `stop_faults`: [`Fault::StopsFail`].
    StopFaults,
    /// `start_faults`: [`Fault::StartsFail`].
    StartFaults,
    /// `lost_replies`: [`Fault::RepliesLost`].
    LostReplies,
    /// `watch_faults`: [`Fault::WatchesFail`].
    WatchFaults,
}

/// Runs one case on a fresh provider, through a real runner with a memory store.
#[doc(hidden)]
pub fn __run_executor_case<H: ExecutorHarness>(
    harness: &H,
    case: &str,
    required: &'static [ExecutorCapability],
) {
    __block_on(async {
        let provider = harness.start().await;
        cases::run(case, Bed::new(Arc::new(provider), required)).await;
    });
}

/// Runs an executor through the executor suite: expands to one `#[test]` for each case, in a module
/// for each area. Takes an expression that is an [`ExecutorHarness`], and the capabilities that
/// must not be skipped.
///
/// ```text
/// beacon_jobs::executor_conformance!(Harness, require = [two_step, grace, restart, stop_faults]);
/// ```
///
/// Two executors in one file need a module each. See [`conformance`](crate::conformance).
#[macro_export]
macro_rules! executor_conformance {
    ($harness:expr $(,)?) => {
        $crate::executor_conformance!($harness, require = []);
    };
    ($harness:expr, require = [$($capability:ident),* $(,)?] $(,)?) => {
        $crate::__executor_cases! {
            __conformance_tests,
            __run_executor_case, __executor_capability, $harness, [$($capability)*]
        }
    };
}

/// The word for a capability, as it stands in `require = [...]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __executor_capability {
    (two_step) => {
        $crate::conformance::ExecutorCapability::TwoStep
    };
    (resume) => {
        $crate::conformance::ExecutorCapability::Resume
    };
    (refuses_start_after_stop) => {
        $crate::conformance::ExecutorCapability::RefusesStartAfterStop
    };
    (grace) => {
        $crate::conformance::ExecutorCapability::Grace
    };
    (failing_work) => {
        $crate::conformance::ExecutorCapability::FailingWork
    };
    (force) => {
        $crate::conformance::ExecutorCapability::Force
    };
    (restart) => {
        $crate::conformance::ExecutorCapability::Restart
    };
    (illegal_input) => {
        $crate::conformance::ExecutorCapability::IllegalInput
    };
    (stop_faults) => {
        $crate::conformance::ExecutorCapability::StopFaults
    };
    (start_faults) => {
        $crate::conformance::ExecutorCapability::StartFaults
    };
    (lost_replies) => {
        $crate::conformance::ExecutorCapability::LostReplies
    };
    (watch_faults) => {
        $crate::conformance::ExecutorCapability::WatchFaults
    };
}
