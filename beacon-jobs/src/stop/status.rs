use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::cancel::StopMode;
use crate::id::AttemptId;

/// What an executor is asked when it shall stop an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopRequest {
    /// The attempt, for executors that label their work with it.
    pub attempt: AttemptId,
    /// How hard.
    pub mode: StopMode,
    /// How long from now the work may still save itself; zero means force now. A later call may
    /// shorten it.
    pub grace: Duration,
    /// Whether no request that creates or begins this attempt can still arrive at the provider.
    pub sealed: bool,
}

impl StopRequest {
    /// A request for this attempt with this much grace.
    #[must_use]
    pub const fn new(attempt: AttemptId, grace: Duration, sealed: bool) -> Self {
        let mode = if grace.is_zero() { StopMode::Immediate } else { StopMode::Graceful };
        Self { attempt, mode, grace, sealed }
    }
}

/// What the provider showed when it was asked to stop.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StopStatus {
    /// The work has ended. Absence counts only if the executor can show that absence means ended.
    Confirmed {
        /// What shows it, in a form that a person can check.
        evidence: Value,
    },
    /// The provider has heard; the end is not shown yet.
    Acknowledged {
        /// What is known so far.
        evidence: Value,
        /// When asking again makes sense.
        ask_again: Duration,
    },
    /// The end can't be shown.
    Unconfirmable {
        /// Why, in one line.
        why: String,
        /// When asking again may bring better news; never when `None`.
        ask_again: Option<Duration>,
    },
}

/// A stop call that brought no answer. It is tried again with growing pauses.
#[derive(Debug)]
pub struct StopError {
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl StopError {
    /// Makes an error; `message` is one line in lower case.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// Keeps a lower-level error as the source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for StopError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<crate::Error> for StopError {
    fn from(error: crate::Error) -> Self {
        Self::new(error.to_string()).with_source(error)
    }
}
