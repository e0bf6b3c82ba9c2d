use beacon_jobs::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The `input` of an execution.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    pub(super) url: String,
    #[serde(default)]
    pub(super) body: Value,
    #[serde(default)]
    pub(super) reply: ReplyForm,
}

/// What the endpoint's answer looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReplyForm {
    /// The HTTP status says whether it failed.
    #[default]
    Any,
    /// So does the body.
    Inference,
}

impl Input {
    pub(super) fn read(input: &Value) -> Result<Self> {
        serde_path_to_error::deserialize(input).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." { "input".to_owned() } else { format!("input.{path}") };
            Error::invalid(field, error.inner().to_string())
        })
    }
}
