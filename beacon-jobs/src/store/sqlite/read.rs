//! Reading: each call sees one moment of the store.

use std::collections::{HashMap, HashSet};

use sqlx::sqlite::{SqliteArguments, SqlitePool};
use sqlx::{Connection, Sqlite, query::Query};
use time::OffsetDateTime;

use super::codec::{self, Cells, blob, json, nanos};
use super::error::Fault;
use super::link::{self, Answers};
use super::{nodes, sql, stops};
use crate::error::{Error, Result};
use crate::id::{IncarnationId, JobId};
use crate::job::{
    AuditEntry, ExecutionRecord, ExecutionSpec, ExecutionStatus, JobDetail, JobRecord, JobSpec, JobStatus,
    Progress, StopRecord,
};
use crate::store::{ExecutionPage, HeldJob, JobFilter, JobList, NodeRecord};

async fn read(
    readers: &SqlitePool,
    query: Query<'static, Sqlite, SqliteArguments>,
) -> Result<Answers, Fault> {
    let mut reader = readers.acquire().await?;
    link::read(&mut reader, query).await
}

/// Runs a script of several statements, all of which see the same moment.
async fn read_at_once(
    readers: &SqlitePool,
    query: Query<'static, Sqlite, SqliteArguments>,
) -> Result<Answers, Fault> {
    let mut reader = readers.acquire().await?;
    let mut transaction = reader.begin().await?;
    let answers = link::read(&mut transaction, query).await?;
    transaction.commit().await?;
    Ok(answers)
}

pub(super) async fn get(
    readers: &SqlitePool,
    now: OffsetDateTime,
    id: &JobId,
    page: ExecutionPage,
) -> Result<Option<JobDetail>, Fault> {
    let first = i64::from(page.offset).min(codec::KEYS);
    let last = first.saturating_add(page.limit.into()).min(codec::KEYS) - 1;
    let query = sqlx::query(sql::GET).bind(id.as_str().to_owned()).bind(nanos(now)).bind(first).bind(last);
    let answers = read_at_once(readers, query).await?;
    let Some(row) = answers.row(0) else { return Ok(None) };
    let mut progress = Progress::default();
    for row in answers.rows(2) {
        stops::add_progress(&mut progress, &row, 1)?;
    }
    let live = live_executors(&answers, 1)?;
    let (job, rules) = record(&row, progress, &live)?;
    let stops = stops::counts(&answers, 3, progress.cancelled)?;
    let executions = answers.rows(4).map(|row| execution(&row)).collect::<Result<_, _>>()?;
    Ok(Some(JobDetail { job, rules, executions, stops }))
}

fn live_executors(answers: &Answers, statement: usize) -> Result<HashSet<String>, Fault> {
    answers.rows(statement).map(|row| row.get(0)).collect()
}

/// Reads the columns of `record!()`.
fn record(
    row: &Cells<'_>,
    progress: Progress,
    live: &HashSet<String>,
) -> Result<(JobRecord, JobSpec), Fault> {
    let status: JobStatus = row.word(3)?;
    let rules: JobSpec = row.json(4)?;
    let finished_at = row.optional_time(9)?;
    let mut waiting_for = Vec::new();
    if status == JobStatus::Queued {
        waiting_for = row.json(5)?;
        waiting_for.retain(|executor| !live.contains(executor));
    }
    let cancellation = match row.optional_word(10)? {
        None => None,
        Some(previous_status) => Some(crate::job::Cancellation {
            previous_status,
            cancelled_at: finished_at.ok_or_else(|| Fault::corrupt("a cancelled job has no end"))?,
            cancelled_by: row.get(11)?,
            reason: row.get(12)?,
            mode: row.word(13)?,
            executions_cancelled: row.count(14)?,
        }),
    };
    let record = JobRecord {
        id: row.job(1)?,
        owner: row.get(2)?,
        status,
        labels: rules.labels.clone(),
        created_at: row.time(7)?,
        started_at: row.optional_time(8)?,
        finished_at,
        progress,
        cancellation,
        waiting_for,
    };
    Ok((record, rules))
}

fn execution(row: &Cells<'_>) -> Result<ExecutionRecord, Fault> {
    let status = row.status(1)?;
    let spec: ExecutionSpec = row.json(5)?;
    let stop = match row.optional_word(9)? {
        None => None,
        Some(state) => Some(StopRecord {
            state,
            requested_at: row.time(10)?,
            confirmed_at: row.optional_time(11)?,
            evidence: row.optional_json(12)?,
            why: row.get(13)?,
        }),
    };
    Ok(ExecutionRecord {
        index: codec::index(row.int(0)?),
        executor: spec.executor,
        lane: spec.lane,
        labels: spec.labels,
        status,
        attempt: row.count(2)?,
        started_at: row.optional_time(3)?,
        finished_at: row.optional_time(4)?,
        // The cancel does not visit the results; an older attempt's error is no longer true.
        error: if status == ExecutionStatus::Cancelled { None } else { row.optional_json(6)? },
        output: row.optional_json(7)?,
        late_output: row.optional_json(8)?,
        stop,
    })
}

