use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::failure::Failure;
use super::progress::ExecutionProgress;
use super::spec::JobSpec;
use super::status::{ExecutionStatus, JobStatus, words};
use crate::cancel::StopMode;
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::stop::StopState;
use std::fmt;
use std::str::FromStr;

/// What is known about a job, without its executions.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobRecord {
    /// The job's name.
    pub id: JobId,
    /// Who submitted it.
    pub owner: String,
    /// Where it is in its life.
    pub status: JobStatus,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When a node first took it.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it reached its outcome.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// Its executions, counted.
    pub progress: Progress,
    /// The cancel that ended it, if one did.
    pub cancellation: Option<Cancellation>,
    /// The executors that it needs and no live node has; empty when it is not waiting for one.
    pub waiting_for: Vec<String>,
}

/// A job with its rules and a page of its executions.
#[derive(Clone, Debug, PartialEq)]
pub struct JobDetail {
    /// The job.
    pub job: JobRecord,
    /// Its rules as submitted; `executions` is empty here.
    pub rules: JobSpec,
    /// A page of its executions, in the order of the list.
    pub executions: Vec<ExecutionRecord>,
    /// Its executions' stops, counted over all of them.
    pub stops: StopCounts,
}

/// Executions of a job by status; `running` counts `starting` too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// All executions.
    pub total: u64,
    /// Those with an output.
    pub completed: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those ended by a cancel.
    pub cancelled: u64,
    /// Those with an attempt under way.
    pub running: u64,
    /// Those waiting.
    pub queued: u64,
}

impl Progress {
    /// Counts `count` more executions of this status.
    pub fn add(&mut self, status: ExecutionStatus, count: u64) {
        self.total += count;
        *match status {
            ExecutionStatus::Queued => &mut self.queued,
            ExecutionStatus::Starting | ExecutionStatus::Running => &mut self.running,
            ExecutionStatus::Completed => &mut self.completed,
            ExecutionStatus::Failed => &mut self.failed,
            ExecutionStatus::Cancelled => &mut self.cancelled,
        } += count;
    }

    /// Whether every execution has an outcome.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.running == 0 && self.queued == 0
    }

    /// The outcome of a job whose executions are all over.
    #[must_use]
    pub fn outcome(&self, min_success_rate: f64) -> JobStatus {
        let share = self.completed as f64 / self.total as f64;
        if share >= min_success_rate { JobStatus::Completed } else { JobStatus::Failed }
    }
}

/// The stops of a job's executions, counted by state. A cancelled execution that never passed the
/// start barrier, and one whose attempts all ended by themselves, count as `not_needed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StopCounts {
    /// All executions that the cancel ended, and all others that have a stop.
    pub total: u64,
    /// Nothing had begun.
    pub not_needed: u64,
    /// The provider has not answered yet.
    pub requested: u64,
    /// The provider has heard, the end is not shown yet.
    pub acknowledged: u64,
    /// The end is shown.
    pub confirmed: u64,
    /// The end could not be shown.
    pub unconfirmed: u64,
    /// Those of them that are not settled: still driven, the answer may change.
    #[serde(skip)]
    pub open: u64,
}

impl StopCounts {
    /// Counts `count` more executions whose stop is in this state, and is settled or not.
    pub fn add(&mut self, state: StopState, settled: bool, count: u64) {
        self.total += count;
        self.open += if settled { 0 } else { count };
        *match state {
            StopState::NotNeeded => &mut self.not_needed,
            StopState::Requested => &mut self.requested,
            StopState::Acknowledged => &mut self.acknowledged,
            StopState::Confirmed => &mut self.confirmed,
            StopState::Unconfirmed => &mut self.unconfirmed,
        } += count;
    }
}

/// The cancel that ended a job, as first recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cancellation {
    /// The job's status before.
    pub previous_status: JobStatus,
    /// When it was committed.
    #[serde(with = "time::serde::rfc3339")]
    pub cancelled_at: OffsetDateTime,
    /// Who asked.
    pub cancelled_by: String,
    /// Why, in the words of who asked.
    pub reason: Option<String>,
    /// How hard.
    pub mode: StopMode,
    /// How many execution rows it changed.
    pub executions_cancelled: u64,
}

impl Cancellation {
    /// Puts a record together, for stores.
    #[must_use]
    pub fn new(
        previous_status: JobStatus,
        cancelled_at: OffsetDateTime,
        request: &crate::cancel::CancelRequest,
        executions_cancelled: u64,
    ) -> Self {
        Self {
            previous_status,
            cancelled_at,
            cancelled_by: request.by.name().to_owned(),
            reason: request.reason.clone(),
            mode: request.mode,
            executions_cancelled,
        }
    }
}

/// What is known about one execution.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExecutionRecord {
    /// Its place in the job's list, from 0.
    pub index: u32,
    /// The executor that runs it.
    pub executor: String,
    /// Its lane, if it has one.
    pub lane: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where it is in its life.
    pub status: ExecutionStatus,
    /// How many attempts have passed the start barrier.
    pub attempt: u32,
    /// When its first attempt passed the start barrier.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it reached its outcome.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// How far its latest attempt has come, where the executor tells.
    pub progress: Option<ExecutionProgress>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// What it brought. A failed execution may have one too: the exit code and what was printed.
    pub output: Option<Value>,
    /// What an attempt brought after it had been ended. Never the result.
    pub late_output: Option<Value>,
    /// The stop of its least settled attempt; absent until one had to be stopped.
    pub stop: Option<StopRecord>,
}

/// What is known about a stop.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StopRecord {
    /// How far it has come.
    pub state: StopState,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub requested_at: OffsetDateTime,
    /// When its end was shown.
    #[serde(with = "time::serde::rfc3339::option")]
    pub confirmed_at: Option<OffsetDateTime>,
    /// What the provider showed, in a form that a person can check.
    pub evidence: Option<Value>,
    /// Why it is not confirmed.
    pub why: Option<String>,
}

/// What an audit entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AuditAction {
    /// The job was accepted.
    Submitted,
    /// The job was cancelled.
    Cancelled,
    /// A later cancel made the stops harsher.
    Escalated,
    /// An administrator closed a stop that could not be confirmed.
    StopClosed,
}

words!(AuditAction, "action", {
    Submitted = "submitted", Cancelled = "cancelled", Escalated = "escalated", StopClosed = "stop_closed",
});

/// Who did what to a job, when and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Who.
    pub actor: String,
    /// What.
    pub action: AuditAction,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// What it changed.
    pub detail: Value,
}
