use beacon_jobs::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What an inference endpoint is asked.
///
/// ```
/// use beacon_jobs::job::ExecutionSpec;
/// use beacon_jobs_modal::InferenceRequest;
///
/// let request = InferenceRequest::new("llama3.2-1b", "What is a beacon?");
/// let execution = ExecutionSpec::new("modal-web", request.into_input("https://me--llama-run.modal.run"));
/// assert_eq!(execution.input["body"]["model"], "llama3.2-1b");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InferenceRequest {
    /// The model's name.
    pub model: String,
    /// What it is asked.
    pub prompt: String,
    /// How much it may stray; what the endpoint takes if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The longest answer, in tokens; what the endpoint takes if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Where it is to run; where the endpoint likes if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

impl InferenceRequest {
    /// A request that leaves everything else to the endpoint.
    pub fn new(model: impl Into<String>, prompt: impl Into<String>) -> Self {
        let (model, prompt) = (model.into(), prompt.into());
        Self { model, prompt, temperature: None, max_tokens: None, region: None }
    }

    /// The input of an execution that asks this of an endpoint, and takes an answer that tells of a failure for one.
    #[must_use]
    pub fn into_input(self, url: &str) -> Value {
        json!({ "url": url, "body": self, "reply": "inference" })
    }
}

/// What an inference endpoint answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InferenceReply {
    /// Whether it succeeded, where the endpoint says it so.
    #[serde(default)]
    pub success: Option<bool>,
    /// How it went, where the endpoint says it so.
    #[serde(default)]
    pub status: Option<String>,
    /// The model's answer.
    #[serde(default)]
    pub response: Option<Value>,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<Value>,
    /// All else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl InferenceReply {
    /// Reads the output of an execution.
    ///
    /// # Errors
    /// `Corrupt` when it is no such answer.
    pub fn read(output: &Value) -> Result<Self> {
        Self::deserialize(output).map_err(|error| {
            Error::new(ErrorKind::Corrupt, format!("the endpoint's answer cannot be read: {error}"))
        })
    }

    /// Why this is a failure, if it is one: it says so in `success`, `status` or `error`, or it says neither that it
    /// succeeded nor how it went.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let error = match &self.error {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.trim().is_empty() => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        let says_success = self.status.as_deref().map(|status| {
            let word = status.trim().to_ascii_lowercase();
            matches!(&*word, "success" | "succeeded" | "ok" | "complete" | "completed" | "done")
        });
        let says_failure = self.success == Some(false) || says_success == Some(false);
        match (error, says_failure) {
            (Some(error), _) => Some(error),
            (None, true) => Some(match &self.status {
                Some(status) if says_success == Some(false) => {
                    format!("the endpoint's answer says {status:?}")
                }
                _ => "the endpoint's answer says that it did not succeed".to_owned(),
            }),
            (None, false) if self.success.is_none() && says_success.is_none() => {
                Some("the endpoint's answer says neither success nor status".to_owned())
            }
            (None, false) => None,
        }
    }
}
