//! The OpenAPI document, made from the routes: what `openapi.json` holds.

use std::collections::BTreeMap;

use beacon_jobs::JobId;
use beacon_jobs::cancel::StopMode;
use beacon_jobs::job::{JobSpec, JobStatus};
use serde_json::Value;
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder, Server};
use utoipa::{Modify, OpenApi, ToSchema};

use crate::routes::paths;

/// Writes the document down, as the committed file has it.
///
/// # Errors
/// When it has no JSON form, which is a bug.
pub fn document() -> serde_json::Result<String> {
    let mut text = Document::openapi().to_pretty_json()?;
    text.push('\n');
    Ok(text)
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "beacon-jobs",
        description = "Jobs on somebody else's computers, where cancel means stopped. Members of a request that are \
                       not named here are refused. A refusal changes nothing, and is an RFC 9457 problem."
    ),
    paths(
        paths::submit, paths::list, paths::cancel_many, paths::show, paths::cancel, paths::audit, paths::events,
        paths::nonce, paths::sign_in, paths::sign_out, paths::live, paths::ready
    ),
    components(schemas(crate::problem::Document)),
    security(("bearer" = [])),
    modifiers(&Finish)
)]
struct Document;

/// Adds what all operations have in common.
struct Finish;

impl Modify for Finish {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        document.servers = Some(vec![Server::new("/")]);
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
        for (path, item) in &mut document.paths.paths {
            let operations = [
                (HttpMethod::Get, &mut item.get),
                (HttpMethod::Post, &mut item.post),
                (HttpMethod::Delete, &mut item.delete),
            ];
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    refusals(path, &method, operation);
                }
            }
        }
    }
}

/// Adds the refusals that any request of this kind may meet, and gives each the body that it has.
fn refusals(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let mut add = |status: u16, description: &str| {
        let known = &mut operation.responses.responses;
        let refusal = || RefOr::T(ResponseBuilder::new().description(description).build());
        known.entry(status.to_string()).or_insert_with(refusal);
    };
    if path.starts_with("/api") {
        add(429, "Too many requests, where the server has a limit");
        add(401, "No valid credential, or a sign-in that does not hold");
        if *method != HttpMethod::Delete {
            add(422, "A body, a header or a query that is not allowed; `field` names it");
        }
        if *method == HttpMethod::Post {
            add(400, "A body that is not JSON");
            add(408, "A body of which nothing more came for 30 seconds");
            add(413, "A body that is too large");
            add(415, "A body that is not said to be JSON");
        }
    }
    if path.contains("{id}") {
        add(403, "Another's job");
        add(404, "There is no such job");
    }
    if path != "/healthz" {
        add(500, "The server failed; its log says why, under the id in `X-Request-ID`");
        add(503, "The store does not answer; `code` says whether something may have changed");
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.as_str() >= "400"
        {
            let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
            response
                .content
                .insert("application/problem+json".to_owned(), RefOr::T(Content::new(Some(schema))));
        }
    }
}

/// A job: a list of executions, or a matrix that stands for one.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it is read by hand, so that each error names its field")]
pub(crate) enum JobFile {
    List(JobSpec),
    Matrix(MatrixJob),
}

/// The rules of a job, as in the list form, with a matrix and a template for its executions. They become one lane for
/// each region, in a lane one step for each question, in a step one execution for each model.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is read by hand, so that each error names its field")]
pub(crate) struct MatrixJob {
    matrix: Matrix,
    template: Template,
}

/// The axes of a matrix.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is read by hand, so that each error names its field")]
struct Matrix {
    #[schema(min_items = 1)]
    models: Vec<String>,
    #[schema(min_items = 1)]
    regions: Vec<String>,
    #[schema(min_items = 1)]
    questions: Vec<String>,
}

/// One execution, in whose labels and input `{{model}}`, `{{region}}` and `{{question}}` are replaced.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is read by hand, so that each error names its field")]
struct Template {
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    executor: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_536_000)]
    timeout_seconds: Option<u64>,
    #[serde(default)]
    input: Value,
}

/// How a job is to be cancelled.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is read by hand, so that each error names its field")]
pub(crate) struct CancelWish {
    /// Why, in the words of who asks.
    #[schema(max_length = 500)]
    reason: Option<String>,
    /// `graceful` if left out.
    mode: Option<StopMode>,
    /// How long work may take to end by itself; 10 if left out.
    #[schema(minimum = 0, maximum = 600)]
    grace_seconds: Option<u32>,
}

/// Which jobs are to be cancelled, and how.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is read by hand, so that each error names its field")]
pub(crate) struct CancelManyWish {
    filter: Filter,
    /// Whether nothing is to be changed, and only told what would be.
    dry_run: Option<bool>,
    /// Why, in the words of who asks.
    #[schema(max_length = 500)]
    reason: Option<String>,
    /// `graceful` if left out.
    mode: Option<StopMode>,
    /// How long work may take to end by itself; 10 if left out.
    #[schema(minimum = 0, maximum = 600)]
    grace_seconds: Option<u32>,
}

/// Which jobs: those that fit all of its members, of which it has one or more.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is read by hand, so that each error names its field")]
struct Filter {
    /// `queued` or `running`.
    status: Option<JobStatus>,
    labels: Option<BTreeMap<String, String>>,
    #[schema(max_items = 1000)]
    ids: Option<Vec<JobId>>,
}

/// A sign-in by wallet.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is read by hand, so that each error names its field")]
pub(crate) struct SignIn {
    /// The EIP-4361 message, as it was signed.
    #[schema(max_length = 16_384)]
    message: String,
    /// Its EIP-191 signature, 65 bytes as 0x and hexadecimal digits.
    #[schema(max_length = 16_384)]
    signature: String,
}
