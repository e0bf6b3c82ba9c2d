use time::OffsetDateTime;

use super::{AttemptRow, Rows};
use crate::id::{AttemptId, JobId};
use crate::job::{ExecutionStatus, JobStatus};
use crate::mutation::{Mutation, is_broken};
use crate::stop::SealedBy;
use crate::store::{
    ExecutionResult, Fence, FinishExecution, FinishOutcome, Refusal, ReportProgress, SaveHandle, SaveOutcome,
    StartExecution, StartOutcome,
};

impl Rows {
    /// Whether a fenced write on this job is refused.
    fn refusal(&self, job: &JobId, fence: Fence) -> Option<Refusal> {
        let Some(row) = self.jobs.get(job) else { return Some(Refusal::Lost) };
        match row.status {
            JobStatus::Cancelled => Some(Refusal::Cancelled),
            JobStatus::Completed | JobStatus::Failed => Some(Refusal::Finished),
            JobStatus::Queued => Some(Refusal::Lost),
            JobStatus::Running => (row.fence != Some(fence)).then_some(Refusal::Lost),
        }
    }

    /// The start barrier. `executor` is the execution's.
    pub(crate) fn start(
        &mut self,
        now: OffsetDateTime,
        executor: &str,
        start: &StartExecution,
    ) -> StartOutcome {
        if let Some(refusal) = self.refusal(&start.job, start.fence) {
            return StartOutcome::Refused(refusal);
        }
        let key = (start.job.clone(), start.index);
        let allow_overlap = self.jobs.get(&start.job).is_some_and(|job| job.allow_overlap);
        let Some(execution) = self.executions.get_mut(&key) else {
            return StartOutcome::Refused(Refusal::Lost);
        };
        if execution.status.is_terminal() {
            return StartOutcome::Refused(Refusal::Finished);
        }
        if execution.status.is_active() {
            // A repeated start, after its answer was lost.
            let mine = execution.is_current(start.attempt)
                && self.attempts.get(&start.attempt).is_some_and(|attempt| attempt.stop.is_none());
            return if mine {
                StartOutcome::Started { number: number(execution.attempts.len()) }
            } else {
                StartOutcome::Refused(Refusal::Lost)
            };
        }
        if is_broken(Mutation::HandlePerExecution) {
            for id in &execution.attempts {
                if let Some(older) = self.attempts.get_mut(id) {
                    older.stop = None;
                    self.changes.attempts.insert(*id);
                }
            }
        }
        let open = |id| self.attempts.get(id).is_some_and(AttemptRow::has_open_stop);
        if !allow_overlap && execution.attempts.iter().any(open) {
            return StartOutcome::Refused(Refusal::StopOpen);
        }
        // Last, for a store may learn of an id that was used elsewhere only when it writes it.
        if self.attempts.contains_key(&start.attempt) {
            return StartOutcome::Refused(Refusal::Lost);
        }
        execution.status = ExecutionStatus::Starting;
        execution.attempts.push(start.attempt);
        execution.counted += 1;
        execution.started_at.get_or_insert(now);
        let number = number(execution.attempts.len());
        let row = AttemptRow {
            id: start.attempt,
            job: start.job.clone(),
            index: start.index,
            executor: executor.to_owned(),
            number,
            fence: start.fence,
            started_at: now,
            handle: None,
            sealed: None,
            late_output: None,
            stop: None,
        };
        self.attempts.insert(start.attempt, row);
        self.changes.executions.insert(key);
        self.changes.added.insert(start.attempt);
        self.changes.job(&start.job);
        StartOutcome::Started { number }
    }

    /// Records a handle, and grants or refuses the permit to begin.
    pub(crate) fn save_handle(&mut self, now: OffsetDateTime, save: &SaveHandle) -> SaveOutcome {
        let refusal = self.refusal(&save.job, save.fence);
        let key = (save.job.clone(), save.index);
        let goes_on = self.goes_on_elsewhere(&key, save.attempt, refusal);
        let Some(attempt) = self.attempts.get_mut(&save.attempt) else {
            return SaveOutcome::Refused(refusal.unwrap_or(Refusal::Lost));
        };
        let new_handle = attempt.handle.as_ref() != Some(&save.handle);
        if new_handle {
            attempt.handle = Some(save.handle.clone());
        }
        let execution = self.executions.get_mut(&key);
        let current = execution.as_ref().is_some_and(|execution| execution.is_current(save.attempt));
        let refusal = refusal
            .or_else(|| (!current).then_some(Refusal::Lost))
            .or_else(|| attempt.stop.is_some().then_some(Refusal::Lost));
        let outcome = match refusal {
            Some(refusal) => {
                if !goes_on {
                    attempt.request_stop(now);
                }
                if new_handle {
                    attempt.reopen(now, "a handle was saved after the stop was settled");
                }
                self.changes.stops_due();
                SaveOutcome::Refused(refusal)
            }
            None => {
                if let Some(execution) = execution
                    && execution.status == ExecutionStatus::Starting
                {
                    execution.status = ExecutionStatus::Running;
                    self.changes.executions.insert(key);
                }
                SaveOutcome::Granted
            }
        };
        self.changes.attempt(save.attempt);
        self.changes.job(&save.job);
        outcome
    }

