use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// The tables are not there, or those of another version.
pub(crate) const NOT_MIGRATED: &str = "it has not been migrated for this version; run migrate() on it first";

/// A failure inside a store, before it is told to one caller or many.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    pub(crate) what: Arc<str>,
    /// What the database said.
    pub(crate) source: Option<Arc<sqlx::Error>>,
}

impl Fault {
    pub(crate) fn new(kind: ErrorKind, what: impl Into<Arc<str>>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    /// A failure of a statement or a connection; `known` is what it means in this database, if that
    /// is known.
    pub(crate) fn of(error: sqlx::Error, known: Option<(ErrorKind, String)>) -> Self {
        let (kind, what) = known.unwrap_or_else(|| match &error {
            sqlx::Error::PoolTimedOut => {
                (ErrorKind::Unavailable, "no connection of the pool became free in time".to_owned())
            }
            sqlx::Error::PoolClosed => (ErrorKind::Unavailable, "its pool was closed".to_owned()),
            sqlx::Error::Configuration(error) => (ErrorKind::Misconfigured, error.to_string()),
            sqlx::Error::Database(error) => {
                (ErrorKind::Corrupt, format!("a statement was refused: {}", error.message()))
            }
            other => (ErrorKind::Corrupt, other.to_string()),
        });
        Self { kind, what: one_line(&what).into(), source: Some(Arc::new(error)) }
    }

    /// The store holds something unreadable.
    pub(crate) fn corrupt(what: impl Into<Arc<str>>) -> Self {
        Self::new(ErrorKind::Corrupt, what)
    }

    /// What drove the call went away with its runtime.
    pub(crate) fn stopped() -> Self {
        Self::new(ErrorKind::OutcomeUnknown, "the runtime that wrote to it was shut down; ask again")
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Unavailable, "it was closed by this program")
    }

    /// The tables are those of a newer version.
    pub(crate) fn newer(migration: i64) -> Self {
        let what = format!(
            "it was migrated by a newer version of this program (migration {migration}); update this one"
        );
        Self::new(ErrorKind::Misconfigured, what)
    }

    /// Whether each caller of a failed batch may have better luck alone: the fault can lie in what
    /// one of them wrote, or in a row that only one of them touches.
    pub(crate) fn may_be_one_callers(&self) -> bool {
        self.kind == ErrorKind::Corrupt
    }

    pub(crate) fn with_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// A failure after the commit: what was done, and cannot be told, must be asked for.
    pub(crate) fn after_commit(self) -> Self {
        self.with_kind(ErrorKind::OutcomeUnknown)
    }

    /// The same fault, of a write that may have been committed.
    pub(crate) fn with_unknown_outcome(self) -> Self {
        if self.kind == ErrorKind::OutcomeUnknown {
            return self;
        }
        Self {
            kind: ErrorKind::OutcomeUnknown,
            what: format!("{} while it committed; ask again to learn the outcome", self.what).into(),
            ..self
        }
    }

    /// The error for a caller; `place` names the database.
    pub(crate) fn error(&self, place: &str) -> Error {
        let error = Error::new(self.kind, format!("the store in {place}: {}", self.what));
        match &self.source {
            Some(source) => error.with_source(Arc::clone(source)),
            None => error,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// What a database says may have several lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
