use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::json;
use crate::api::Shared;
use crate::problem::Problem;

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct Health {
    status: &'static str,
}

/// The process answers.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/healthz", operation_id = "isAlive", tag = "health", security(()),
    responses((status = 200, description = "The process answers", body = Health)),
))]
pub(super) async fn live() -> Result<Response, Problem> {
    json(StatusCode::OK, &Health { status: "ok" })
}

/// The store answers too.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/readyz", operation_id = "isReady", tag = "health", security(()),
    responses((status = 200, description = "The store answers too", body = Health)),
))]
pub(super) async fn ready(State(api): State<Shared>) -> Result<Response, Problem> {
    api.jobs.store().check().await?;
    json(StatusCode::OK, &Health { status: "ready" })
}
