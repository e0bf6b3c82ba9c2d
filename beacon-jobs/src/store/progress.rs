use std::fmt;

use serde_json::Value;
use time::OffsetDateTime;

use crate::id::{AttemptId, IncarnationId, JobId};
use crate::job::{ExecutionProgress, ExecutionSpec, ExecutionStatus, Failure, JobSpec, JobStatus};
use crate::stop::{Handle, SealedBy, StopState};

/// Who holds a job: carried by every write that changes its status, outcome or current attempt,
/// and compared with the job row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The incarnation.
    pub incarnation: IncarnationId,
    /// How often the job had been taken.
    pub epoch: u64,
}

/// Why a write was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The job was cancelled.
    Cancelled,
    /// The job, or the execution, had its outcome.
    Finished,
    /// The writer does not hold the job, or the attempt is not the current one.
    Lost,
    /// The stop of an older attempt is not settled.
    StopOpen,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "the job was cancelled",
            Self::Finished => "it has its outcome already",
            Self::Lost => "this node does not hold it any more",
            Self::StopOpen => "an older attempt's stop is not settled",
        })
    }
}

/// A wish to take jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub incarnation: IncarnationId,
    /// The executors that it has.
    pub executors: Vec<String>,
    /// The jobs that it runs, or still settles: a take-over leaves them alone.
    pub running: Vec<JobId>,
    /// How many at most.
    pub limit: u32,
}

/// A job that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedJob {
    /// The job's name.
    pub id: JobId,
    /// What its taker's writes must carry.
    pub fence: Fence,
    /// Its rules; `executions` is empty here.
    pub rules: JobSpec,
    /// When it was taken now, by the store's clock, as all times here.
    pub read_at: OffsetDateTime,
    /// When it was first taken.
    pub started_at: OffsetDateTime,
    /// All its executions, in the order of the list.
    pub executions: Vec<ClaimedExecution>,
}

impl ClaimedJob {
    /// Tells all its times on another clock, which shows `now` at this moment. Clocks of nodes and
    /// of the store differ.
    pub(crate) fn times_of(&mut self, now: OffsetDateTime) {
        let ahead = now - self.read_at;
        self.read_at += ahead;
        self.started_at += ahead;
        let attempts = self.executions.iter_mut().filter_map(|execution| execution.last_attempt.as_mut());
        attempts.for_each(|attempt| attempt.started_at += ahead);
    }
}

/// An execution of a job that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedExecution {
    /// The execution as submitted.
    pub spec: ExecutionSpec,
    /// Where it is.
    pub status: ExecutionStatus,
    /// How many of its attempts count toward `max_attempts`: all but the interrupted.
    pub counted_attempts: u32,
    /// Its latest attempt, if it had one.
    pub last_attempt: Option<PastAttempt>,
}

/// An attempt as found when its job was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct PastAttempt {
    /// The attempt.
    pub id: AttemptId,
    /// Which one it is, from 1.
    pub number: u32,
    /// When it passed the start barrier.
    pub started_at: OffsetDateTime,
    /// Its handle, if one was saved.
    pub handle: Option<Handle>,
    /// Its stop.
    pub stop: StopState,
}

/// The state of a job as seen by the node that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldJob {
    /// The job.
    pub id: JobId,
    /// When this was read, by the store's clock.
    pub read_at: OffsetDateTime,
    /// Its status.
    pub status: JobStatus,
    /// Who holds it, if somebody does.
    pub fence: Option<Fence>,
    /// From when on force is used on its open stops: the earliest; absent when none is open.
    pub force_at: Option<OffsetDateTime>,
    /// Who cancelled it, and why.
    pub cancelled_by: Option<(String, Option<String>)>,
}

/// Giving a job back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Who holds it.
    pub fence: Fence,
    /// The job.
    pub job: JobId,
    /// Attempts that are handed over: none of their requests is under way.
    pub sealed: Vec<AttemptId>,
}

/// An attempt that wants to pass the start barrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartExecution {
    /// Who holds the job.
    pub fence: Fence,
    /// The job.
    pub job: JobId,
    /// The execution's place in the job's list.
    pub index: u32,
    /// The attempt, minted before this call.
    pub attempt: AttemptId,
}

/// What became of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartOutcome {
    /// The barrier is passed. The number counts the execution's attempts from 1.
    Started {
        /// Which attempt it is.
        number: u32,
    },
    /// It is not, and nothing was changed.
    Refused(Refusal),
}

/// A handle to save.
#[derive(Clone, Debug, PartialEq)]
pub struct SaveHandle {
    /// Who holds the job.
    pub fence: Fence,
    /// The job.
    pub job: JobId,
    /// The execution's place in the job's list.
    pub index: u32,
    /// The attempt.
    pub attempt: AttemptId,
    /// The handle.
    pub handle: Handle,
}

/// What became of a save. The handle is recorded either way, if the attempt is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveOutcome {
    /// The attempt may begin its compute.
    Granted,
    /// It may not, and its stop is requested.
    Refused(Refusal),
}

/// How far an attempt has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportProgress {
    /// Who holds the job.
    pub fence: Fence,
    /// The job.
    pub job: JobId,
    /// The execution's place in the job's list.
    pub index: u32,
    /// The attempt. Another than the current one is refused.
    pub attempt: AttemptId,
    /// How far.
    pub progress: ExecutionProgress,
}

/// A seal to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The attempt.
    pub attempt: AttemptId,
    /// What the seal rests on.
    pub by: SealedBy,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishExecution {
    /// Who holds the job.
    pub fence: Fence,
    /// The job.
    pub job: JobId,
    /// The execution's place in the job's list.
    pub index: u32,
    /// The attempt. Another than the current one is refused.
    pub attempt: AttemptId,
    /// How it ended.
    pub result: ExecutionResult,
    /// Whether none of its requests is under way, so that this commit seals it.
    pub sealed: bool,
}

/// The result of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum ExecutionResult {
    /// It brought an output: the execution is completed.
    Completed(Value),
    /// It failed: its stop is requested.
    Failed {
        /// Why.
        failure: Failure,
        /// What it brought all the same.
        output: Option<Value>,
        /// Whether the execution returns to queued for another attempt, or is failed.
        retry: bool,
        /// Whether the attempt counts toward `max_attempts`; an interrupted one does not.
        counts: bool,
    },
}

impl ExecutionResult {
    /// The outcome that it is for its execution, if it is one.
    pub(crate) const fn outcome(&self) -> Option<ExecutionStatus> {
        match self {
            Self::Completed(_) => Some(ExecutionStatus::Completed),
            Self::Failed { retry: false, .. } => Some(ExecutionStatus::Failed),
            Self::Failed { retry: true, .. } => None,
        }
    }
}

/// What became of a finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishOutcome {
    /// Recorded.
    Finished,
    /// Refused; the attempt's stop is requested, its output kept as late output.
    Refused(Refusal),
}

/// A job that is to get its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishJob {
    /// Who holds it.
    pub fence: Fence,
    /// The job.
    pub job: JobId,
    /// Fail what is unfinished because the job's time is up.
    pub timed_out: bool,
}

/// What became of a job's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishJobOutcome {
    /// The job has this outcome.
    Finished(JobStatus),
    /// Not all its executions are over.
    Unfinished,
    /// Refused, nothing changed.
    Refused(Refusal),
}
