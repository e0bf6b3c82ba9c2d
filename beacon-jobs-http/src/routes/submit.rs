use axum::extract::{OriginalUri, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use beacon_jobs::job::{JobStatus, parse_job_file};
use beacon_jobs::store::{Submission, Submitted};
use beacon_jobs::{ErrorKind, JobId};
use serde::Serialize;
use tracing::Span;

use super::{IDEMPOTENCY_KEY, json, to_the_end};
use crate::api::Shared;
use crate::auth::Principal;
use crate::problem::{Code, Problem};
use crate::upload::{Received, Upload};

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct Accepted {
    id: JobId,
    status: JobStatus,
}

#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/api/v1/jobs", operation_id = "submitJob", tag = "jobs",
    description = "Takes a job in. The same job or key of the same owner again is answered with what became of it.",
    params(("Idempotency-Key" = Option<String>, Header, description = "Belongs to its owner, and lives as long as its job: 1 to 255 visible ASCII characters")),
    request_body(content = crate::openapi::JobFile, content_type = "application/json"),
    responses(
        (status = 201, description = "Taken in", body = Accepted, headers(("Location" = String, description = "Where the job is shown"))),
        (status = 200, description = "Known before", body = Accepted),
        (status = 403, description = "An executor for administrators"),
        (status = 409, description = "The id or the key is taken by something else"),
    ),
))]
pub(super) async fn submit(
    State(api): State<Shared>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Result<Response, Problem> {
    let upload = Upload::of(request);
    let principal = match api.principal(upload.head()).await {
        Ok(principal) => principal,
        Err(problem) => return Err(upload.refuse(problem).await),
    };
    let received = upload.read(api.max_body).await?;
    received.expect_json()?;
    // A long list takes its time to read, check and digest: not on a thread that other requests,
    // cancels among them, wait for.
    let prepared = {
        let (api, span) = (Shared::clone(&api), Span::current());
        let prepare = move || span.in_scope(|| prepare(&api, &principal, &received));
        tokio::task::spawn_blocking(prepare).await
    };
    let submission = prepared.map_err(|error| Problem::internal(&error))??;
    let (id, submitted) = to_the_end(async move {
        let submitted = api.jobs.store().submit(&submission).await;
        (submission.id, submitted)
    })
    .await?;
    match submitted.map_err(|error| Problem::from(error).about(Some(id.clone())))? {
        Submitted::Created(id) => {
            let location = format!("{}/{id}", uri.path().trim_end_matches('/'));
            let accepted = Accepted { id, status: JobStatus::Queued };
            let mut response = json(StatusCode::CREATED, &accepted)?;
            if let Ok(location) = HeaderValue::try_from(location) {
                response.headers_mut().insert(LOCATION, location);
            }
            Ok(response)
        }
        Submitted::Existing(id, status) => json(StatusCode::OK, &Accepted { id, status }),
        Submitted::Conflict(taken) => {
            let detail = if taken == id {
                format!("id {taken} is taken by a job with another owner or another spec")
            } else {
                format!("the Idempotency-Key was used for job {taken}, which has another spec or name")
            };
            Err(Problem::new(Code::Conflict, detail).about(Some(taken)))
        }
    }
}

/// All that can be refused without a look at the store.
fn prepare(api: &Shared, principal: &Principal, received: &Received) -> Result<Submission, Problem> {
    let spec = parse_job_file(&received.body).map_err(|error| match (error.kind(), error.field()) {
        (ErrorKind::InvalidInput, None) => {
            Problem::new(Code::MalformedBody, format!("the body is {}", error.message()))
        }
        _ => Problem::from(error),
    })?;
    let key = idempotency_key(&received.head.headers)?;
    let submission = api.jobs.prepare(&principal.id, spec, key)?;
    if let Some(name) = api.forbidden(principal, submission.spec.executors()) {
        let detail = format!("only an administrator of this server may submit work for executor {name}");
        return Err(Problem::new(Code::ExecutorForbidden, detail));
    }
    Ok(submission)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let refusal =
        || Problem::invalid("Idempotency-Key", "must be given once, as 1 to 255 visible ASCII characters");
    let mut given = headers.get_all(IDEMPOTENCY_KEY).into_iter();
    let Some(key) = given.next() else { return Ok(None) };
    if given.next().is_some() || !(1..=255).contains(&key.len()) {
        return Err(refusal());
    }
    key.to_str().map(Some).map_err(|_| refusal())
}
