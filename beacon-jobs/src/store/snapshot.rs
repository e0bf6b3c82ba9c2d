//! What a store holds, row by row: for tests that compare it with what really happened.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Fence;
use crate::id::{AttemptId, IncarnationId, JobId};
use crate::job::{ExecutionStatus, JobStatus};
use crate::stop::{SealedBy, StopState};

/// All rows that decide.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The jobs.
    pub jobs: BTreeMap<JobId, JobSnapshot>,
    /// The attempts of all of them.
    pub attempts: BTreeMap<AttemptId, AttemptSnapshot>,
    /// The incarnations.
    pub nodes: BTreeMap<IncarnationId, NodeSnapshot>,
}

/// A job's row.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSnapshot {
    /// Who submitted it.
    pub owner: String,
    /// Where it is in its life.
    pub status: JobStatus,
    /// Who holds it.
    pub fence: Option<Fence>,
    /// How often it was taken.
    pub epoch: u64,
    /// Its executions, in the order of the list.
    pub executions: Vec<ExecutionSnapshot>,
}

/// An execution's row.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionSnapshot {
    /// Where it is in its life.
    pub status: ExecutionStatus,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptId>,
    /// What it brought.
    pub output: Option<Value>,
}

/// An attempt's row.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptSnapshot {
    /// Its job.
    pub job: JobId,
    /// Its execution's place in the job's list.
    pub index: u32,
    /// The executor that runs it.
    pub executor: String,
    /// Who held the job when it passed the start barrier.
    pub minted_by: Fence,
    /// Whether a handle was saved.
    pub has_handle: bool,
    /// What its seal rests on, if it is sealed.
    pub sealed: Option<SealedBy>,
    /// Its stop, once it was requested.
    pub stop: Option<StopSnapshot>,
}

/// The stop of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct StopSnapshot {
    /// How far it has come.
    pub state: StopState,
    /// Whether it counts as over.
    pub settled: bool,
    /// What was shown.
    pub evidence: Option<Value>,
    /// Why it is not confirmed, or was opened again.
    pub why: Option<String>,
}

/// An incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeSnapshot {
    /// Whether its lease runs and it is not known to have ended.
    pub alive: bool,
}
