use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use beacon_jobs::JobId;
use beacon_jobs::job::AuditEntry;
use serde::Serialize;

use super::{Caller, Named, json};
use crate::api::Shared;
use crate::auth::Principal;
use crate::problem::Problem;
use crate::query::Query;

/// Who did what to a job, when and why, oldest first.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct Audit<'a> {
    job_id: &'a JobId,
    audit: Vec<AuditEntry>,
}

#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/api/v1/jobs/{id}/audit", operation_id = "auditJob", tag = "jobs",
    description = "Who did what to the job, when and why; oldest first.",
    params(("id" = JobId, Path, description = "The job")),

    responses((status = 200, description = "The entries", body = Audit)),
))]
pub(super) async fn audit(
    State(api): State<Shared>,
    Caller(principal): Caller,
    Named(id): Named,
    uri: Uri,
) -> Result<Response, Problem> {
    answer(&api, &principal, id.as_ref(), &uri).await.map_err(|problem| problem.about(id))
}

async fn answer(
    api: &Shared,
    principal: &Principal,
    id: Option<&JobId>,
    uri: &Uri,
) -> Result<Response, Problem> {
    Query::of(uri).finish("none")?;
    let job_id = id.ok_or_else(Problem::no_job)?;
    api.allow(principal, job_id).await?;
    json(StatusCode::OK, &Audit { job_id, audit: api.jobs.audit(job_id).await? })
}
