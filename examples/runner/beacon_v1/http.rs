//! What goes for every request of a portal.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, ORIGIN, RETRY_AFTER,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use beacon_jobs::{IdSource, JobId, RandomIds};
use tower_http::cors::CorsLayer;
use tracing::Instrument;

use super::refusal::Refusal;

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MOST_OF_AN_ID: usize = 128;

/// What lets the pages of these origins call both interfaces. The preflight of every path is answered
/// here. The error is the origin that is none.
pub(super) fn cors(origins: &[String]) -> Result<CorsLayer, String> {
    let origins: Vec<HeaderValue> = origins
        .iter()
        .map(|origin| HeaderValue::from_str(origin).map_err(|_| origin.clone()))
        .collect::<Result<_, _>>()?;
    let headers = [
        ORIGIN,
        CONTENT_TYPE,
        CONTENT_LENGTH,
        ACCEPT,
        ACCEPT_ENCODING,
        AUTHORIZATION,
        HeaderName::from_static("x-csrf-token"),
        HeaderName::from_static("last-event-id"),
        REQUEST_ID,
        IDEMPOTENCY_KEY,
    ];
    Ok(CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::DELETE, Method::OPTIONS])
        .allow_headers(headers)
        .expose_headers([REQUEST_ID, RETRY_AFTER, LOCATION])
        .max_age(Duration::from_secs(86_400)))
}

/// Gives the request an id, handles it in a span that carries the id, and says the id in the answer.
///
/// # Cancellation safety
/// That of the route.
pub(super) async fn identify(request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let given = given.filter(|id| (1..=MOST_OF_AN_ID).contains(&id.len()));
    let id = given.map_or_else(|| RandomIds.uuid().simple().to_string(), str::to_owned);
    let span = tracing::info_span!("beacon_v1", request_id = %id, method = %request.method(), path = request.uri().path());
    async move {
        let mut response = next.run(request).await;
        tracing::debug!(status = response.status().as_u16(), "answered");
        if let Ok(id) = HeaderValue::try_from(id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
    .instrument(span)
    .await
}

/// Refuses a request with a method that has a body which is not said to be JSON.
///
/// # Cancellation safety
/// That of the route.
pub(super) async fn expect_json(request: Request, next: Next) -> Response {
    let is_upload = [Method::POST, Method::PUT].contains(request.method());
    if !is_upload || is_json(request.headers()) {
        return next.run(request).await;
    }
    let message = "Content-Type must be application/json";
    Refusal::bad("invalid_content_type").with("message", message).into_response()
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(HeaderValue::to_str) else { return false };
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// Reads a body of at most `limit` bytes.
///
/// # Cancellation safety
/// Dropping the future leaves the rest of the body unread.
pub(super) async fn read(request: Request, limit: usize) -> Result<(HeaderMap, Bytes), Refusal> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, limit).await.map_err(|_| {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body too large")
            .with("message", format!("a body has at most {limit} bytes here, and is sent to its end"))
    })?;
    Ok((head.headers, body))
}

/// The job that a path names. A name that no job can have is `None`, and not found.
pub(super) struct Named(pub(super) Option<JobId>);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Infallible;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let path = Path::<HashMap<String, String>>::from_request_parts(head, state).await.ok();
        Ok(Self(path.and_then(|Path(names)| JobId::new(names.get("id")?).ok())))
    }
}

/// The row that a path names by its number.
pub(super) struct Row(pub(super) u64);

impl<S: Send + Sync> FromRequestParts<S> for Row {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<HashMap<String, String>>::from_request_parts(head, state).await.ok();
        let row = path.and_then(|Path(names)| names.get("row")?.parse().ok()).filter(|row| *row < 1 << 53);
        row.map(Self).ok_or_else(|| Refusal::bad("Invalid execution ID"))
    }
}

/// The first value of a query's parameter.
pub(super) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .find(|(given, _)| given == name)
        .map(|(_, value)| value.into_owned())
}

/// A parameter that is a whole number in this range.
pub(super) fn number(uri: &Uri, name: &str, default: u32, allowed: (u32, u32)) -> Result<u32, Refusal> {
    let Some(text) = parameter(uri, name).filter(|text| !text.is_empty()) else { return Ok(default) };
    let (least, most) = allowed;
    text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        Refusal::bad(format!("invalid {name}"))
            .with("message", format!("must be a whole number from {least} to {most}"))
    })
}
