use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// Made from the routes, and kept beside them: whoever serves them needs nothing that makes it.
const DOCUMENT: &str = include_str!("../../openapi.json");

pub(super) async fn show() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT).into_response()
}
