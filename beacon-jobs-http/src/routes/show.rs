use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use beacon_jobs::JobId;
use beacon_jobs::job::{
    Cancellation, ExecutionProgress, ExecutionRecord, ExecutionStatus, Failure, JobDetail, JobSpec,
    JobStatus, Progress, StopCounts, StopRecord,
};
use beacon_jobs::store::ExecutionPage;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::{Caller, Named, json};
use crate::api::Shared;
use crate::auth::Principal;
use crate::problem::Problem;
use crate::query::Query;

#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/api/v1/jobs/{id}", operation_id = "getJob", tag = "jobs",
    description = "A job with a page of its executions.",
    params(
        ("id" = JobId, Path, description = "The job"),
        ("exec_limit" = Option<u32>, Query, description = "How many executions at most; 100 if left out", minimum = 0, maximum = 1000),
        ("exec_offset" = Option<u32>, Query, description = "How many are left out before them"),
    ),
    responses((status = 200, description = "The job", body = Shown)),
))]
pub(super) async fn show(
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
    let mut query = Query::of(uri);
    let page = ExecutionPage {
        limit: query.take_number("exec_limit", 0..=1000)?.unwrap_or(100),
        offset: query.take_number("exec_offset", 0..=u32::MAX)?.unwrap_or(0),
    };
    query.finish("exec_limit, exec_offset")?;
    let detail = api.jobs.get(id.ok_or_else(Problem::no_job)?, page).await?.ok_or_else(Problem::no_job)?;
    if !principal.actor().may_act_for(&detail.job.owner) {
        return Err(Problem::not_yours());
    }
    json(StatusCode::OK, &Shown::of(&detail)?)
}

/// A job as it is shown.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ShownJob))]
struct Shown<'a> {
    job: Job<'a>,
    status: JobStatus,
    progress: Progress,
    executions: Vec<Execution<'a>>,
    cancellation: &'a Option<Cancellation>,
    stops: StopCounts,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct Job<'a> {
    id: &'a JobId,
    owner: &'a str,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
    labels: &'a BTreeMap<String, String>,
    waiting_for: &'a [String],
    spec: Value,
}

/// A row of the table of executions.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct Execution<'a> {
    /// Its place in the job's list, from 0, in decimal digits.
    id: String,
    executor: &'a str,
    labels: &'a BTreeMap<String, String>,
    status: ExecutionStatus,
    attempt: u32,
    #[serde(with = "time::serde::rfc3339::option")]
    started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
    /// How far its latest attempt has come, where the executor tells.
    progress: &'a Option<ExecutionProgress>,
    error: &'a Option<Failure>,
    output: &'a Option<Value>,
    late_output: &'a Option<Value>,
    stop: &'a Option<StopRecord>,
}

impl<'a> Shown<'a> {
    fn of(detail: &'a JobDetail) -> Result<Self, Problem> {
        let JobDetail { job, rules, executions, stops } = detail;
        Ok(Self {
            job: Job {
                id: &job.id,
                owner: &job.owner,
                created_at: job.created_at,
                started_at: job.started_at,
                finished_at: job.finished_at,
                labels: &job.labels,
                waiting_for: &job.waiting_for,
                spec: spec(rules)?,
            },
            status: job.status,
            progress: job.progress,
            executions: executions.iter().map(Execution::of).collect(),
            cancellation: &job.cancellation,
            stops: *stops,
        })
    }
}

/// The rules of a job: its executions have rows, and its id stands beside.
fn spec(rules: &JobSpec) -> Result<Value, Problem> {
    let mut spec = serde_json::to_value(rules).map_err(|error| Problem::internal(&error))?;
    if let Some(members) = spec.as_object_mut() {
        members.remove("executions");
        members.remove("id");
    }
    Ok(spec)
}

impl<'a> Execution<'a> {
    fn of(record: &'a ExecutionRecord) -> Self {
        Self {
            id: record.index.to_string(),
            executor: &record.executor,
            labels: &record.labels,
            status: record.status,
            attempt: record.attempt,
            started_at: record.started_at,
            finished_at: record.finished_at,
            progress: &record.progress,
            error: &record.error,
            output: &record.output,
            late_output: &record.late_output,
            stop: &record.stop,
        }
    }
}
