//! The executor that runs child processes, each under a supervisor of its own.
//!
//! Call [`init`] first in `main`: the supervisor is this very program, started again, and `init` is
//! where it learns that.
//!
//! ```standalone_crate
//! use std::time::Duration;
//!
//! use beacon_jobs::Jobs;
//! use beacon_jobs::job::{ExecutionSpec, JobSpec, JobStatus};
//! use beacon_jobs::process::{self, ProcessExecutor};
//! use beacon_jobs::runner::JobRunner;
//! use beacon_jobs::store::MemoryStore;
//!
//! #[tokio::main]
//! async fn main() -> beacon_jobs::Result<()> {
//!     process::init();
//!     let jobs = Jobs::new(MemoryStore::new());
//!     let executor = ProcessExecutor::new();
//!     assert!(executor.is_supervised());
//!     let runner = JobRunner::builder(&jobs).executor(executor).start().await?;
//!     let input = serde_json::json!({ "command": ["sh", "-c", "echo hello"] });
//!     let job = jobs.submit("alice", JobSpec::new([ExecutionSpec::new("process", input)])).await?;
//!     let detail = jobs.finished(&job.id, Duration::from_secs(60)).await?;
//!     assert_eq!(detail.map(|detail| detail.job.status), Some(JobStatus::Completed));
//!     runner.shutdown(Duration::from_secs(10)).await;
//!     Ok(())
//! }
//! ```
//!
//! # How a command runs and ends
//!
//! The executor starts a supervisor, which prepares a process for the command: a session of its
//! own, and where possible a private cgroup. Nothing of the command has run by then. The handle is
//! saved, and only then the supervisor is told to go.
//!
//! A stop, or the death of the runner, ends the whole tree: SIGTERM to the command's process group,
//! the grace, then SIGKILL to every descendant until the kernel says that none is left, and
//! `cgroup.kill` where there is a private cgroup. A descendant that has called `setsid`, or whose
//! parents have exited, is still the supervisor's to end. When the command exits by itself,
//! whatever it left behind is ended before its end is reported.
//!
//! # What the evidence says
//!
//! | `level` | shown by |
//! |---|---|
//! | `cgroup` | the private cgroup was seen empty, and was removed |
//! | `supervisor` | the supervisor reaped every descendant until the kernel said that none is left |
//! | `boot` | the host has been started anew since |
//! | `group` | nothing is seen any more by process group, session or marker: that is no proof, so the stop is unconfirmable |
//!
//! The last is all that can be said where the host did not call `init`, or where the supervisor
//! itself was killed and there was no private cgroup. Against a process that has the rights to
//! leave its cgroup and does, there is still the supervisor.

mod cgroup;
mod control;
mod executor;
mod handle;
mod input;
mod keeper;
mod output;
mod plain;
mod registry;
mod status;
#[cfg(target_os = "linux")]
mod supervisor;
mod sweep;
mod tree;
mod verify;
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};

pub use executor::{ProcessExecutor, ProcessExecutorBuilder};

/// Carries the attempt's id in the environment of every command, and so of what it starts.
pub const ATTEMPT_VARIABLE: &str = "BEACON_JOBS_ATTEMPT";

static INITIALISED: AtomicBool = AtomicBool::new(false);

/// Turns this process into a supervisor if it was started as one; else returns at once.
///
/// Call it first in `main`, before arguments are read or threads are started. Where it is not
/// called, a [`ProcessExecutor`] works without supervisors, and its stops are unconfirmable.
pub fn init() {
    #[cfg(target_os = "linux")]
    supervisor::take_over_if_asked();
    INITIALISED.store(true, Ordering::Release);
}

fn is_initialised() -> bool {
    cfg!(target_os = "linux") && INITIALISED.load(Ordering::Acquire)
}
