//! The code that runs executions on one provider: the [`Executor`] trait, and the executors that
//! need no provider.

mod capabilities;
mod context;
mod error;
mod flights;
pub mod function;
mod lease;
#[cfg(all(feature = "process", unix))]
pub mod process;
mod telling;

use std::fmt::{Debug, Display};

use async_trait::async_trait;
use serde_json::Value;

pub use capabilities::{Capabilities, Reach};
pub use context::ExecutionContext;
pub(crate) use context::{Attempt, Permit};
pub use error::ExecuteError;
pub(crate) use lease::Lease;
pub(crate) use telling::Telling;

use crate::error::Result;
use crate::stop::{Handle, StopError, StopRequest, StopStatus};

/// Runs executions on one provider, and ends them.
///
/// # Contract
/// - `execute` sends every request that creates or begins remote work through
///   [`ExecutionContext::starting`], and calls [`ExecutionContext::save_handle`] with no other
///   await between the reply that brought the handle and that call. A two-step executor creates
///   inert work, saves the handle, and only then begins.
/// - Inside one attempt such a request is not repeated, unless the provider deduplicates it.
/// - When `save_handle` or `starting` refuses, nothing further is begun: return the error. Only work
///   that has begun already may be watched on, for what it saves while its grace lasts.
/// - A handle may be saved again when more is known of where the work is; whatever was saved once is
///   enough to stop it.
/// - With a [saved handle](ExecutionContext::saved_handle) `execute` only observes. If the provider
///   shows that the attempt never began, or cannot say, it returns [`ExecuteError::interrupted`].
/// - Outside of `starting` and `save_handle` the future may be dropped at any await.
/// - [`ExecutionContext::report_progress`] is for those who look on; nothing is decided by it.
/// - `stop` is idempotent, may be called by several nodes at once, before or after `execute` has
///   returned, and with a handle that another process saved. A shorter grace in a later call
///   shortens a running one.
/// - Every call to a provider has a deadline of its own.
///
/// | state of the work | `stop` |
/// |---|---|
/// | created, not begun | ends it: `Confirmed`, or `Acknowledged` until the provider shows it |
/// | runs | asks it to end, forces after the grace: `Acknowledged`, later `Confirmed` |
/// | has ended, however | `Confirmed`, with what shows it |
/// | unknown to the provider | `Confirmed` only if absence means ended there; else `Unconfirmable` |
/// | provider not reachable | an error; asked again with growing pauses |
///
/// Every executor is run through [`executor_conformance!`](crate::executor_conformance).
#[async_trait]
pub trait Executor: Display + Debug + Send + Sync + 'static {
    /// The name that executions refer to and that is stored with each: `modal`, `process`.
    fn name(&self) -> &str;

    /// What this executor and its provider can do.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Tells at submission whether an input is one that this executor can run.
    ///
    /// # Errors
    /// `InvalidInput` with the field's path below `input`.
    fn check_input(&self, input: &Value) -> Result<()> {
        let _ = input;
        Ok(())
    }

    /// Runs one attempt to its output.
    ///
    /// # Errors
    /// Says what failed and whether another attempt is sensible.
    ///
    /// # Cancellation safety
    /// Dropped by the runner once the attempt is over and neither a
    /// [`starting`](ExecutionContext::starting) request nor a
    /// [`save_handle`](ExecutionContext::save_handle) is under way.
    async fn execute(&self, cx: &ExecutionContext) -> Result<Value, ExecuteError>;

    /// Tells the provider to end the work behind a handle, or asks whether it has ended.
    ///
    /// # Errors
    /// When the provider gave no answer.
    ///
    /// # Cancellation safety
    /// May be dropped at any await; the call is repeated.
    async fn stop(&self, handle: &Handle, request: &StopRequest) -> Result<StopStatus, StopError>;
}
