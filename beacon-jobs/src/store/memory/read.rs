use std::collections::HashMap;
use std::time::Duration;

use time::OffsetDateTime;

use super::state::State;
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::job::{
    ExecutionOutline, ExecutionProgress, ExecutionRecord, ExecutionStatus, JobDetail, JobOutline, JobRecord,
    JobStatus, StopCounts, StopRecord,
};
use crate::stop::StopState;
use crate::store::rules::{AttemptRow, ExecutionRow};
use crate::store::{DrivenStops, ExecutionPage, JobFilter, JobList, StopAge};

impl State {
    pub(super) fn record(&self, now: OffsetDateTime, id: &JobId) -> Option<JobRecord> {
        let job = self.jobs.get(id)?;
        let status = self.status(id)?;
        let waiting_for = if status == JobStatus::Queued {
            self.missing_executors(id, |name| {
                self.nodes
                    .values()
                    .any(|node| node.is_alive(now) && node.node.executors.iter().any(|has| has == name))
            })
        } else {
            Vec::new()
        };
        Some(JobRecord {
            id: id.clone(),
            owner: job.owner.clone(),
            status,
            labels: job.rules.labels.clone(),
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            progress: self.progress(id),
            cancellation: job.cancellation.clone(),
            waiting_for,
        })
    }

    pub(super) fn detail(&self, now: OffsetDateTime, id: &JobId, page: ExecutionPage) -> Option<JobDetail> {
        let record = self.record(now, id)?;
        let job = self.jobs.get(id)?;
        let executions = self
            .executions(id)
            .zip(&job.specs)
            .skip(page.offset as usize)
            .take(page.limit as usize)
            .map(|((index, execution), spec)| ExecutionRecord {
                index,
                executor: spec.executor.clone(),
                lane: spec.lane.clone(),
                labels: spec.labels.clone(),
                status: execution.status,
                attempt: u32::try_from(execution.attempts.len()).unwrap_or(u32::MAX),
                started_at: execution.started_at,
                finished_at: execution.finished_at,
                progress: self.told(execution),
                error: execution.error.clone(),
                output: execution.output.clone(),
                late_output: self.attempts(execution).rev().find_map(|attempt| attempt.late_output.clone()),
                stop: self.stop(execution),
            })
            .collect();
        Some(JobDetail { job: record, rules: job.rules.clone(), executions, stops: self.stops(id) })
    }

    pub(super) fn outline(&self, now: OffsetDateTime, id: &JobId) -> Option<JobOutline> {
        let executions = self
            .executions(id)
            .map(|(_, execution)| ExecutionOutline {
                status: execution.status,
                attempt: u32::try_from(execution.attempts.len()).unwrap_or(u32::MAX),
                started_at: execution.started_at,
                finished_at: execution.finished_at,
                progress: self.told(execution),
                error: execution.error.clone(),
                stop: self.stop(execution),
            })
            .collect();
        Some(JobOutline { job: self.record(now, id)?, stops: self.stops(id), executions })
    }

    fn told(&self, execution: &ExecutionRow) -> Option<ExecutionProgress> {
        self.rows.told.get(execution.attempts.last()?).cloned()
    }

    /// The stop that an execution shows.
    fn stop(&self, execution: &ExecutionRow) -> Option<StopRecord> {
        Some(self.least_settled(execution)?.stop.as_ref()?.record())
    }

    fn least_settled<'a>(&'a self, execution: &'a ExecutionRow) -> Option<&'a AttemptRow> {
        self.attempts(execution)
            .filter(|attempt| attempt.stop.is_some())
            .max_by_key(|attempt| attempt.unsettledness())
    }

    pub(super) fn stops(&self, id: &JobId) -> StopCounts {
        let mut counts = StopCounts::default();
        for (_, execution) in self.executions(id) {
            match self.least_settled(execution) {
                Some(attempt) => counts.add(attempt.stop_state(), !attempt.has_open_stop(), 1),
                None if execution.status == ExecutionStatus::Cancelled => {
                    counts.add(StopState::NotNeeded, true, 1);
                }
                None => {}
            }
        }
        counts
    }

    pub(super) fn driven_stops(&self, now: OffsetDateTime) -> Vec<DrivenStops> {
        let mut counts = HashMap::<_, u64>::new();
        let driven = self.due.iter().filter_map(|(_, id)| self.rows.attempts.get(id)?.stop.as_ref());
        for stop in driven.filter(|stop| stop.state != StopState::Confirmed) {
            let age = Duration::try_from(now - stop.requested_at).unwrap_or_default();
            *counts.entry((stop.state, StopAge::of(age))).or_default() += 1;
        }
        counts.into_iter().map(|((state, age), count)| DrivenStops { state, age, count }).collect()
    }

    pub(super) fn list(&self, now: OffsetDateTime, filter: &JobFilter) -> Result<JobList> {
        let before = match &filter.cursor {
            Some(cursor) => {
                cursor.parse().map_err(|_| Error::invalid("cursor", "must come from an earlier answer"))?
            }
            None => u64::MAX,
        };
        let fits = |id: &&JobId| {
            self.jobs.get(id).is_some_and(|job| {
                filter.owner.as_ref().is_none_or(|owner| *owner == job.owner)
                    && filter.status.is_none_or(|status| self.status(id) == Some(status))
                    && filter.labels.iter().all(|(key, value)| job.rules.labels.get(key) == Some(value))
            })
        };
        let limit = filter.limit as usize;
        let mut ids: Vec<&JobId> =
            self.order.range(..before).rev().map(|(_, id)| id).filter(fits).take(limit + 1).collect();
        let more = ids.len() > limit;
        ids.truncate(limit);
        let last = ids.last().and_then(|id| self.jobs.get(id)).map(|job| job.order.to_string());
        Ok(JobList {
            jobs: ids.into_iter().filter_map(|id| self.record(now, id)).collect(),
            next_cursor: last.filter(|_| more),
        })
    }
}
