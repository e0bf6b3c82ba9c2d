use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::job::{Cancellation, JobStatus, StopCounts};
use beacon_jobs::{CancelAnswer, JobId, Jobs, Settled};
use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::wish::{WORDS, finish, members, take_wish};
use super::{Named, json, to_the_end};
use crate::api::Shared;
use crate::problem::{Code, Problem};
use crate::query::Query;
use crate::upload::Upload;

#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/api/v1/jobs/{id}/cancel", operation_id = "cancelJob", tag = "cancel",
    description = "Cancels a job. The answer is given after the commit; the stops of what computes go on from there.",
    params(
        ("id" = JobId, Path, description = "The job"),
        ("wait" = Option<u32>, Query, description = "Answer when every stop is settled, or after so many seconds", minimum = 0, maximum = 60),
    ),
    request_body(content = Option<crate::openapi::CancelWish>, content_type = "application/json"),
    responses(
        (status = 200, description = "Cancelled, now or before", body = Cancelled),
        (status = 409, description = "The job had its outcome first"),
    ),
))]
pub(super) async fn cancel(
    State(api): State<Shared>,
    Named(id): Named,
    request: Request,
) -> Result<Response, Problem> {
    answer(api, id.as_ref(), request).await.map_err(|problem| problem.about(id))
}

async fn answer(api: Shared, id: Option<&JobId>, request: Request) -> Result<Response, Problem> {
    let upload = Upload::of(request);
    let actor = match api.canceller(upload.head()).await {
        Ok(actor) => actor,
        Err(problem) => return Err(upload.refuse(problem).await),
    };
    let received = upload.read(api.max_body).await?;
    let request = request_of(actor, if received.body.is_empty() { Map::new() } else { members(&received)? })?;
    let mut query = Query::of(&received.head.uri);
    let wait = Duration::from_secs(query.take_number("wait", 0..=60)?.unwrap_or(0));
    query.finish("wait")?;

    let id = id.ok_or_else(Problem::no_job)?;
    let (jobs, job) = (api.jobs.clone(), id.clone());
    let answer = to_the_end(async move { jobs.cancel(&job, &request).await }).await??;
    let mut cancelled = Cancelled::of(id, answer)?;
    if cancelled.stops.open > 0 && !wait.is_zero() {
        cancelled.stops = settled(&api.jobs, id, wait).await.unwrap_or(cancelled.stops);
    }
    json(StatusCode::OK, &cancelled)
}

fn request_of(by: Actor, mut members: Map<String, Value>) -> Result<CancelRequest, Problem> {
    let request = take_wish(by, &mut members)?;
    finish(&members, "", WORDS)?;
    Ok(request)
}

/// The stops as they are when all are settled or the time is up. The cancel is committed: a store
/// that fails now takes nothing back, so there is no error, only no news.
async fn settled(jobs: &Jobs, id: &JobId, wait: Duration) -> Option<StopCounts> {
    match jobs.settled(id, wait).await {
        Ok(Settled::Yes(stops) | Settled::NotYet(stops)) => Some(stops),
        Ok(Settled::NoJob) => None,
        Err(error) => {
            tracing::warn!(job.id = %id, %error, "cancelled, but its stops cannot be read");
            None
        }
    }
}

/// The answer to a cancel that holds.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct Cancelled<'a> {
    ok: bool,
    job_id: &'a JobId,
    previous_status: JobStatus,
    new_status: JobStatus,
    context_cancelled: bool,
    executions_cancelled: u64,
    #[serde(with = "time::serde::rfc3339")]
    cancelled_at: OffsetDateTime,
    cancelled_by: String,
    reason: Option<String>,
    already_cancelled: bool,
    /// Only where this request made an earlier cancel harsher.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    escalated: bool,
    stops: StopCounts,
}

impl<'a> Cancelled<'a> {
    fn of(id: &'a JobId, answer: CancelAnswer) -> Result<Self, Problem> {
        let (record, stops, already, escalated) = match answer.outcome {
            CancelOutcome::Cancelled { record, stops, .. } => (record, stops, false, false),
            CancelOutcome::AlreadyCancelled { record, stops, escalation } => {
                (record, stops, true, escalation.is_some())
            }
            CancelOutcome::AlreadyFinished { status } => {
                let detail = format!("the job is {status} already and can no longer be cancelled");
                return Err(Problem::new(Code::AlreadyFinished, detail).with_job_status(status));
            }
            CancelOutcome::NotYours => return Err(Problem::not_yours()),
            CancelOutcome::NotFound => return Err(Problem::no_job()),
            other => return Err(Problem::internal(&format!("unknown outcome of a cancel: {other:?}"))),
        };
        let Cancellation {
            previous_status, cancelled_at, cancelled_by, reason, executions_cancelled, ..
        } = record;
        Ok(Self {
            ok: true,
            job_id: id,
            previous_status,
            new_status: JobStatus::Cancelled,
            context_cancelled: answer.context_cancelled,
            executions_cancelled,
            cancelled_at,
            cancelled_by,
            reason,
            already_cancelled: already,
            escalated,
            stops,
        })
    }
}