    /// Records how far an attempt has come, where that is taken from this writer.
    pub(crate) fn report_progress(&mut self, report: &ReportProgress) -> bool {
        let key = (report.job.clone(), report.index);
        let may_report = self.refusal(&report.job, report.fence).is_none()
            && self.executions.get(&key).is_some_and(|execution| execution.is_current(report.attempt));
        if may_report {
            self.told.insert(report.attempt, report.progress.clone());
            self.changes.job(&report.job);
        }
        may_report
    }

    /// Records how an attempt ended.
    pub(crate) fn finish(&mut self, now: OffsetDateTime, finish: &FinishExecution) -> FinishOutcome {
        let key = (finish.job.clone(), finish.index);
        let current = self
            .executions
            .get(&key)
            .is_some_and(|execution| execution.is_current(finish.attempt) || execution.is_given_up(finish));
        let mut refusal =
            self.refusal(&finish.job, finish.fence).or_else(|| (!current).then_some(Refusal::Lost));
        if is_broken(Mutation::LateOutputCounts) && refusal == Some(Refusal::Cancelled) {
            refusal = None;
        }
        let Some(attempt) = self.attempts.get_mut(&finish.attempt) else {
            return FinishOutcome::Refused(refusal.unwrap_or(Refusal::Lost));
        };
        self.changes.attempt(finish.attempt);
        self.changes.job(&finish.job);
        if finish.sealed {
            attempt.seal(now, SealedBy::Minter);
        }
        let execution = match (refusal, self.executions.get_mut(&key)) {
            (None, Some(execution)) => execution,
            (refusal, _) => return self.refuse_finish(now, finish, refusal.unwrap_or(Refusal::Lost)),
        };
        match &finish.result {
            ExecutionResult::Completed(output) => {
                execution.status = ExecutionStatus::Completed;
                execution.output = Some(output.clone());
                execution.error = None;
            }
            ExecutionResult::Failed { failure, output, retry, counts } => {
                execution.status = if *retry { ExecutionStatus::Queued } else { ExecutionStatus::Failed };
                execution.error = Some(failure.clone());
                execution.output.clone_from(output);
                if !counts {
                    execution.counted = execution.counted.saturating_sub(1);
                }
                if !is_broken(Mutation::FailureWithoutStop) {
                    attempt.request_stop(now);
                    self.changes.stops_due();
                }
            }
        }
        if execution.status.is_terminal() {
            execution.finished_at = Some(now);
        }
        self.changes.executions.insert(key);
        FinishOutcome::Finished
    }

    /// Whether an attempt is the business of whoever holds its job now, or will: it is under way, and its
    /// handle is enough to watch it. What a former holder says of it then ends nothing.
    fn goes_on_elsewhere(&self, key: &(JobId, u32), attempt: AttemptId, refusal: Option<Refusal>) -> bool {
        refusal == Some(Refusal::Lost)
            && self.executions.get(key).is_some_and(|execution| execution.is_current(attempt))
            && self.attempts.get(&attempt).is_some_and(|row| row.handle.is_some())
    }

    fn refuse_finish(
        &mut self,
        now: OffsetDateTime,
        finish: &FinishExecution,
        refusal: Refusal,
    ) -> FinishOutcome {
        if self.is_same_finish(finish) {
            return FinishOutcome::Finished;
        }
        let key = (finish.job.clone(), finish.index);
        let goes_on = self.goes_on_elsewhere(&key, finish.attempt, Some(refusal));
        if let Some(attempt) = self.attempts.get_mut(&finish.attempt) {
            if !goes_on && attempt.request_stop(now) {
                self.changes.stops_due();
            }
            let output = match &finish.result {
                ExecutionResult::Completed(output) => Some(output),
                ExecutionResult::Failed { output, .. } => output.as_ref(),
            };
            if let Some(output) = output {
                attempt.late_output.get_or_insert_with(|| output.clone());
            }
        }
        FinishOutcome::Refused(refusal)
    }

    /// Whether this very finish was recorded before and only its answer was lost.
    fn is_same_finish(&self, finish: &FinishExecution) -> bool {
        let Some(attempt) = self.attempts.get(&finish.attempt) else { return false };
        let Some(execution) = self.executions.get(&(finish.job.clone(), finish.index)) else { return false };
        if attempt.fence != finish.fence && !execution.attempts.contains(&finish.attempt) {
            return false;
        }
        let last = execution.attempts.last() == Some(&finish.attempt);
        match &finish.result {
            ExecutionResult::Completed(output) => {
                last && execution.status == ExecutionStatus::Completed
                    && execution.output.as_ref() == Some(output)
            }
            ExecutionResult::Failed { failure, retry, .. } => {
                let status = if *retry { ExecutionStatus::Queued } else { ExecutionStatus::Failed };
                last && execution.status == status && execution.error.as_ref() == Some(failure)
            }
        }
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
