//! Cancelling: by the same core as everywhere, for a page that cannot say who asks.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::job::JobRecord;
use beacon_jobs::store::ExecutionPage;
use beacon_jobs::{CancelAnswer, JobId, Jobs};
use beacon_jobs_http::CancelPolicy;
use serde_json::json;
use tracing::Instrument;

use super::http::Named;
use super::jobs::find;
use super::refusal::{Refusal, json};
use super::route::Shared;
use super::rows::{retries, time_text};
use super::words::{NOBODY, job_word};

/// Cancels a job and the retries of its rows. A body is not looked at: a portal sends none.
pub(super) async fn cancel(State(shared): State<Shared>, Named(id): Named) -> Result<Response, Refusal> {
    if shared.cancel_policy != CancelPolicy::LegacyOpen {
        // What else a request of a portal carries proves nothing: it can be read back by anybody.
        let message = "this server cancels for a job's owner and its administrators only, by a token";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized").with("message", message));
    }
    let about = id.clone();
    let refused = move |refusal: Refusal| match &about {
        Some(id) => refusal.with("job_id", id.as_str()),
        None => refusal,
    };
    let job = find(&shared, id.as_ref(), ExecutionPage::NONE).await.map_err(&refused)?.job;
    // To its end even when the client hangs up: a cancel that was committed is also signalled.
    let change = async move { cancel_all(&shared.jobs, &job).await.map(|done| (job.id, done)) };
    let done = tokio::spawn(change.in_current_span()).await.map_err(|error| Refusal::internal(&error))?;
    let (id, (answer, retries)) = done.map_err(|error| refused(error.into()))?;
    answer_of(&id, answer, retries).map_err(refused)
}

/// Cancels the job, then its retries; returns how many executions of those were ended.
async fn cancel_all(jobs: &Jobs, job: &JobRecord) -> beacon_jobs::Result<(CancelAnswer, u64)> {
    let request = CancelRequest::new(Actor::Admin(NOBODY.to_owned()));
    let answer = jobs.cancel(&job.id, &request).await?;
    let mut ended = 0;
    // As of now: a retry that comes later sees that the job is cancelled.
    let Some(now) = jobs.get(&job.id, ExecutionPage::NONE).await? else { return Ok((answer, ended)) };
    for retry in retries(jobs, &now.job).await?.into_values().flatten() {
        if !retry.status.is_terminal()
            && let CancelOutcome::Cancelled { record, .. } = jobs.cancel(&retry.id, &request).await?.outcome
        {
            ended += record.executions_cancelled;
        }
    }
    Ok((answer, ended))
}

fn answer_of(id: &JobId, answer: CancelAnswer, retries: u64) -> Result<Response, Refusal> {
    let status = match answer.outcome {
        CancelOutcome::Cancelled { record, .. } => {
            let body = json!({
                "ok": true,
                "job_id": id,
                "previous_status": job_word(record.previous_status),
                "new_status": "cancelled",
                "context_cancelled": answer.context_cancelled,
                "executions_cancelled": record.executions_cancelled + retries,
                "cancelled_at": time_text(record.cancelled_at),
            });
            return Ok(json(StatusCode::OK, &body));
        }
        CancelOutcome::AlreadyCancelled { .. } => "cancelled",
        CancelOutcome::AlreadyFinished { status } => job_word(status),
        CancelOutcome::NotYours => {
            let message = "can only cancel your own jobs";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden").with("message", message));
        }
        CancelOutcome::NotFound => return Err(Refusal::no_job()),
        other => return Err(Refusal::internal(&format!("unknown outcome of a cancel: {other:?}"))),
    };
    let body =
        json!({ "ok": true, "message": "job already in terminal state", "job_id": id, "status": status });
    Ok(json(StatusCode::OK, &body))
}
