//! The working set of a batch: the rows that it touches are loaded, the shared rules change them,
//! and what changed is written back. All of it set-based: the number of statements does not depend
//! on the number of rows.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;

use super::codec::{self, blob_hex, nanos};
use super::link::{Answers, Link};
use super::statements;
use crate::id::{AttemptId, JobId};
use crate::job::AuditAction;
use crate::store::rules::{AttemptRow, ExecutionRow, JobRow, Rows, StopRow};
use crate::store::sql::{self, Cells, Fault, json, text};
use crate::store::{
    CloseStop, CloseStopOutcome, FinishExecution, FinishOutcome, StartExecution, StartOutcome,
};

/// What a batch touches.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    executions: BTreeMap<&'a JobId, BTreeSet<u32>>,
    /// Attempts to load by their ids whatever execution they belong to.
    attempts: BTreeSet<AttemptId>,
    /// Attempts that should turn up with their executions.
    expected: Vec<AttemptId>,
}

impl<'a> Wanted<'a> {
    pub(super) fn execution(&mut self, job: &'a JobId, index: u32) {
        self.executions.entry(job).or_default().insert(index);
    }

    pub(super) fn attempt(&mut self, attempt: AttemptId) {
        self.attempts.insert(attempt);
    }

    pub(super) fn expect(&mut self, attempt: AttemptId) {
        self.expected.push(attempt);
    }
}

/// The loaded rows, with what the shared rules do not know of.
#[derive(Debug, Default)]
pub(super) struct WorkingSet {
    pub(super) rows: Rows,
    seqs: HashMap<JobId, i64>,
    executors: HashMap<(JobId, u32), String>,
    /// Executions whose result was written by this batch.
    finished: BTreeSet<(JobId, u32)>,
    audit: Vec<(i64, i64, String, AuditAction, String, String)>,
}

impl WorkingSet {
    /// Opens a transaction and loads what the batch touches.
    pub(super) async fn load(link: &mut Link<'_>, wanted: &Wanted<'_>) -> Result<Self, Fault> {
        let mut set = Self::default();
        let call = link.call(statements::LOAD).bind(json(&wanted.executions));
        let answers = link.run(call).await?;
        for row in answers.rows(0) {
            set.add(row)?;
        }
        let expected = wanted.expected.iter().filter(|id| !set.rows.attempts.contains_key(id));
        let missing: Vec<_> = wanted.attempts.iter().chain(expected).collect();
        if !missing.is_empty() {
            set.load_attempts(link, attempt_ids(missing.into_iter())).await?;
        }
        Ok(set)
    }

    /// Loads attempts into a set, in the transaction that is open.
    pub(super) async fn load_attempts(&mut self, link: &mut Link<'_>, ids: String) -> Result<(), Fault> {
        let answers = link.run(link.call(statements::LOAD_ATTEMPTS).bind(ids)).await?;
        self.add_attempts(&answers, 0)
    }

    /// Adds a row of `LOAD`: a job, an execution of it, and one of its attempts, as far as there is.
    fn add(&mut self, row: &SqliteRow) -> Result<(), Fault> {
        let job = row.job(0)?;
        if !self.rows.jobs.contains_key(&job) {
            self.seqs.insert(job.clone(), row.long(1)?);
            let (status, fence) = (row.word(2)?, row.fence(3)?);
            let allow_overlap = row.flag(5)?;
            self.rows.jobs.insert(job.clone(), JobRow { status, fence, allow_overlap });
        }
        let Some(key) = row.optional_long(6)? else { return Ok(()) };
        let index = sql::index(key);
        let key = (job.clone(), index);
        if !self.rows.executions.contains_key(&key) {
            let execution = ExecutionRow {
                status: row.status(7)?,
                attempts: Vec::new(),
                counted: row.count(8)?,
                started_at: row.optional_time(9)?,
                finished_at: row.optional_time(10)?,
                error: row.optional_json(12)?,
                output: row.optional_json(13)?,
            };
            self.rows.executions.insert(key.clone(), execution);
            self.executors.insert(key.clone(), row.string(11)?);
        }
        if row.optional_long(14)?.is_some() {
            let attempt = sql::attempt(row, 14, job, index)?;
            if let Some(execution) = self.rows.executions.get_mut(&key) {
                // They come in the order of their numbers.
                execution.attempts.push(attempt.id);
            }
            self.rows.attempts.insert(attempt.id, attempt);
        }
        Ok(())
    }

    fn add_attempts(&mut self, answers: &Answers, statement: usize) -> Result<(), Fault> {
        for row in answers.rows(statement) {
            let job = row.job(0)?;
            let key = row.long(1)?;
            self.seqs.insert(job.clone(), key.div_euclid(sql::KEYS));
            let attempt = sql::attempt(row, 2, job, sql::index(key))?;
            self.rows.attempts.entry(attempt.id).or_insert(attempt);
        }
        Ok(())
    }

    pub(super) fn start(&mut self, now: OffsetDateTime, start: &StartExecution) -> StartOutcome {
        let key = (start.job.clone(), start.index);
        let executor = self.executors.get(&key).map_or("", String::as_str);
        self.rows.start(now, executor, start)
    }

