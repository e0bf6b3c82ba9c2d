//! Reading: each call sees one moment of the store.

use std::collections::HashSet;

use time::OffsetDateTime;

use super::codec::{self, Cells};
use super::error::Fault;
use super::link::{Answer, Call, Nature};
use super::source::{Lane, Source};
use super::sql::Statement;
use super::{stops, submit};
use crate::error::{Error, Result};
use crate::id::{IncarnationId, JobId};
use crate::job::{
    AuditEntry, Cancellation, ExecutionRecord, ExecutionSpec, ExecutionStatus, JobDetail, JobRecord, JobSpec,
    JobStatus, Progress, StopRecord,
};
use crate::store::{ExecutionPage, HeldJob, JobFilter, JobList};

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
    let first = i64::from(page.offset).min(codec::KEYS);
    let last = first.saturating_add(page.limit.into()).min(codec::KEYS) - 1;
    let executions = Call::new(Statement::GetExecutions).bind(id.as_str()).bind(first).bind(last);
    source
        .read_at_once(|| async {
            let mut work = source.begin(Statement::BeginRead).await?;
            let job = work.run(&job).await?;
            let executions = work.run(&executions).await?;
            work.commit().await?;
            detail(&job, Some(&executions))
        })
        .await
}

fn detail(job: &Answer, executions: Option<&Answer>) -> Result<Option<JobDetail>, Fault> {
    let Some(row) = job.rows().next() else { return Ok(None) };
    let (job, rules) = record(&row)?;
    let stops = stops::counts(row.get(16)?, job.progress.cancelled)?;
    let executions = match executions {
        Some(answer) => answer.rows().map(|row| execution(&row)).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    Ok(Some(JobDetail { job, rules, executions, stops }))
}

/// Reads the columns of `record!()`.
fn record(row: &Cells<'_>) -> Result<(JobRecord, JobSpec), Fault> {
    let status: JobStatus = row.word(3)?;
    let rules: JobSpec = row.json(4)?;
    let finished_at: Option<OffsetDateTime> = row.get(8)?;
    let mut waiting_for = Vec::new();
    if status == JobStatus::Queued {
        waiting_for = row.get::<Vec<String>>(5)?;
        let live: HashSet<String> =
            row.get::<Option<Vec<String>>>(15)?.unwrap_or_default().into_iter().collect();
        waiting_for.retain(|executor| !live.contains(executor));
    }
    let cancellation = match row.optional_word(9)? {
        None => None,
        Some(previous_status) => Some(Cancellation {
            previous_status,
            cancelled_at: finished_at.ok_or_else(|| Fault::corrupt("a cancelled job has no end"))?,
            cancelled_by: row.get(10)?,
            reason: row.get(11)?,
            mode: row.word(12)?,
            executions_cancelled: row.count(13)?,
        }),
    };
    let mut progress = Progress::default();
    for (status, count) in row.optional_json::<Vec<(i64, u64)>>(14)?.unwrap_or_default() {
        progress.add(codec::status(status)?, count);
    }
    let record = JobRecord {
        id: row.job(1)?,
        owner: row.get(2)?,
        status,
        labels: rules.labels.clone(),
        created_at: row.time(6)?,
        started_at: row.get(7)?,
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
            confirmed_at: row.get(11)?,
            evidence: row.optional_json(12)?,
            why: row.get(13)?,
        }),
    };
    Ok(ExecutionRecord {
        index: codec::index(row.long(0)?),
        executor: spec.executor,
        lane: spec.lane,
        labels: spec.labels,
        status,
        attempt: row.count(2)?,
        started_at: row.get(3)?,
        finished_at: row.get(4)?,
        // The cancel does not visit the results; an older attempt's error is no longer true.
        error: if status == ExecutionStatus::Cancelled { None } else { row.optional_json(6)? },
        output: row.optional_json(7)?,
        late_output: row.optional_json(8)?,
        stop,
    })
}

pub(super) async fn list(source: &Source, filter: &JobFilter) -> Result<Result<JobList, Fault>> {
    let before = match &filter.cursor {
        Some(cursor) => {
            cursor.parse::<u64>().map_err(|_| Error::invalid("cursor", "must come from an earlier answer"))?
        }
        None => u64::MAX,
    };
    codec::check_nul("owner", filter.owner.as_deref().unwrap_or_default())?;
    Ok(list_before(source, filter, i64::try_from(before).unwrap_or(i64::MAX)).await)
}

async fn list_before(source: &Source, filter: &JobFilter, before: i64) -> Result<JobList, Fault> {
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
    let jobs = answer.rows().take(limit).map(|row| Ok(record(&row)?.0)).collect::<Result<_, Fault>>()?;
    let more = answer.rows().len() > limit;
    let last = answer.rows().take(limit).next_back().filter(|_| more);
    let next_cursor = last.map(|row| row.long(0)).transpose()?.map(|seq| seq.to_string());
    Ok(JobList { jobs, next_cursor })
}

pub(super) async fn audit(source: &Source, id: &JobId) -> Result<Vec<AuditEntry>, Fault> {
    let answer = read(source, &Call::new(Statement::Audit).bind(id.as_str())).await?;
    answer
        .rows()
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
    source: &Source,
    incarnation: IncarnationId,
    running: &[JobId],
) -> Result<Vec<HeldJob>, Fault> {
    let call = Call::new(Statement::Held)
        .bind(incarnation.as_uuid())
        .bind(running.iter().map(JobId::as_str).collect::<Vec<_>>());
    let answer = read(source, &call).await?;
    answer
        .rows()
        .map(|row| {
            let by: Option<String> = row.get(4)?;
            let reason: Option<String> = row.get(5)?;
            Ok(HeldJob {
                id: row.job(0)?,
                status: row.word(1)?,
                fence: row.fence(2)?,
                force_at: row.get(6)?,
                read_at: row.time(7)?,
                cancelled_by: by.map(|by| (by, reason)),
            })
        })
        .collect()
}
