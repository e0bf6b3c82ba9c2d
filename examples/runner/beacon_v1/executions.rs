//! Reading rows beside their jobs.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use beacon_jobs::job::JobDetail;
use beacon_jobs::store::{ExecutionPage, JobFilter};
use serde_json::json;

use super::http::{Named, Row, number};
use super::jobs::find;
use super::refusal::{Refusal, json};
use super::route::Shared;
use super::rows::{self, Texts, receipt};
use super::words::{MOST_EXECUTIONS, ROWS, labels, rows_of, split};

/// How many of the newest jobs the list of all rows goes through.
const MOST_JOBS: u32 = 200;

/// All rows of a job.
pub(super) async fn of_job(State(shared): State<Shared>, Named(id): Named) -> Result<Response, Refusal> {
    let limit = u32::try_from(MOST_EXECUTIONS).unwrap_or(u32::MAX);
    let detail = find(&shared, id.as_ref(), ExecutionPage { offset: 0, limit }).await?;
    Ok(json(StatusCode::OK, &json!({ "executions": rows::of(&shared.jobs, &detail, Texts::Whole).await? })))
}

/// Rows of the newest jobs, those of the newest first. Jobs beyond are not counted either.
pub(super) async fn list(State(shared): State<Shared>, uri: Uri) -> Result<Response, Refusal> {
    let limit = number(&uri, "limit", 20, (1, 200))?;
    let offset = number(&uri, "offset", 0, (0, u32::MAX))?;
    let filter = JobFilter { labels: labels([]), limit: MOST_JOBS, ..JobFilter::default() };
    let (mut total, mut rows) = (0_u64, Vec::new());
    for job in shared.jobs.list(&filter).await?.jobs {
        let skipped = u64::from(offset).saturating_sub(total);
        total += job.progress.total;
        let wanted = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        if wanted == 0 || skipped >= job.progress.total {
            continue;
        }
        let page = ExecutionPage { offset: u32::try_from(skipped).unwrap_or(u32::MAX), limit: wanted };
        if let Some(detail) = shared.jobs.get(&job.id, page).await? {
            rows.extend(rows::of(&shared.jobs, &detail, Texts::Short).await?);
        }
    }
    Ok(json(StatusCode::OK, &json!({ "executions": rows, "limit": limit, "offset": offset, "total": total })))
}

/// One row.
pub(super) async fn details(State(shared): State<Shared>, Row(row): Row) -> Result<Response, Refusal> {
    let detail = find_row(&shared, row).await?;
    let row = rows::of(&shared.jobs, &detail, Texts::Whole).await?.into_iter().next();
    Ok(json(StatusCode::OK, &row.ok_or_else(no_row)?))
}

/// The receipt of one row.
pub(super) async fn receipt_of(State(shared): State<Shared>, Row(row): Row) -> Result<Response, Refusal> {
    let detail = find_row(&shared, row).await?;
    let found = detail.executions.first().and_then(receipt);
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "Execution or receipt not found");
    Ok(json(StatusCode::OK, found.ok_or_else(missing)?))
}

fn no_row() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "Execution not found")
}

/// The job of a row, with that row alone.
pub(super) async fn find_row(shared: &Shared, row: u64) -> Result<JobDetail, Refusal> {
    let (number, index) = split(row);
    let labels = labels([(ROWS, number.to_string())]);
    let list = shared.jobs.list(&JobFilter { labels, limit: 200, ..JobFilter::default() }).await?;
    // Labels can be written by whoever submits a job file.
    let mut jobs = list.jobs.iter().filter(|job| rows_of(&job.id) == number);
    let job = jobs.next().ok_or_else(no_row)?;
    if jobs.next().is_some() {
        let message = "two jobs share this number; ask for their rows by the jobs' ids";
        return Err(Refusal::new(StatusCode::CONFLICT, "Execution is not unique").with("message", message));
    }
    let detail = find(shared, Some(&job.id), ExecutionPage { offset: index, limit: 1 }).await?;
    if detail.executions.is_empty() { Err(no_row()) } else { Ok(detail) }
}