pub(super) async fn list(
    readers: &SqlitePool,
    now: OffsetDateTime,
    filter: &JobFilter,
) -> Result<Result<JobList, Fault>> {
    let before = match &filter.cursor {
        Some(cursor) => {
            cursor.parse::<u64>().map_err(|_| Error::invalid("cursor", "must come from an earlier answer"))?
        }
        None => u64::MAX,
    };
    Ok(list_before(readers, now, filter, i64::try_from(before).unwrap_or(i64::MAX)).await)
}

async fn list_before(
    readers: &SqlitePool,
    now: OffsetDateTime,
    filter: &JobFilter,
    before: i64,
) -> Result<JobList, Fault> {
    let status = filter.status.map(JobStatus::as_str);
    let sql = match (&filter.owner, filter.status) {
        (Some(_), _) => sql::LIST_OWNER,
        (None, Some(status)) if status.is_terminal() => sql::LIST_ENDED,
        (None, Some(_)) => sql::LIST_OPEN,
        (None, None) => sql::LIST,
    };
    let query = sqlx::query(sql)
        .bind(before)
        .bind(json(&filter.labels))
        .bind(i64::from(filter.limit) + 1)
        .bind(nanos(now));
    let query = match &filter.owner {
        Some(owner) => query.bind(owner.clone()).bind(status),
        None => query.bind(status),
    };
    let mut reader = readers.acquire().await?;
    let mut transaction = reader.begin().await?;
    let answers = link::read(&mut transaction, query).await?;
    let limit = filter.limit as usize;
    let seqs = answers.rows(0).take(limit).map(|row| row.int(0)).collect::<Result<Vec<_>, _>>()?;
    let mut progress: HashMap<i64, Progress> = HashMap::with_capacity(seqs.len());
    let counted = link::read(&mut transaction, sqlx::query(sql::PROGRESS).bind(json(&seqs))).await?;
    transaction.commit().await?;
    for row in counted.rows(0) {
        stops::add_progress(progress.entry(row.int(0)?).or_default(), &row, 1)?;
    }
    let live = live_executors(&answers, 1)?;
    let jobs = answers
        .rows(0)
        .zip(&seqs)
        .map(|(row, seq)| Ok(record(&row, progress.remove(seq).unwrap_or_default(), &live)?.0))
        .collect::<Result<_, Fault>>()?;
    let more = answers.rows(0).len() > limit;
    Ok(JobList { jobs, next_cursor: seqs.last().filter(|_| more).map(i64::to_string) })
}

pub(super) async fn audit(readers: &SqlitePool, id: &JobId) -> Result<Vec<AuditEntry>, Fault> {
    let answers = read(readers, sqlx::query(sql::AUDIT).bind(id.as_str().to_owned())).await?;
    answers
        .rows(0)
        .map(|row| {
            Ok(AuditEntry {
                at: row.time(0)?,
                actor: row.get(1)?,
                action: row.word(2)?,
                reason: row.get(3)?,
                detail: row.json(4)?,
            })
        })
        .collect()
}

pub(super) async fn held(
    readers: &SqlitePool,
    now: OffsetDateTime,
    incarnation: IncarnationId,
    running: &[JobId],
) -> Result<Vec<HeldJob>, Fault> {
    let query = sqlx::query(sql::HELD).bind(blob(incarnation.as_uuid())).bind(json(&running));
    let answers = read(readers, query).await?;
    answers
        .rows(0)
        .map(|row| {
            let by: Option<String> = row.get(4)?;
            let reason: Option<String> = row.get(5)?;
            Ok(HeldJob {
                id: row.job(0)?,
                read_at: now,
                status: row.word(1)?,
                fence: row.fence(2)?,
                force_at: row.optional_time(6)?,
                cancelled_by: by.map(|by| (by, reason)),
            })
        })
        .collect()
}

pub(super) async fn nodes(readers: &SqlitePool, now: OffsetDateTime) -> Result<Vec<NodeRecord>, Fault> {
    let answers = read(readers, sqlx::query(sql::NODES)).await?;
    answers.rows(0).map(|row| nodes::record(&row, now)).collect()
}
