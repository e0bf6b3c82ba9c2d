use std::fmt;

use serde::{Deserialize, Serialize};

use super::status::words;
use crate::error::{Error, Result};
use std::str::FromStr;

/// Why an execution has no output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum FailureKind {
    /// The work ran and failed.
    Failed,
    /// The input is not one that the executor can run.
    InvalidInput,
    /// The provider refused the work or could not be reached.
    Provider,
    /// The time of the execution or of its job was up.
    Timeout,
    /// The node or the provider lost the work, and the job says not to try again.
    Interrupted,
    /// An older attempt could not be shown to have ended in the time that the job allows.
    StopUnconfirmed,
    /// The executor's own code panicked.
    Panicked,
    /// A request of the executor was refused because the attempt is to end.
    Refused,
}

words!(FailureKind, "kind", {
    Failed = "failed", InvalidInput = "invalid_input", Provider = "provider", Timeout = "timeout",
    Interrupted = "interrupted", StopUnconfirmed = "stop_unconfirmed", Panicked = "panicked", Refused = "refused",
});

/// Why an execution has no output, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// What sort of failure it is.
    pub kind: FailureKind,
    /// One line for a person.
    pub message: String,
}

impl Failure {
    /// Puts the two together.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}
