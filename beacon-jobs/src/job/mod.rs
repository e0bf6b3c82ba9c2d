//! What a user asks for, and what is known about it.
//!
//! A [`JobSpec`] is a list of [`ExecutionSpec`]s with rules; once submitted it is read back as a
//! [`JobDetail`].

mod check;
mod failure;
mod file;
mod lanes;
mod matrix;
mod outline;
mod progress;
mod record;
mod spec;
mod status;

pub use failure::{Failure, FailureKind};
pub use file::parse_job_file;
pub(crate) use lanes::lanes;
pub use outline::{ExecutionOutline, JobOutline};
pub use progress::ExecutionProgress;
pub use record::{
    AuditAction, AuditEntry, Cancellation, ExecutionRecord, JobDetail, JobRecord, Progress, StopCounts,
    StopRecord,
};
pub use spec::{ExecutionSpec, JobSpec, OnInterrupt};
pub(crate) use status::words;
pub use status::{ExecutionStatus, JobStatus};
