use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use beacon_jobs::JobId;

use super::Named;
use crate::api::Shared;
use crate::events::{EventStream, View};
use crate::problem::Problem;
use crate::query::Query;

pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Asks proxies not to gather what is to go out at once.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/api/v1/jobs/{id}/events", operation_id = "watchJob", tag = "jobs",
    description = "The job's changes as they come: `execution`, `stop` and `job` events. Ends when the job has its outcome and every stop is settled.",
    params(
        ("id" = JobId, Path, description = "The job"),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the event to go on after"),
    ),
    responses((status = 200, description = "A stream of events", body = String, content_type = "text/event-stream")),
))]
pub(super) async fn events(
    State(api): State<Shared>,
    Named(id): Named,
    head: Parts,
) -> Result<Response, Problem> {
    answer(&api, id.as_ref(), head).await.map_err(|problem| problem.about(id))
}

async fn answer(api: &Shared, id: Option<&JobId>, head: Parts) -> Result<Response, Problem> {
    let principal = api.principal(&head).await?;
    Query::of(&head.uri).finish("none; the place to go on from is told in the header Last-Event-ID")?;
    let id = id.ok_or_else(Problem::no_job)?;
    api.allow(&principal, id).await?;
    // An id that cannot be read, as of an older server, is no reason to refuse: its client would
    // send it again and again. It is told everything.
    let last = head.headers.get(LAST_EVENT_ID).and_then(|last| View::read(id, last.to_str().ok()?));
    let stream = EventStream::new(api, head, id, last.unwrap_or_else(|| View::fresh(id)));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (BUFFERING, HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(stream.into_bytes())).into_response())
}
