use time::OffsetDateTime;

use super::{Cells, Fault, codec};
use crate::id::{IncarnationId, JobId};
use crate::job::{
    ExecutionOutline, ExecutionRecord, ExecutionSpec, ExecutionStatus, Failure, JobSpec, StopRecord,
};
use crate::stop::StopState;
use crate::store::rules::{AttemptRow, StopRow};
use crate::store::{ClaimedExecution, Fence, PastAttempt};

/// Reads an execution: key, status, attempts, started_at, finished_at, progress, spec, error, output,
/// late_output, and of the stop that it shows state, requested_at, confirmed_at, evidence, why.
pub(crate) fn execution(row: &impl Cells) -> Result<ExecutionRecord, Fault> {
    let status = row.status(1)?;
    let spec: ExecutionSpec = row.json(6)?;
    Ok(ExecutionRecord {
        index: codec::index(row.long(0)?),
        executor: spec.executor,
        lane: spec.lane,
        labels: spec.labels,
        status,
        attempt: row.count(2)?,
        started_at: row.optional_time(3)?,
        finished_at: row.optional_time(4)?,
        progress: row.optional_json(5)?,
        error: error(row, status, 7)?,
        output: row.optional_json(8)?,
        late_output: row.optional_json(9)?,
        stop: shown_stop(row, 10)?,
    })
}

/// Reads the state of an execution: key, status, attempts, started_at, finished_at, progress, error, and of
/// the stop that it shows state, requested_at, confirmed_at, evidence, why.
pub(crate) fn outline(row: &impl Cells) -> Result<ExecutionOutline, Fault> {
    let status = row.status(1)?;
    Ok(ExecutionOutline {
        status,
        attempt: row.count(2)?,
        started_at: row.optional_time(3)?,
        finished_at: row.optional_time(4)?,
        progress: row.optional_json(5)?,
        error: error(row, status, 6)?,
        stop: shown_stop(row, 7)?,
    })
}

fn error(row: &impl Cells, status: ExecutionStatus, column: usize) -> Result<Option<Failure>, Fault> {
    // The cancel does not visit the results; an older attempt's error is no longer true.
    if status == ExecutionStatus::Cancelled { Ok(None) } else { row.optional_json(column) }
}

fn shown_stop(row: &impl Cells, first: usize) -> Result<Option<StopRecord>, Fault> {
    let Some(state) = row.optional_word(first)? else { return Ok(None) };
    Ok(Some(StopRecord {
        state,
        requested_at: row.time(first + 1)?,
        confirmed_at: row.optional_time(first + 2)?,
        evidence: row.optional_json(first + 3)?,
        why: row.optional_string(first + 4)?,
    }))
}

/// A job that was taken, without its executions. Those are read after the commit: they may be
/// many, and a cancel must not wait for that.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) seq: i64,
    pub(crate) id: JobId,
    pub(crate) fence: Fence,
    pub(crate) started_at: OffsetDateTime,
    pub(crate) rules: JobSpec,
}

impl Taken {
    /// Reads a job that was taken: seq, id, epoch, started_at, rules.
    pub(crate) fn read(row: &impl Cells, incarnation: IncarnationId) -> Result<Self, Fault> {
        Ok(Self {
            seq: row.long(0)?,
            id: row.job(1)?,
            fence: Fence { incarnation, epoch: row.count(2)? },
            started_at: row.time(3)?,
            rules: row.json(4)?,
        })
    }
}

/// Reads an execution of a job that was taken: status, counted, spec, input, and of its last attempt
/// number, id, started_at, handle, and the state of its stop.
pub(crate) fn claimed(row: &impl Cells, first: usize) -> Result<ClaimedExecution, Fault> {
    let mut spec: ExecutionSpec = row.json(first + 2)?;
    spec.input = row.json(first + 3)?;
    let last_attempt = match row.optional_long(first + 4)? {
        None => None,
        Some(_) => Some(PastAttempt {
            id: row.attempt(first + 5)?,
            number: row.count(first + 4)?,
            started_at: row.time(first + 6)?,
            handle: row.optional_json(first + 7)?,
            stop: row.optional_word(first + 8)?.unwrap_or(StopState::NotNeeded),
        }),
    };
    Ok(ClaimedExecution {
        spec,
        status: row.status(first)?,
        counted_attempts: row.count(first + 1)?,
        last_attempt,
    })
}

/// Reads an attempt as the rules change it: number, id, incarnation, epoch, executor, started_at,
/// handle, sealed_by, late_output, and its stop.
pub(crate) fn attempt(row: &impl Cells, first: usize, job: JobId, index: u32) -> Result<AttemptRow, Fault> {
    Ok(AttemptRow {
        id: row.attempt(first + 1)?,
        job,
        index,
        executor: row.string(first + 4)?,
        number: row.count(first)?,
        fence: row.fence(first + 2)?.ok_or_else(|| Fault::corrupt("an attempt has no incarnation"))?,
        started_at: row.time(first + 5)?,
        handle: row.optional_json(first + 6)?,
        sealed: row.optional_word(first + 7)?,
        late_output: row.optional_json(first + 8)?,
        stop: stop(row, first + 9)?,
    })
}

/// Reads the stop of an attempt, if it has one: state, settled, mode, force_at, requested_at, due_at,
/// tries, confirmed_at, evidence, why.
fn stop(row: &impl Cells, first: usize) -> Result<Option<StopRow>, Fault> {
    let Some(state) = row.optional_word(first)? else { return Ok(None) };
    Ok(Some(StopRow {
        state,
        settled: row.flag(first + 1)?,
        mode: row.word(first + 2)?,
        force_at: row.time(first + 3)?,
        requested_at: row.time(first + 4)?,
        due_at: row.optional_time(first + 5)?,
        tries: row.count(first + 6)?,
        confirmed_at: row.optional_time(first + 7)?,
        evidence: row.optional_json(first + 8)?,
        why: row.optional_string(first + 9)?,
    }))
}
