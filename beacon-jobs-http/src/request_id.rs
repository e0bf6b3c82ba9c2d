use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use beacon_jobs::{IdSource, RandomIds};
use tracing::Instrument;

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

const MOST_BYTES: usize = 128;

/// Gives the request an id, handles it in a span that carries the id, and says the id in the answer.
///
/// # Cancellation safety
/// That of the route.
pub(crate) async fn identify(request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(|| RandomIds.uuid().to_string());
    let path = request.uri().path();
    let span = tracing::info_span!("http", request_id = %id, method = %request.method(), path);
    async move {
        let mut response = next.run(request).await;
        tracing::debug!(status = response.status().as_u16(), "answered");
        if let Ok(id) = HeaderValue::try_from(id) {
            response.headers_mut().insert(HEADER, id);
        }
        response
    }
    .instrument(span)
    .await
}

/// The client's id, if it is one that can stand in a log line.
fn given(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(HEADER)?.to_str().ok()?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    ((1..=MOST_BYTES).contains(&id.len()) && id.bytes().all(legal)).then(|| id.to_owned())
}
