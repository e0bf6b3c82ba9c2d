use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use beacon_jobs::job::JobRecord;
use beacon_jobs::store::JobFilter;
use serde::Serialize;

use super::{Caller, json};
use crate::api::Shared;
use crate::auth::Principal;
use crate::problem::Problem;
use crate::query::Query;

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = JobPage))]
struct Page {
    jobs: Vec<JobRecord>,
    next_cursor: Option<String>,
}

#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/api/v1/jobs", operation_id = "listJobs", tag = "jobs",
    description = "Jobs, newest first: an administrator's are everybody's, others' their own.",
    params(
        ("status" = Option<beacon_jobs::job::JobStatus>, Query, description = "Only in this status"),
        ("label" = Option<Vec<String>>, Query, description = "Only with this label, as `key:value`; may be given several times"),
        ("limit" = Option<u32>, Query, description = "How many at most; 50 if left out", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page of jobs", body = Page)),
))]
pub(super) async fn list(
    State(api): State<Shared>,
    Caller(principal): Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let filter = filter(&principal, Query::of(&uri))?;
    let list = api.jobs.list(&filter).await?;
    json(StatusCode::OK, &Page { jobs: list.jobs, next_cursor: list.next_cursor })
}

fn filter(principal: &Principal, mut query: Query) -> Result<JobFilter, Problem> {
    let mut labels = BTreeMap::new();
    for label in query.take_all("label") {
        let Some((key, value)) = label.split_once(':') else {
            return Err(Problem::invalid("label", "must be key:value"));
        };
        if labels.insert(key.to_owned(), value.to_owned()).is_some_and(|other| other != value) {
            return Err(Problem::invalid("label", "asks for two values of one key, which no job has"));
        }
    }
    let filter = JobFilter {
        owner: (!principal.is_admin()).then(|| principal.id.clone()),
        status: query.take("status")?.map(|word| word.parse()).transpose()?,
        labels,
        limit: query.take_number("limit", 1..=200)?.unwrap_or(50),
        cursor: query.take("cursor")?,
    };
    query.finish("status, label, limit, cursor")?;
    Ok(filter)
}
