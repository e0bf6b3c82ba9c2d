use time::OffsetDateTime;

use super::failure::Failure;
use super::progress::ExecutionProgress;
use super::record::{ExecutionRecord, JobDetail, JobRecord, StopCounts, StopRecord};
use super::status::ExecutionStatus;

/// A job with the state of all its executions, as of one moment; without what those were given and
/// what they brought, so that it stays small.
#[derive(Clone, Debug, PartialEq)]
pub struct JobOutline {
    /// The job.
    pub job: JobRecord,
    /// Its executions' stops, counted.
    pub stops: StopCounts,
    /// Its executions, in the order of the list.
    pub executions: Vec<ExecutionOutline>,
}

/// The state of one execution.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionOutline {
    /// Where it is in its life.
    pub status: ExecutionStatus,
    /// How many attempts have passed the start barrier.
    pub attempt: u32,
    /// When its first attempt passed the start barrier.
    pub started_at: Option<OffsetDateTime>,
    /// When it reached its outcome.
    pub finished_at: Option<OffsetDateTime>,
    /// How far its latest attempt has come, where the executor tells.
    pub progress: Option<ExecutionProgress>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// The stop of its least settled attempt; absent until one had to be stopped.
    pub stop: Option<StopRecord>,
}

impl JobOutline {
    /// Whether nothing about the job will change by itself: it has its outcome, and every stop is
    /// settled.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.job.status.is_terminal() && self.stops.open == 0
    }
}

impl From<JobDetail> for JobOutline {
    /// The outline of a job that was read with all of its executions.
    fn from(detail: JobDetail) -> Self {
        let executions = detail.executions.into_iter().map(ExecutionOutline::from).collect();
        Self { job: detail.job, stops: detail.stops, executions }
    }
}

impl From<ExecutionRecord> for ExecutionOutline {
    fn from(record: ExecutionRecord) -> Self {
        Self {
            status: record.status,
            attempt: record.attempt,
            started_at: record.started_at,
            finished_at: record.finished_at,
            progress: record.progress,
            error: record.error,
            stop: record.stop,
        }
    }
}
