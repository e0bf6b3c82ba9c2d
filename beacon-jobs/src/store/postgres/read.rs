//! Reading: each call sees one moment of the store.

use sqlx::postgres::PgRow;

use super::link::{Answer, Call, Nature};
use super::source::{Lane, Source};
use super::statements::Statement;
use super::{stops, submit};
use crate::id::{IncarnationId, JobId};
use crate::job::{AuditEntry, JobDetail, JobOutline, JobRecord, JobSpec, JobStatus, Progress};
use crate::store::sql::{self, Cells, Fault};
use crate::store::{DrivenStops, ExecutionPage, HeldJob, JobFilter, JobList, StopAge};

async fn read(source: &Source, call: &Call) -> Result<Answer, Fault> {
    source.run(Lane::Common, Nature::Read, call).await
}

pub(super) async fn get(
    source: &Source,
    id: &JobId,
    page: ExecutionPage,
) -> Result<Option<JobDetail>, Fault> {
    let job = Call::new(Statement::Get).bind(id.as_str());
    if page.limit == 0 {
        return detail(&read(source, &job).await?, None);
    }
    let (first, last) = sql::page(page);
    let executions = Call::new(Statement::GetExecutions).bind(id.as_str()).bind(first).bind(last);
    let (job, executions) = read_both(source, &job, &executions).await?;
    detail(&job, Some(&executions))
}

pub(super) async fn outline(source: &Source, id: &JobId) -> Result<Option<JobOutline>, Fault> {
    let job = Call::new(Statement::Get).bind(id.as_str());
    let states = Call::new(Statement::Outline).bind(id.as_str());
    let (job, states) = read_both(source, &job, &states).await?;
    let Some(JobDetail { job, stops, .. }) = detail(&job, None)? else { return Ok(None) };
    let executions = states.rows().map(sql::outline).collect::<Result<_, _>>()?;
    Ok(Some(JobOutline { job, stops, executions }))
}

/// Makes two reads that see the same moment.
async fn read_both(source: &Source, one: &Call, other: &Call) -> Result<(Answer, Answer), Fault> {
    source
        .read_at_once(|| async {
            let mut work = source.begin(Statement::BeginRead).await?;
            let answers = (work.run(one).await?, work.run(other).await?);
            work.commit().await?;
            Ok(answers)
        })
        .await
}

fn detail(job: &Answer, executions: Option<&Answer>) -> Result<Option<JobDetail>, Fault> {
    let Some(row) = job.rows().next() else { return Ok(None) };
    let (job, rules) = record(row)?;
    let stops = stops::counts(row, 16, job.progress.cancelled)?;
    let executions = match executions {
        Some(answer) => answer.rows().map(sql::execution).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    Ok(Some(JobDetail { job, rules, executions, stops }))
}

/// Reads the columns of `record!()`.
fn record(row: &PgRow) -> Result<(JobRecord, JobSpec), Fault> {
    let mut progress = Progress::default();
    for (status, count) in row.optional_json::<Vec<(i64, u64)>>(14)?.unwrap_or_default() {
        progress.add(sql::codec::status(status)?, count);
    }
    let live = row.names(15)?.into_iter().collect();
    sql::record(row, progress, &live)
}

/// Reads a page of jobs that were submitted before this one.
pub(super) async fn list(source: &Source, filter: &JobFilter, before: i64) -> Result<JobList, Fault> {
    let statement = match (&filter.owner, filter.status) {
        (Some(_), _) => Statement::ListOwner,
        (None, Some(JobStatus::Queued)) => Statement::ListQueued,
        (None, Some(JobStatus::Running)) => Statement::ListRunning,
        (None, Some(_)) => Statement::ListEnded,
        (None, None) => Statement::List,
    };
    let labels = serde_json::to_value(&filter.labels).unwrap_or_default();
    let mut call = Call::new(statement)
        .bind(before)
        .bind(sqlx::types::Json(submit::without_nul(&labels)))
        .bind(i64::from(filter.limit) + 1);
    let status = filter.status.map(JobStatus::as_str);
    match statement {
        Statement::ListOwner => call = call.bind(&filter.owner).bind(status),
        Statement::ListEnded => call = call.bind(status),
        _ => {}
    }
    let answer = read(source, &call).await?;
    let limit = filter.limit as usize;
    let jobs = answer.rows().take(limit).map(|row| Ok(record(row)?.0)).collect::<Result<_, Fault>>()?;
    let more = answer.rows().len() > limit;
    let last = answer.rows().take(limit).next_back().filter(|_| more);
    let next_cursor = last.map(|row| row.long(0)).transpose()?.map(|seq| seq.to_string());
    Ok(JobList { jobs, next_cursor })
}

pub(super) async fn audit(source: &Source, id: &JobId) -> Result<Vec<AuditEntry>, Fault> {
    let answer = read(source, &Call::new(Statement::Audit).bind(id.as_str())).await?;
    answer.rows().map(sql::audit).collect()
}

pub(super) async fn held(
    source: &Source,
    incarnation: IncarnationId,
    running: &[JobId],
) -> Result<Vec<HeldJob>, Fault> {
    let call = Call::new(Statement::Held)
        .bind(incarnation.as_uuid())
        .bind(running.iter().map(JobId::as_str).collect::<Vec<_>>());
    let answer = read(source, &call).await?;
    answer.rows().map(|row| sql::held(row, row.time(7)?)).collect()
}

pub(super) async fn driven_stops(source: &Source) -> Result<Vec<DrivenStops>, Fault> {
    let bounds = StopAge::BOUNDS.map(f64::from);
    let answer = read(source, &Call::new(Statement::DrivenStops).bind(&bounds[..])).await?;
    answer.rows().map(sql::driven).collect()
}