    pub(super) fn finish(&mut self, now: OffsetDateTime, finish: &FinishExecution) -> FinishOutcome {
        let outcome = self.rows.finish(now, finish);
        if outcome == FinishOutcome::Finished {
            self.finished.insert((finish.job.clone(), finish.index));
        }
        outcome
    }

    pub(super) fn close_stop(&mut self, now: OffsetDateTime, close: &CloseStop) -> CloseStopOutcome {
        let outcome = self.rows.close_stop(close);
        if outcome == CloseStopOutcome::Closed
            && let Some(seq) = self.rows.job_of(&close.attempt).and_then(|job| self.seqs.get(job))
        {
            let detail = json(&serde_json::json!({ "attempt": close.attempt }));
            let (actor, reason) = (text(&close.by).into_owned(), text(&close.reason).into_owned());
            self.audit.push((*seq, nanos(now), actor, AuditAction::StopClosed, reason, detail));
        }
        outcome
    }

    /// Writes back what changed, and commits.
    pub(super) async fn store(&self, link: &mut Link<'_>) -> Result<(), Fault> {
        let changes = &self.rows.changes;
        let executions: Vec<_> =
            changes.executions.iter().filter_map(|key| self.execution_tuple(key)).collect();
        let results: Vec<_> = self
            .finished
            .intersection(&changes.executions)
            .filter_map(|key| {
                let execution = self.rows.executions.get(key)?;
                Some((
                    self.key(key)?,
                    execution.error.as_ref().map(json),
                    execution.output.as_ref().map(json),
                ))
            })
            .collect();
        let changed: Vec<_> = changes
            .added
            .iter()
            .chain(&changes.attempts)
            .filter_map(|id| {
                let attempt = self.rows.attempts.get(id)?;
                Some((self.key(&(attempt.job.clone(), attempt.index))?, attempt))
            })
            .collect();
        let attempts: Vec<_> = changed.iter().map(|(key, attempt)| attempt_tuple(*key, attempt)).collect();
        let stops: Vec<_> = changed
            .iter()
            .filter_map(|(key, attempt)| Some(stop_tuple(*key, attempt.number, attempt.stop.as_ref()?)))
            .collect();
        if !self.rows.told.is_empty() {
            let told: Vec<_> = self
                .rows
                .told
                .iter()
                .map(|(id, progress)| (blob_hex(id.as_uuid()), json(progress)))
                .collect();
            link.run(link.call(statements::STORE_PROGRESS).bind(json(&told))).await?;
        }
        // The fewer statements, the fewer switches of threads.
        let step = if !stops.is_empty() || !self.audit.is_empty() {
            statements::STORE_ALL
        } else if !results.is_empty() {
            statements::STORE_RESULTS
        } else {
            statements::STORE
        };
        let mut call = link.call(step).bind(json(&executions)).bind(json(&attempts));
        if !results.is_empty() || !stops.is_empty() || !self.audit.is_empty() {
            call = call.bind(json(&results)).bind(json(&stops)).bind(json(&self.audit));
        }
        link.run(call).await.map(drop)
    }

    fn key(&self, (job, index): &(JobId, u32)) -> Option<i64> {
        Some(codec::key(*self.seqs.get(job)?, *index))
    }

    fn execution_tuple(&self, key: &(JobId, u32)) -> Option<ExecutionTuple> {
        let execution = self.rows.executions.get(key)?;
        Some((
            self.key(key)?,
            sql::codec::status_code(execution.status),
            execution.attempts.len(),
            execution.counted,
            execution.started_at.map(nanos),
            execution.finished_at.map(nanos),
        ))
    }
}

pub(super) fn attempt_ids<'a>(ids: impl Iterator<Item = &'a AttemptId>) -> String {
    json(&ids.map(|id| blob_hex(id.as_uuid())).collect::<Vec<_>>())
}

type ExecutionTuple = (i64, i64, usize, u32, Option<i64>, Option<i64>);

type AttemptTuple<'a> =
    (i64, u32, String, String, u64, &'a str, i64, Option<String>, Option<&'static str>, Option<String>);

fn attempt_tuple(key: i64, attempt: &AttemptRow) -> AttemptTuple<'_> {
    (
        key,
        attempt.number,
        blob_hex(attempt.id.as_uuid()),
        blob_hex(attempt.fence.incarnation.as_uuid()),
        attempt.fence.epoch,
        &attempt.executor,
        nanos(attempt.started_at),
        attempt.handle.as_ref().map(json),
        attempt.sealed.map(|sealed| sealed.as_str()),
        attempt.late_output.as_ref().map(json),
    )
}

type StopTuple<'a> = (
    i64,
    u32,
    &'static str,
    u8,
    &'static str,
    i64,
    i64,
    Option<i64>,
    u32,
    Option<i64>,
    Option<String>,
    Option<Cow<'a, str>>,
);

fn stop_tuple(key: i64, number: u32, stop: &StopRow) -> StopTuple<'_> {
    (
        key,
        number,
        stop.state.as_str(),
        stop.settled.into(),
        stop.mode.as_str(),
        nanos(stop.force_at),
        nanos(stop.requested_at),
        stop.due_at.map(nanos),
        stop.tries,
        stop.confirmed_at.map(nanos),
        stop.evidence.as_ref().map(json),
        stop.why.as_deref().map(text),
    )
}
