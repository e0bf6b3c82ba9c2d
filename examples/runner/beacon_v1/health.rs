use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::questions;
use super::refusal::json;
use super::route::Shared;

/// Whether all that is needed works: that is the store.
pub(super) async fn health(State(shared): State<Shared>) -> Response {
    let is_ready = is_ready(&shared).await;
    let word = if is_ready { "healthy" } else { "unhealthy" };
    answer(is_ready, &json!({ "status": word, "services": services(is_ready) }))
}

/// The process answers.
pub(super) async fn live() -> Response {
    json(StatusCode::OK, &json!({ "status": "alive" }))
}

/// The store answers too.
pub(super) async fn ready(State(shared): State<Shared>) -> Response {
    let is_ready = is_ready(&shared).await;
    answer(is_ready, &json!({ "ready": is_ready, "services": services(is_ready) }))
}

/// What a portal may ask.
pub(super) async fn questions() -> Response {
    json(StatusCode::OK, &questions::by_category())
}

async fn is_ready(shared: &Shared) -> bool {
    match shared.jobs.store().check().await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "the store is unavailable");
            false
        }
    }
}

fn services(is_ready: bool) -> Value {
    json!([{ "name": "database", "status": if is_ready { "healthy" } else { "unhealthy" } }])
}

fn answer(is_ready: bool, body: &Value) -> Response {
    json(if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
}
