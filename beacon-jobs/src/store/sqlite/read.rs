//! Reading: each call sees one moment of the store.

use std::collections::{HashMap, HashSet};

use sqlx::sqlite::{SqliteArguments, SqlitePool};
use sqlx::{Connection, Sqlite, query::Query};
use time::OffsetDateTime;

use super::codec::{blob, nanos};
use super::error::fault;
use super::link::{self, Answers};
use super::{sessions, statements, stops};
use crate::id::{IncarnationId, JobId};
use crate::job::{AuditEntry, JobDetail, JobOutline, JobRecord, JobSpec, JobStatus, Progress, StopCounts};
use crate::store::sql::{self, Cells, Fault, json};
use crate::store::{
    DrivenStops, ExecutionPage, HeldJob, JobFilter, JobList, NodeRecord, Session, StopAge, TokenHash,
};

async fn read(
    readers: &SqlitePool,
    query: Query<'static, Sqlite, SqliteArguments>,
) -> Result<Answers, Fault> {
    let mut reader = readers.acquire().await.map_err(fault)?;
    link::read(&mut reader, query).await
}

/// Runs a script of several statements, all of which see the same moment.
async fn read_at_once(
    readers: &SqlitePool,
    query: Query<'static, Sqlite, SqliteArguments>,
) -> Result<Answers, Fault> {
    let mut reader = readers.acquire().await.map_err(fault)?;
    let mut transaction = reader.begin().await.map_err(fault)?;
    let answers = link::read(&mut transaction, query).await?;
    transaction.commit().await.map_err(fault)?;
    Ok(answers)
}

pub(super) async fn get(
    readers: &SqlitePool,
    now: OffsetDateTime,
    id: &JobId,
    page: ExecutionPage,
) -> Result<Option<JobDetail>, Fault> {
    let (first, last) = sql::page(page);
    let query =
        sqlx::query(statements::GET).bind(id.as_str().to_owned()).bind(nanos(now)).bind(first).bind(last);
    let answers = read_at_once(readers, query).await?;
    let Some((job, rules, stops)) = job(&answers)? else { return Ok(None) };
    let executions = answers.rows(4).map(sql::execution).collect::<Result<_, _>>()?;
    Ok(Some(JobDetail { job, rules, executions, stops }))
}

pub(super) async fn outline(
    readers: &SqlitePool,
    now: OffsetDateTime,
    id: &JobId,
) -> Result<Option<JobOutline>, Fault> {
    let query = sqlx::query(statements::OUTLINE).bind(id.as_str().to_owned()).bind(nanos(now));
    let answers = read_at_once(readers, query).await?;
    let Some((job, _, stops)) = job(&answers)? else { return Ok(None) };
    let executions = answers.rows(4).map(sql::outline).collect::<Result<_, _>>()?;
    Ok(Some(JobOutline { job, stops, executions }))
}

/// Reads the rows of `job!()`.
fn job(answers: &Answers) -> Result<Option<(JobRecord, JobSpec, StopCounts)>, Fault> {
    let Some(row) = answers.row(0) else { return Ok(None) };
    let mut progress = Progress::default();
    for row in answers.rows(2) {
        stops::add_progress(&mut progress, row, 1)?;
    }
    let live = live_executors(answers, 1)?;
    let (job, rules) = sql::record(row, progress, &live)?;
    let stops = stops::counts(answers, 3, progress.cancelled)?;
    Ok(Some((job, rules, stops)))
}

fn live_executors(answers: &Answers, statement: usize) -> Result<HashSet<String>, Fault> {
    answers.rows(statement).map(|row| row.string(0)).collect()
}

/// Reads a page of jobs that were submitted before this one.
pub(super) async fn list(
    readers: &SqlitePool,
    now: OffsetDateTime,
    filter: &JobFilter,
    before: i64,
) -> Result<JobList, Fault> {
    let status = filter.status.map(JobStatus::as_str);
    let sql = match (&filter.owner, filter.status) {
        (Some(_), _) => statements::LIST_OWNER,
        (None, Some(status)) if status.is_terminal() => statements::LIST_ENDED,
        (None, Some(_)) => statements::LIST_OPEN,
        (None, None) => statements::LIST,
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
    let mut reader = readers.acquire().await.map_err(fault)?;
    let mut transaction = reader.begin().await.map_err(fault)?;
    let answers = link::read(&mut transaction, query).await?;
    let limit = filter.limit as usize;
    let seqs = answers.rows(0).take(limit).map(|row| row.long(0)).collect::<Result<Vec<_>, _>>()?;
    let mut progress: HashMap<i64, Progress> = HashMap::with_capacity(seqs.len());
    let counted = link::read(&mut transaction, sqlx::query(statements::PROGRESS).bind(json(&seqs))).await?;
    transaction.commit().await.map_err(fault)?;
    for row in counted.rows(0) {
        stops::add_progress(progress.entry(row.long(0)?).or_default(), row, 1)?;
    }
    let live = live_executors(&answers, 1)?;
    let jobs = answers
        .rows(0)
        .zip(&seqs)
        .map(|(row, seq)| Ok(sql::record(row, progress.remove(seq).unwrap_or_default(), &live)?.0))
        .collect::<Result<_, Fault>>()?;
    let more = answers.rows(0).len() > limit;
    Ok(JobList { jobs, next_cursor: seqs.last().filter(|_| more).map(i64::to_string) })
}

pub(super) async fn audit(readers: &SqlitePool, id: &JobId) -> Result<Vec<AuditEntry>, Fault> {
    let answers = read(readers, sqlx::query(statements::AUDIT).bind(id.as_str().to_owned())).await?;
    answers.rows(0).map(sql::audit).collect()
}

pub(super) async fn held(
    readers: &SqlitePool,
    now: OffsetDateTime,
    incarnation: IncarnationId,
    running: &[JobId],
) -> Result<Vec<HeldJob>, Fault> {
    let query = sqlx::query(statements::HELD).bind(blob(incarnation.as_uuid())).bind(json(&running));
    let answers = read(readers, query).await?;
    answers.rows(0).map(|row| sql::held(row, now)).collect()
}

pub(super) async fn session(
    readers: &SqlitePool,
    now: OffsetDateTime,
    token: &TokenHash,
) -> Result<Option<Session>, Fault> {
    let query = sqlx::query(statements::SESSION).bind(nanos(now)).bind(token.as_str().to_owned());
    read(readers, query).await?.row(0).map(sessions::session).transpose()
}

pub(super) async fn nodes(readers: &SqlitePool, now: OffsetDateTime) -> Result<Vec<NodeRecord>, Fault> {
    let answers = read(readers, sqlx::query(statements::NODES)).await?;
    answers.rows(0).map(|row| sql::node(row, now)).collect()
}

pub(super) async fn driven_stops(
    readers: &SqlitePool,
    now: OffsetDateTime,
) -> Result<Vec<DrivenStops>, Fault> {
    let bounds = StopAge::BOUNDS.map(|seconds| u64::from(seconds) * 1_000_000_000);
    let query = sqlx::query(statements::DRIVEN_STOPS).bind(nanos(now)).bind(json(&bounds));
    read(readers, query).await?.rows(0).map(sql::driven).collect()
}
