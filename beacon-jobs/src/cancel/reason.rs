use std::fmt;

use crate::job::Cancellation;

/// Why a job's context ended. Only [`Requested`](Self::Requested) makes a job cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// Somebody cancelled the job.
    Requested {
        /// Who.
        by: String,
        /// Why, in their words.
        reason: Option<String>,
    },
    /// The time of the job was up: its unfinished executions and the job fail.
    Deadline,
    /// This node shuts down. Writes no job status.
    Shutdown,
    /// This node no longer holds the job. Writes no job status.
    LeaseLost,
}

impl CancelReason {
    /// A request by this person or program, without words.
    pub fn requested(by: impl Into<String>) -> Self {
        Self::Requested { by: by.into(), reason: None }
    }

    /// The request that this record is of.
    #[must_use]
    pub fn of(record: &Cancellation) -> Self {
        Self::Requested { by: record.cancelled_by.clone(), reason: record.reason.clone() }
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested { by, reason: Some(reason) } => write!(f, "cancelled by {by}: {reason}"),
            Self::Requested { by, reason: None } => write!(f, "cancelled by {by}"),
            Self::Deadline => f.write_str("the time was up"),
            Self::Shutdown => f.write_str("the node shuts down"),
            Self::LeaseLost => f.write_str("the node no longer holds the job"),
        }
    }
}
