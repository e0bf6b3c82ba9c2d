use std::collections::HashSet;

use time::OffsetDateTime;

use super::codec::KEYS;
use super::{Cells, Fault};
use crate::error::{Error, Result};
use crate::job::{AuditEntry, Cancellation, JobRecord, JobSpec, JobStatus, Progress};
use crate::store::{ExecutionPage, HeldJob};

/// Before which job, in the order of submission, a page of a list is to be read.
pub(crate) fn before(cursor: Option<&str>) -> Result<i64> {
    let Some(cursor) = cursor else { return Ok(i64::MAX) };
    let before: u64 =
        cursor.parse().map_err(|_| Error::invalid("cursor", "must come from an earlier answer"))?;
    Ok(i64::try_from(before).unwrap_or(i64::MAX))
}

/// The first and the last of a page's executions, counted from the first of their job.
pub(crate) fn page(page: ExecutionPage) -> (i64, i64) {
    let first = i64::from(page.offset).min(KEYS);
    (first, first.saturating_add(page.limit.into()).min(KEYS) - 1)
}

/// Reads a job: seq, id, owner, status, rules, executors, created_at, started_at, and its
/// [cancellation]. `live` are the executors that live nodes have.
pub(crate) fn record(
    row: &impl Cells,
    progress: Progress,
    live: &HashSet<String>,
) -> Result<(JobRecord, JobSpec), Fault> {
    let status: JobStatus = row.word(3)?;
    let rules: JobSpec = row.json(4)?;
    let mut waiting_for = Vec::new();
    if status == JobStatus::Queued {
        waiting_for = row.names(5)?;
        waiting_for.retain(|executor| !live.contains(executor));
    }
    let record = JobRecord {
        id: row.job(1)?,
        owner: row.string(2)?,
        status,
        labels: rules.labels.clone(),
        created_at: row.time(6)?,
        started_at: row.optional_time(7)?,
        finished_at: row.optional_time(9)?,
        progress,
        cancellation: cancellation(row, 8)?,
        waiting_for,
    };
    Ok((record, rules))
}

/// Reads who cancelled a job: the status before, finished_at, who, why, mode, how many executions.
pub(crate) fn cancellation(row: &impl Cells, first: usize) -> Result<Option<Cancellation>, Fault> {
    let Some(previous_status) = row.optional_word(first)? else { return Ok(None) };
    Ok(Some(Cancellation {
        previous_status,
        cancelled_at: row.time(first + 1)?,
        cancelled_by: row.string(first + 2)?,
        reason: row.optional_string(first + 3)?,
        mode: row.word(first + 4)?,
        executions_cancelled: row.count(first + 5)?,
    }))
}

/// Reads an audit entry: at, actor, action, reason, detail.
pub(crate) fn audit(row: &impl Cells) -> Result<AuditEntry, Fault> {
    Ok(AuditEntry {
        at: row.time(0)?,
        actor: row.string(1)?,
        action: row.word(2)?,
        reason: row.optional_string(3)?,
        detail: row.json(4)?,
    })
}

/// Reads what a node holds: id, status, incarnation, epoch, cancelled_by, cancel_reason, and when
/// the first of its open stops becomes force.
pub(crate) fn held(row: &impl Cells, read_at: OffsetDateTime) -> Result<HeldJob, Fault> {
    let reason = row.optional_string(5)?;
    Ok(HeldJob {
        id: row.job(0)?,
        status: row.word(1)?,
        fence: row.fence(2)?,
        force_at: row.optional_time(6)?,
        read_at,
        cancelled_by: row.optional_string(4)?.map(|by| (by, reason)),
    })
}
