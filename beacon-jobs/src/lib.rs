//! Jobs on somebody else's computers, where **cancel means stopped**: the click is durable, no late
//! result slips past it, the remote compute really ends, and the evidence is shown, or it is said
//! plainly that there is none yet.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod cancel;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod context;
mod error;
pub mod executor;
pub mod host;
mod id;
pub mod job;
mod jobs;
pub mod runner;
pub mod stop;
pub mod store;

pub use error::{Error, ErrorKind, Result};
#[cfg(all(feature = "process", unix))]
pub use executor::process;
pub use id::{AttemptId, IdSource, IncarnationId, JobId, RandomIds};
pub use jobs::{Accepted, CancelAnswer, Jobs, JobsBuilder, Settled};
