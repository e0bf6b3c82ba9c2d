use serde::{Deserialize, Serialize};

/// How the answer of an endpoint is found again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WebCall {
    pub(super) url: String,
    /// Modal's name of the call, once an answer told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) call_id: Option<String>,
    /// Where the output is waited for, once an answer told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

impl WebCall {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), call_id: None, next: None }
    }
}
