use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;

use super::state::{State, position};
use crate::cancel::{CancelOutcome, CancelRequest, Escalation, StopMode};
use crate::id::{AttemptId, JobId};
use crate::job::{AuditAction, AuditEntry, Cancellation, ExecutionStatus, Failure, FailureKind, JobStatus};
use crate::store::rules::StopRow;
use crate::store::{CloseStop, CloseStopOutcome, FinishJob, FinishJobOutcome, Refusal, Signal};

/// What the executions of a job that ends as a whole become.
struct End {
    status: ExecutionStatus,
    error: Option<Failure>,
    mode: StopMode,
    grace: Duration,
}

impl State {
    pub(super) fn cancel(
        &mut self,
        now: OffsetDateTime,
        id: &JobId,
        request: &CancelRequest,
    ) -> CancelOutcome {
        let (Some(previous_status), Some(job)) = (self.status(id), self.jobs.get(id)) else {
            return CancelOutcome::NotFound;
        };
        if !request.by.may_act_for(&job.owner) {
            return CancelOutcome::NotYours;
        }
        if let Some(record) = job.cancellation.clone() {
            let escalation = self.escalate(now, id, request);
            return CancelOutcome::AlreadyCancelled { record, stops: self.stops(id), escalation };
        }
        if previous_status.is_terminal() {
            return CancelOutcome::AlreadyFinished { status: previous_status };
        }
        let end = End {
            status: ExecutionStatus::Cancelled,
            error: None,
            mode: request.mode,
            grace: request.effective_grace(),
        };
        let (changed, opened) = self.end_executions(now, id, &end);
        let record = Cancellation::new(previous_status, now, request, changed);
        self.end_job(now, id, JobStatus::Cancelled);
        let entry = AuditEntry {
            at: now,
            actor: record.cancelled_by.clone(),
            action: AuditAction::Cancelled,
            reason: record.reason.clone(),
            detail: json!({
                "previous_status": previous_status, "mode": request.mode,
                "executions_cancelled": changed, "stops_requested": opened.len(),
            }),
        };
        if let Some(job) = self.jobs.get_mut(id) {
            job.cancellation = Some(record.clone());
            job.audit.push(entry);
        }
        self.signal(Signal::Cancelled(id.clone()));
        let opened = self.stop_items(now, &opened);
        CancelOutcome::Cancelled { record, stops: self.stops(id), opened }
    }

    /// Shortens the grace of the job's open stops, where the request ends it earlier.
    fn escalate(&mut self, now: OffsetDateTime, id: &JobId, request: &CancelRequest) -> Option<Escalation> {
        let force_at = now + request.effective_grace();
        let mut hastened = Vec::new();
        let count = self.jobs.get(id).map_or(0, |job| position(job.specs.len()));
        for index in 0..count {
            let Some(execution) = self.rows.executions.get(&(id.clone(), index)) else { continue };
            for attempt in &execution.attempts {
                let Some(attempt) = self.rows.attempts.get_mut(attempt) else { continue };
                let Some(stop) = attempt.stop.as_mut().filter(|stop| !stop.settled) else { continue };
                if force_at < stop.force_at.max(now) {
                    stop.force_at = force_at;
                    stop.mode = request.mode;
                    stop.due_at = Some(now);
                    hastened.push(attempt.id);
                }
            }
        }
        if hastened.is_empty() {
            return None;
        }
        let entry = AuditEntry {
            at: now,
            actor: request.by.name().to_owned(),
            action: AuditAction::Escalated,
            reason: request.reason.clone(),
            detail: json!({ "mode": request.mode, "stops_hastened": hastened.len() }),
        };
        if let Some(job) = self.jobs.get_mut(id) {
            job.audit.push(entry);
        }
        self.rows.changes.attempts.extend(&hastened);
        self.signal(Signal::Cancelled(id.clone()));
        Some(Escalation { hastened: self.stop_items(now, &hastened) })
    }

    pub(super) fn finish_job(&mut self, now: OffsetDateTime, finish: &FinishJob) -> FinishJobOutcome {
        let Some(row) = self.rows.jobs.get(&finish.job) else {
            return FinishJobOutcome::Refused(Refusal::Lost);
        };
        match row.status {
            JobStatus::Cancelled => return FinishJobOutcome::Refused(Refusal::Cancelled),
            JobStatus::Completed | JobStatus::Failed => return FinishJobOutcome::Finished(row.status),
            JobStatus::Running if row.fence == Some(finish.fence) => {}
            _ => return FinishJobOutcome::Refused(Refusal::Lost),
        }
        let outcome = if finish.timed_out {
            let end = End {
                status: ExecutionStatus::Failed,
                error: Some(Failure::new(FailureKind::Timeout, "the time of the job was up")),
                mode: StopMode::Graceful,
                grace: CancelRequest::DEFAULT_GRACE,
            };
            let (_, opened) = self.end_executions(now, &finish.job, &end);
            if !opened.is_empty() {
                self.signal(Signal::StopsDue);
            }
            JobStatus::Failed
        } else {
            let progress = self.progress(&finish.job);
            if !progress.is_over() {
                return FinishJobOutcome::Unfinished;
            }
            let rate = self.jobs.get(&finish.job).map_or(1.0, |job| job.rules.min_success_rate);
            progress.outcome(rate)
        };
        self.end_job(now, &finish.job, outcome);
        self.signal(Signal::Job(finish.job.clone()));
        FinishJobOutcome::Finished(outcome)
    }

    /// Ends every execution without an outcome, and requests the stop of each attempt under way.
    fn end_executions(&mut self, now: OffsetDateTime, id: &JobId, end: &End) -> (u64, Vec<AttemptId>) {
        let count = self.jobs.get(id).map_or(0, |job| position(job.specs.len()));
        let mut changed = 0;
        let mut opened = Vec::new();
        for index in 0..count {
            let key = (id.clone(), index);
            let Some(execution) = self.rows.executions.get_mut(&key) else { continue };
            if execution.status.is_terminal() {
                continue;
            }
            if execution.status.is_active()
                && let Some(attempt) =
                    execution.attempts.last().and_then(|attempt| self.rows.attempts.get_mut(attempt))
                && attempt.stop.is_none()
            {
                attempt.stop = Some(StopRow::requested(now, end.mode, end.grace));
                opened.push(attempt.id);
            }
            execution.status = end.status;
            execution.error.clone_from(&end.error);
            execution.finished_at = Some(now);
            changed += 1;
        }
        self.rows.changes.attempts.extend(&opened);
        (changed, opened)
    }

    fn end_job(&mut self, now: OffsetDateTime, id: &JobId, status: JobStatus) {
        if let Some(row) = self.rows.jobs.get_mut(id) {
            row.status = status;
        }
        if let Some(job) = self.jobs.get_mut(id) {
            job.finished_at = Some(now);
            self.queued.remove(&job.order);
            self.running.remove(&job.order);
        }
    }

    pub(super) fn close_stop(&mut self, now: OffsetDateTime, close: &CloseStop) -> CloseStopOutcome {
        let outcome = self.rows.close_stop(close);
        if outcome == CloseStopOutcome::Closed
            && let Some(job) = self.rows.job_of(&close.attempt).cloned()
            && let Some(job) = self.jobs.get_mut(&job)
        {
            job.audit.push(AuditEntry {
                at: now,
                actor: close.by.clone(),
                action: AuditAction::StopClosed,
                reason: Some(close.reason.clone()),
                detail: json!({ "attempt": close.attempt }),
            });
        }
        outcome
    }
}
