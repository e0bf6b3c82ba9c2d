//! What the bodies of requests look like.
#![allow(dead_code, reason = "they are read by hand, so that each error names its field")]

use std::collections::BTreeMap;

use beacon_jobs::JobId;
use beacon_jobs::cancel::StopMode;
use beacon_jobs::job::{JobSpec, JobStatus};
use serde_json::Value;
use utoipa::ToSchema;

/// A job: a list of executions, or a matrix that stands for one.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum JobFile {
    List(JobSpec),
    Matrix(MatrixJob),
}

/// The rules of a job, as in the list form, with a matrix and a template for its executions. They become one lane for
/// each region, in a lane one step for each question, in a step one execution for each model.
#[derive(ToSchema)]
pub(crate) struct MatrixJob {
    matrix: Matrix,
    template: Template,
}

/// The axes of a matrix.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
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
pub(crate) struct SignIn {
    /// The EIP-4361 message, as it was signed.
    #[schema(max_length = 16_384)]
    message: String,
    /// Its EIP-191 signature, 65 bytes as 0x and hexadecimal digits.
    #[schema(max_length = 16_384)]
    signature: String,
}
