//! Reading jobs.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use beacon_jobs::JobId;
use beacon_jobs::job::JobDetail;
use beacon_jobs::store::{ExecutionPage, JobFilter};
use serde_json::{Map, Value, json};

use super::http::{Named, number, parameter};
use super::refusal::{Refusal, json};
use super::route::Shared;
use super::rows::{self, Texts, time_text};
use super::words::{WIRE, job_word, labels};

/// The newest jobs.
pub(super) async fn list(State(shared): State<Shared>, uri: Uri) -> Result<Response, Refusal> {
    let limit = number(&uri, "limit", 50, (1, 200))?;
    let filter = JobFilter { labels: labels([]), limit, ..JobFilter::default() };
    let list = shared.jobs.list(&filter).await?;
    let jobs: Vec<Value> = list
        .jobs
        .iter()
        .map(|job| json!({ "id": job.id, "status": job_word(job.status), "created_at": time_text(job.created_at) }))
        .collect();
    Ok(json(StatusCode::OK, &json!({ "jobs": jobs })))
}

/// One job, with a page of its rows where they are asked for.
pub(super) async fn show(
    State(shared): State<Shared>,
    Named(id): Named,
    uri: Uri,
) -> Result<Response, Refusal> {
    let limit = number(&uri, "exec_limit", 20, (1, 200))?;
    let offset = number(&uri, "exec_offset", 0, (0, u32::MAX))?;
    let page = match parameter(&uri, "include").unwrap_or_default().as_str() {
        "" | "none" => None,
        "executions" | "all" => Some(ExecutionPage { offset, limit }),
        "latest" => Some(ExecutionPage { offset: 0, limit: 1 }),
        _ => {
            return Err(
                Refusal::bad("invalid include").with("message", "must be none, executions, all or latest")
            );
        }
    };
    let detail = find(&shared, id.as_ref(), page.unwrap_or(ExecutionPage::NONE)).await?;
    let executions = match page {
        Some(_) => Value::from(rows::of(&shared.jobs, &detail, Texts::Short).await?),
        None => Value::Null,
    };
    let body =
        json!({ "job": spec(&detail), "status": job_word(detail.job.status), "executions": executions });
    Ok(json(StatusCode::OK, &body))
}

/// A job that has the name of a route.
pub(super) async fn show_cross_region(state: State<Shared>, uri: Uri) -> Result<Response, Refusal> {
    show(state, Named(JobId::new("cross-region").ok()), uri).await
}

/// Reads a job that came this way.
pub(super) async fn find(
    shared: &Shared,
    id: Option<&JobId>,
    page: ExecutionPage,
) -> Result<JobDetail, Refusal> {
    let id = id.ok_or_else(Refusal::no_job)?;
    let detail = shared.jobs.get(id, page).await?;
    detail
        .filter(|detail| detail.job.labels.get(WIRE.0).is_some_and(|wire| wire == WIRE.1))
        .ok_or_else(Refusal::no_job)
}

/// The spec as it was received, without its proofs.
pub(super) fn kept(detail: &JobDetail) -> Map<String, Value> {
    detail.rules.attachment.as_ref().and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The spec with what only the store knows.
fn spec(detail: &JobDetail) -> Value {
    let mut spec = kept(detail);
    spec.insert("id".to_owned(), detail.job.id.as_str().into());
    spec.insert("created_at".to_owned(), time_text(detail.job.created_at).into());
    spec.into()
}
