use std::error::Error as StdError;
use std::fmt;

use serde_json::Value;

use crate::job::{Failure, FailureKind};

/// Why an attempt brought no output, and whether another one is sensible.
pub struct ExecuteError {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    failure: Failure,
    retryable: bool,
    output: Option<Value>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ExecuteError {
    /// Makes an error after which another attempt is not sensible. `message` is one line.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let failure = Failure::new(kind, message);
        Self { inner: Box::new(Inner { failure, retryable: false, output: None, source: None }) }
    }

    /// The work ran and failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Failed, message)
    }

    /// The work of a saved handle never began, or the provider cannot say.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Interrupted, message)
    }

    pub(crate) fn refused(why: impl fmt::Display) -> Self {
        Self::new(FailureKind::Refused, format!("the attempt is to end: {why}"))
    }

    /// Says that another attempt is sensible.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.inner.retryable = true;
        self
    }

    /// Keeps what the failed work brought all the same, for a person to read.
    #[must_use]
    pub fn with_output(mut self, output: Value) -> Self {
        self.inner.output = Some(output);
        self
    }

    /// Keeps a lower-level error as the source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// What failed.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        &self.inner.failure
    }

    /// Whether another attempt is sensible.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.inner.retryable
    }

    /// What the failed work brought all the same.
    #[must_use]
    pub fn output(&self) -> Option<&Value> {
        self.inner.output.as_ref()
    }
}

impl fmt::Display for ExecuteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.failure.message)
    }
}

impl fmt::Debug for ExecuteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl StdError for ExecuteError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
