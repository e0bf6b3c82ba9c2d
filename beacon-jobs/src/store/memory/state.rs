use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;

use super::nodes::NodeRow;
use crate::id::{AttemptId, IncarnationId, JobId};
use crate::job::{AuditAction, AuditEntry, Cancellation, ExecutionSpec, JobSpec, JobStatus, Progress};
use crate::store::rules::{AttemptRow, ExecutionRow, JobRow, Rows};
use crate::store::{Signal, StartExecution, StartOutcome, Submission, Submitted};

/// Everything in the store.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) rows: Rows,
    pub(super) jobs: HashMap<JobId, JobEntry>,
    /// Jobs in the order of submission.
    pub(super) order: BTreeMap<u64, JobId>,
    /// Those of them that wait for a node.
    pub(super) queued: BTreeMap<u64, JobId>,
    /// Those of them that a node took, and that have no outcome.
    pub(super) running: BTreeMap<u64, JobId>,
    pub(super) keys: HashMap<(String, String), JobId>,
    pub(super) nodes: BTreeMap<IncarnationId, NodeRow>,
    /// Stops by the time at which they are due.
    pub(super) due: BTreeSet<(OffsetDateTime, AttemptId)>,
    due_at: HashMap<AttemptId, OffsetDateTime>,
    last_order: u64,
}

/// The part of a job that does not decide.
#[derive(Debug)]
pub(super) struct JobEntry {
    pub(super) order: u64,
    pub(super) owner: String,
    pub(super) key: Option<String>,
    pub(super) digest: [u8; 32],
    pub(super) rules: JobSpec,
    pub(super) specs: Vec<ExecutionSpec>,
    pub(super) epoch: u64,
    pub(super) created_at: OffsetDateTime,
    pub(super) started_at: Option<OffsetDateTime>,
    pub(super) finished_at: Option<OffsetDateTime>,
    pub(super) cancellation: Option<Cancellation>,
    pub(super) audit: Vec<AuditEntry>,
}

impl State {
    /// Ends a transaction: brings the index of due stops up to date, and returns what to signal.
    pub(super) fn settle(&mut self) -> Vec<Signal> {
        let changes = std::mem::take(&mut self.rows.changes);
        for id in changes.added.into_iter().chain(changes.attempts) {
            self.index_stop(id);
        }
        changes.signals
    }

    pub(super) fn index_stop(&mut self, id: AttemptId) {
        if let Some(known) = self.due_at.remove(&id) {
            self.due.remove(&(known, id));
        }
        let stop = self.rows.attempts.get(&id).and_then(|attempt| attempt.stop.as_ref());
        if let Some(due_at) = stop.and_then(|stop| stop.due_at) {
            self.due_at.insert(id, due_at);
            self.due.insert((due_at, id));
        }
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        self.rows.changes.signals.push(signal);
    }

    pub(super) fn status(&self, id: &JobId) -> Option<JobStatus> {
        self.rows.jobs.get(id).map(|job| job.status)
    }

    pub(super) fn submit(&mut self, now: OffsetDateTime, submission: &Submission) -> Submitted {
        let key = submission.idempotency_key.clone().map(|key| (submission.owner.clone(), key));
        let by_key = key.as_ref().and_then(|key| self.keys.get(key)).cloned();
        let taken = by_key.or_else(|| self.jobs.contains_key(&submission.id).then(|| submission.id.clone()));
        if let Some(id) = taken {
            return match (self.jobs.get(&id), self.status(&id)) {
                (Some(job), Some(status))
                    if job.owner == submission.owner && job.digest == submission.digest =>
                {
                    Submitted::equal(id, status, submission.spec.id.as_ref())
                }
                _ => Submitted::Conflict(id),
            };
        }
        let id = submission.id.clone();
        self.last_order += 1;
        let mut rules = submission.spec.clone();
        let specs = std::mem::take(&mut rules.executions);
        for index in 0..specs.len() {
            self.rows.executions.insert((id.clone(), position(index)), ExecutionRow::new());
        }
        self.rows.jobs.insert(
            id.clone(),
            JobRow { status: JobStatus::Queued, fence: None, allow_overlap: rules.allow_overlap },
        );
        let audit = AuditEntry {
            at: now,
            actor: submission.owner.clone(),
            action: AuditAction::Submitted,
            reason: None,
            detail: json!({ "executions": specs.len() }),
        };
        let entry = JobEntry {
            order: self.last_order,
            owner: submission.owner.clone(),
            key: submission.idempotency_key.clone(),
            digest: submission.digest,
            rules,
            specs,
            epoch: 0,
            created_at: now,
            started_at: None,
            finished_at: None,
            cancellation: None,
            audit: vec![audit],
        };
        self.order.insert(self.last_order, id.clone());
        self.queued.insert(self.last_order, id.clone());
        if let Some(key) = key {
            self.keys.insert(key, id.clone());
        }
        self.jobs.insert(id.clone(), entry);
        self.signal(Signal::Queued);
        Submitted::Created(id)
    }

