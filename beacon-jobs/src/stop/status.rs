use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::cancel::StopMode;
use crate::id::AttemptId;

/// What an executor is asked when it shall stop an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopRequest {
    /// The attempt, for executors that label their work with it.
    pub attempt: AttemptId,
    /// How hard.
    pub mode: StopMode,
    /// How long from now the work may still save itself; zero means force now. A later call may
    /// shorten it.
    pub grace: Duration,
    /// For how long the grace has been over, as this node's clock shows it: zero while it runs. By it
    /// an executor turns to stronger means where force was asked for in vain.
    pub overdue: Duration,
    /// Whether no request that creates or begins this attempt can still arrive at the provider.
    pub sealed: bool,
    /// The evidence of the last recorded answer for this attempt that held some, whichever process
    /// it was given to: so that what was seen once (the ids of containers) can be carried on. It is
    /// as the executor gave it, but for that of a confirmed stop, to which `sealed_by` is added.
    /// Of two calls at once, by two nodes, only the first answer is recorded with its evidence; what the other
    /// one saw must be seen again.
    pub evidence: Option<Value>,
}

impl StopRequest {
    /// A request for this attempt with this much grace, of which none is over, and without evidence.
    #[must_use]
    pub const fn new(attempt: AttemptId, grace: Duration, sealed: bool) -> Self {
        let mode = if grace.is_zero() { StopMode::Immediate } else { StopMode::Graceful };
        Self { attempt, mode, grace, overdue: Duration::ZERO, sealed, evidence: None }
    }

    /// Sets for how long the grace has been over.
    #[must_use]
    pub const fn with_overdue(mut self, overdue: Duration) -> Self {
        self.overdue = overdue;
        self
    }

    /// Sets the evidence of the last answer.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Option<Value>) -> Self {
        self.evidence = evidence;
        self
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
        /// What is known so far, to be carried to the next call. `None` leaves what was recorded before.
        evidence: Option<Value>,
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
