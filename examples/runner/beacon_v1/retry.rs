//! Trying a failed row again, as a job of its own.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::job::{ExecutionRecord, ExecutionStatus, JobDetail, JobStatus};
use beacon_jobs::store::ExecutionPage;
use beacon_jobs::{ErrorKind, JobId};
use serde_json::{Value, json};

use super::executions::find_row;
use super::http::{Row, read};
use super::jobs::{find, kept};
use super::refusal::{Refusal, json};
use super::regions::Region;
use super::route::Shared;
use super::rows::{self, MAX_RETRIES, retry_id, time_text};
use super::spec::one_cell;
use super::words::{MODEL, NOBODY, QUESTION, REGION, RETRY_OF, RETRY_ROW, job_word};

/// Tries a row again.
pub(super) async fn retry(
    State(shared): State<Shared>,
    Row(row): Row,
    request: Request,
) -> Result<Response, Refusal> {
    let (_, body) = read(request, shared.max_body).await?;
    let body: Value = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad("Invalid request format").with("details", error.to_string()))?;
    let (Some(region), Some(question)) = (body["region"].as_str(), body["question_index"].as_u64()) else {
        let details = "region must be a string and question_index a whole number";
        return Err(Refusal::bad("Invalid request format").with("details", details));
    };
    let detail = find_row(&shared, row).await?;
    let Some(record) = detail.executions.first() else { return Err(Refusal::internal(&"a row was lost")) };
    let Some(its_region) =
        record.labels.get(REGION).filter(|known| Region::read(known) == Region::read(region))
    else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "Execution not found")
            .with("message", "it is of another region"));
    };
    let retries = rows::retries(&shared.jobs, &detail.job).await?;
    let retries = retries.get(&record.index).map_or(&[][..], Vec::as_slice);
    let answer = |status: StatusCode, word: &str, attempt: usize| {
        let body = json!({
            "execution_id": row, "region": its_region, "question_index": question, "status": word,
            "retry_attempt": attempt, "updated_at": time_text(SystemClock.now()),
        });
        json(status, &body)
    };
    match retries.first().map(|newest| newest.status) {
        Some(JobStatus::Completed) => return Ok(answer(StatusCode::OK, "completed", retries.len())),
        Some(JobStatus::Queued | JobStatus::Running) => {
            return Ok(answer(StatusCode::ACCEPTED, "retrying", retries.len()));
        }
        Some(JobStatus::Failed | JobStatus::Cancelled) | None => {}
    }
    match record.status {
        ExecutionStatus::Completed => return Ok(answer(StatusCode::OK, "completed", retries.len())),
        ExecutionStatus::Failed if detail.job.status != JobStatus::Cancelled => {}
        status => {
            let message = format!(
                "only a failed execution is tried again; this one is {status}, its job {}",
                job_word(detail.job.status)
            );
            return Err(Refusal::bad("execution cannot be retried").with("message", message));
        }
    }
    let attempt = retries.len() + 1;
    if attempt > MAX_RETRIES {
        let message = format!("it was tried again {MAX_RETRIES} times");
        return Err(
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "max retries reached").with("message", message)
        );
    }
    let is_new = submit(&shared, &detail, record, retry_id(row, attempt)?).await?;
    let status = if is_new { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(answer(status, "retrying", attempt))
}

/// Submits the retry. Two requests at once submit the same job. Returns whether it is new.
async fn submit(
    shared: &Shared,
    detail: &JobDetail,
    record: &ExecutionRecord,
    id: JobId,
) -> Result<bool, Refusal> {
    let label = |name: &str| record.labels.get(name).map_or("", String::as_str);
    let cell = (label(REGION), label(MODEL), label(QUESTION));
    let wish = one_cell(&kept(detail), cell, id.clone())
        .map_err(|why| Refusal::bad("execution cannot be retried").with("message", why))?;
    let job = wish
        .into_job(&shared.settings.template)
        .with_label(RETRY_OF, detail.job.id.as_str())
        .with_label(RETRY_ROW, record.index.to_string());
    let accepted = shared.jobs.submit(&detail.job.owner, job).await.map_err(|error| match error.kind() {
        ErrorKind::Conflict => Refusal::taken("execution cannot be retried", "message", &id),
        _ => error.into(),
    })?;
    // A cancel of the first job that came in between did not see this one.
    let first = find(shared, Some(&detail.job.id), ExecutionPage::NONE).await?;
    if first.job.status == JobStatus::Cancelled {
        shared.jobs.cancel(&id, &CancelRequest::new(Actor::Admin(NOBODY.to_owned()))).await?;
        return Err(Refusal::bad("execution cannot be retried").with("message", "its job was cancelled"));
    }
    Ok(accepted.is_new)
}
