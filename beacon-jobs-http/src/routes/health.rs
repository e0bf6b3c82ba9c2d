use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::json;
use crate::api::Shared;
use crate::problem::Problem;

/// The process answers.
pub(super) async fn live() -> Result<Response, Problem> {
    json(StatusCode::OK, &json!({ "status": "ok" }))
}

/// The store answers too.
pub(super) async fn ready(State(api): State<Shared>) -> Result<Response, Problem> {
    api.jobs.store().check().await?;
    json(StatusCode::OK, &json!({ "status": "ready" }))
}