    pub(super) fn start(&mut self, now: OffsetDateTime, start: &StartExecution) -> StartOutcome {
        let spec = self.jobs.get(&start.job).and_then(|job| job.specs.get(start.index as usize));
        let executor = spec.map(|spec| spec.executor.clone()).unwrap_or_default();
        self.rows.start(now, &executor, start)
    }

    pub(super) fn progress(&self, id: &JobId) -> Progress {
        let mut progress = Progress::default();
        for (_, execution) in self.executions(id) {
            progress.add(execution.status, 1);
        }
        progress
    }

    pub(super) fn executions(&self, id: &JobId) -> impl Iterator<Item = (u32, &ExecutionRow)> {
        let count = self.jobs.get(id).map_or(0, |job| position(job.specs.len()));
        (0..count).filter_map(move |index| {
            self.rows.executions.get(&(id.clone(), index)).map(|execution| (index, execution))
        })
    }

    pub(super) fn attempts<'a>(
        &'a self,
        execution: &'a ExecutionRow,
    ) -> impl DoubleEndedIterator<Item = &'a AttemptRow> {
        execution.attempts.iter().filter_map(|id| self.rows.attempts.get(id))
    }

    pub(super) fn prune(&mut self, now: OffsetDateTime, keep: Duration, limit: u32) -> u64 {
        let over = |job: &JobEntry| job.finished_at.is_some_and(|finished| finished + keep <= now);
        let prunable: Vec<JobId> = self
            .order
            .values()
            .filter(|id| self.jobs.get(id).is_some_and(over) && !self.is_driven(id))
            .take(limit as usize)
            .cloned()
            .collect();
        for id in &prunable {
            self.forget(id);
        }
        let minters = self.rows.attempts.values().map(|attempt| attempt.fence.incarnation);
        let holders = self.rows.jobs.values().filter_map(|job| job.fence.map(|fence| fence.incarnation));
        let referred: BTreeSet<IncarnationId> = minters.chain(holders).collect();
        self.nodes.retain(|id, node| node.ended.is_none() || referred.contains(id));
        prunable.len() as u64
    }

    /// Whether a stop of the job is open or watched.
    fn is_driven(&self, id: &JobId) -> bool {
        self.executions(id).any(|(_, execution)| self.attempts(execution).any(AttemptRow::is_driven))
    }

    fn forget(&mut self, id: &JobId) {
        let Some(job) = self.jobs.remove(id) else { return };
        self.order.remove(&job.order);
        if let Some(key) = job.key {
            self.keys.remove(&(job.owner, key));
        }
        self.rows.jobs.remove(id);
        for index in 0..job.specs.len() {
            let Some(execution) = self.rows.executions.remove(&(id.clone(), position(index))) else {
                continue;
            };
            for attempt in execution.attempts {
                self.rows.attempts.remove(&attempt);
                self.rows.told.remove(&attempt);
                self.index_stop(attempt);
            }
        }
    }
}

/// An execution's place in its job's list; a legal job has at most 100 000.
pub(super) fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
