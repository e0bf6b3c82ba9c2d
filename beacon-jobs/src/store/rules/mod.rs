//! What every store decides alike: the transitions of the contract, on rows in memory.
//!
//! A store loads the rows that a batch of writes touches into [`Rows`], applies the writes in
//! order, and writes back what changed. The memory store's rows are always loaded.

mod progress;
mod stops;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;

use super::{ExecutionResult, Fence, FinishExecution, Signal};
use crate::cancel::StopMode;
use crate::id::{AttemptId, JobId};
use crate::job::{ExecutionProgress, ExecutionStatus, Failure, JobStatus, StopRecord};
use crate::stop::{Handle, Minter, SealedBy, StopItem, StopState};

/// The part of a job's row that decides.
#[derive(Clone, Debug)]
pub(crate) struct JobRow {
    pub(crate) status: JobStatus,
    pub(crate) fence: Option<Fence>,
    pub(crate) allow_overlap: bool,
}

/// An execution's row.
#[derive(Clone, Debug)]
pub(crate) struct ExecutionRow {
    pub(crate) status: ExecutionStatus,
    /// Its attempts, oldest first; the last is the current one while the status is active.
    pub(crate) attempts: Vec<AttemptId>,
    /// How many of them count toward `max_attempts`.
    pub(crate) counted: u32,
    pub(crate) started_at: Option<OffsetDateTime>,
    pub(crate) finished_at: Option<OffsetDateTime>,
    pub(crate) error: Option<Failure>,
    pub(crate) output: Option<Value>,
}

impl ExecutionRow {
    pub(crate) const fn new() -> Self {
        Self {
            status: ExecutionStatus::Queued,
            attempts: Vec::new(),
            counted: 0,
            started_at: None,
            finished_at: None,
            error: None,
            output: None,
        }
    }

    fn is_current(&self, attempt: AttemptId) -> bool {
        self.status.is_active() && self.attempts.last() == Some(&attempt)
    }

    /// Whether it waits for another attempt, and this fails it instead.
    fn is_given_up(&self, finish: &FinishExecution) -> bool {
        self.status == ExecutionStatus::Queued
            && self.attempts.last() == Some(&finish.attempt)
            && matches!(finish.result, ExecutionResult::Failed { retry: false, .. })
    }
}

/// An attempt's row.
#[derive(Clone, Debug)]
pub(crate) struct AttemptRow {
    pub(crate) id: AttemptId,
    pub(crate) job: JobId,
    pub(crate) index: u32,
    pub(crate) executor: String,
    pub(crate) number: u32,
    pub(crate) fence: Fence,
    pub(crate) started_at: OffsetDateTime,
    pub(crate) handle: Option<Handle>,
    pub(crate) sealed: Option<SealedBy>,
    pub(crate) late_output: Option<Value>,
    pub(crate) stop: Option<StopRow>,
}

/// An attempt's stop, once it was requested.
#[derive(Clone, Debug)]
pub(crate) struct StopRow {
    pub(crate) state: StopState,
    pub(crate) settled: bool,
    pub(crate) mode: StopMode,
    pub(crate) force_at: OffsetDateTime,
    pub(crate) requested_at: OffsetDateTime,
    pub(crate) confirmed_at: Option<OffsetDateTime>,
    pub(crate) evidence: Option<Value>,
    pub(crate) why: Option<String>,
    /// When it is to be driven next; never again when absent.
    pub(crate) due_at: Option<OffsetDateTime>,
    pub(crate) tries: u32,
}

impl StopRow {
    /// A stop requested now.
    pub(crate) fn requested(now: OffsetDateTime, mode: StopMode, grace: Duration) -> Self {
        Self {
            state: StopState::Requested,
            settled: false,
            mode,
            force_at: now + grace,
            requested_at: now,
            confirmed_at: None,
            evidence: None,
            why: None,
            due_at: Some(now),
            tries: 0,
        }
    }

    pub(crate) fn record(&self) -> StopRecord {
        StopRecord {
            state: self.state,
            requested_at: self.requested_at,
            confirmed_at: self.confirmed_at,
            evidence: self.evidence.clone(),
            why: self.why.clone(),
        }
    }
}

impl AttemptRow {
    pub(crate) fn stop_state(&self) -> StopState {
        self.stop.as_ref().map_or(StopState::NotNeeded, |stop| stop.state)
    }

    /// Whether a stop of it is asked for and not settled.
    pub(crate) fn has_open_stop(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| !stop.settled)
    }

    /// The order in which an execution's attempts are shown: the greatest first. An open stop goes
    /// before a settled one in the same state, or it would be hidden, and pruned with its job.
    pub(crate) fn unsettledness(&self) -> (bool, u8) {
        (self.has_open_stop(), self.stop_state().unsettledness())
    }

    pub(crate) fn stop_item(&self, now: OffsetDateTime, minter: Minter, host: String) -> Option<StopItem> {
        let stop = self.stop.as_ref()?;
        Some(StopItem {
            attempt: self.id,
            job: self.job.clone(),
            index: self.index,
            executor: self.executor.clone(),
            incarnation: self.fence.incarnation,
            minter,
            host,
            handle: self.handle.clone(),
            sealed: self.sealed,
            state: stop.state,
            mode: stop.mode,
            force_at: stop.force_at,
            requested_at: stop.requested_at,
            tries: stop.tries,
            evidence: stop.evidence.clone(),
            read_at: now,
        })
    }

    /// Whether a stop of it is to be driven still: an open one, or a confirmed one that is watched.
    pub(crate) fn is_driven(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| {
            !stop.settled || (stop.state == StopState::Confirmed && stop.due_at.is_some())
        })
    }

    /// Requests the stop, unless that was done before.
    fn request_stop(&mut self, now: OffsetDateTime) -> bool {
        if self.stop.is_some() {
            return false;
        }
        let grace = crate::cancel::CancelRequest::DEFAULT_GRACE;
        self.stop = Some(StopRow::requested(now, StopMode::Graceful, grace));
        true
    }
}

/// The rows that a batch of writes touches, and which of them it changed.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) jobs: HashMap<JobId, JobRow>,
    pub(crate) executions: HashMap<(JobId, u32), ExecutionRow>,
    pub(crate) attempts: HashMap<AttemptId, AttemptRow>,
    /// How far attempts have come: what was told since these rows were loaded. No rule reads it.
    pub(crate) told: BTreeMap<AttemptId, ExecutionProgress>,
    pub(crate) changes: Changes,
}

/// What a batch changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) executions: BTreeSet<(JobId, u32)>,
    /// Attempts that were added.
    pub(crate) added: BTreeSet<AttemptId>,
    /// Attempts that existed and were changed.
    pub(crate) attempts: BTreeSet<AttemptId>,
    pub(crate) signals: Vec<Signal>,
}

impl Changes {
    fn job(&mut self, id: &JobId) {
        if !matches!(self.signals.last(), Some(Signal::Job(last)) if last == id) {
            self.signals.push(Signal::Job(id.clone()));
        }
    }

    fn stops_due(&mut self) {
        if !self.signals.contains(&Signal::StopsDue) {
            self.signals.push(Signal::StopsDue);
        }
    }

    fn attempt(&mut self, id: AttemptId) {
        if !self.added.contains(&id) {
            self.attempts.insert(id);
        }
    }
}
