//! What SQLite says went wrong, and what that means for a caller.

use std::fmt;
use std::sync::Arc;

use sqlx::migrate::MigrateError;

use crate::error::{Error, ErrorKind};

// Primary result codes, https://www.sqlite.org/rescode.html
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NO_MEMORY: i32 = 7;
const READ_ONLY: i32 = 8;
const INTERRUPTED: i32 = 9;
const IO: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANNOT_OPEN: i32 = 14;
const NOT_A_DATABASE: i32 = 26;

/// A failure inside the store, before it is told to one caller or many.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    kind: ErrorKind,
    what: Arc<str>,
    source: Option<Arc<sqlx::Error>>,
}

impl Fault {
    pub(super) fn new(kind: ErrorKind, what: impl Into<Arc<str>>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    /// The store holds something unreadable.
    pub(super) fn corrupt(what: impl Into<Arc<str>>) -> Self {
        Self::new(ErrorKind::Corrupt, what)
    }

    /// The writer went away with the runtime that drove it.
    pub(super) fn stopped() -> Self {
        Self::new(ErrorKind::OutcomeUnknown, "the runtime that wrote to it was shut down; ask again")
    }

    pub(super) fn closed() -> Self {
        Self::new(ErrorKind::Unavailable, "it was closed by this program")
    }

    /// Whether each caller of a failed batch may have better luck alone: the fault can lie in what
    /// one of them wrote, or in a row that only one of them touches.
    pub(super) fn may_be_one_callers(&self) -> bool {
        self.kind == ErrorKind::Corrupt
    }

    /// After a failed COMMIT: whether SQLite says for certain that nothing was committed, once the
    /// rollback succeeds. After an error while syncing, the commit may stand in the file.
    pub(super) fn is_certain_before_commit(&self) -> bool {
        matches!(self.source.as_deref().and_then(primary_code), Some(BUSY | FULL))
    }

    /// Whether another connection holds the lock.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.source.as_deref().and_then(primary_code), Some(BUSY | LOCKED))
    }

    pub(super) fn with_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// The same fault in clearer words.
    pub(super) fn because(self, what: impl Into<Arc<str>>) -> Self {
        Self { what: what.into(), ..self }
    }

    /// Whether SQLite's own words hold these.
    pub(super) fn says(&self, words: &str) -> bool {
        self.source.as_ref().is_some_and(|source| source.to_string().contains(words))
    }

    /// The same fault, of a commit that may have happened.
    pub(super) fn with_unknown_outcome(self) -> Self {
        Self {
            kind: ErrorKind::OutcomeUnknown,
            what: format!("{} while it committed; ask again to learn the outcome", self.what).into(),
            ..self
        }
    }

    /// The error for a caller; `place` names the file.
    pub(super) fn error(&self, place: &str) -> Error {
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

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        let (kind, what) = describe(&error);
        Self { kind, what: one_line(&what).into(), source: Some(Arc::new(error)) }
    }
}

impl From<MigrateError> for Fault {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            MigrateError::VersionMissing(version) => Self::new(
                ErrorKind::Misconfigured,
                format!(
                    "it was migrated by a newer version of this program (migration {version}); update this one"
                ),
            ),
            other => Self::new(ErrorKind::Corrupt, one_line(&other.to_string())),
        }
    }
}

fn describe(error: &sqlx::Error) -> (ErrorKind, String) {
    use ErrorKind::{Corrupt, Misconfigured, Unavailable};
    let fixed = |kind, what: &str| (kind, what.to_owned());
    match error {
        sqlx::Error::Database(database) => {
            let message = database.message();
            match primary_code(error) {
                Some(BUSY | LOCKED) => fixed(Unavailable, "it is locked by another connection"),
                Some(FULL) => fixed(Unavailable, "the disk is full, or the file has reached its size limit"),
                Some(READ_ONLY) => {
                    fixed(Unavailable, "the file is read-only; give this user the right to write it")
                }
                Some(CANNOT_OPEN) => fixed(
                    Unavailable,
                    "the file cannot be opened; check that its folder exists and may be written",
                ),
                Some(IO) => (Unavailable, format!("reading or writing the file failed: {message}")),
                Some(NO_MEMORY) => fixed(Unavailable, "there is not enough memory"),
                Some(INTERRUPTED) => fixed(Unavailable, "the statement was interrupted"),
                Some(CORRUPT) => (Corrupt, format!("the file is damaged: {message}")),
                Some(NOT_A_DATABASE) => fixed(Corrupt, "the file is not a SQLite database"),
                _ if message.starts_with("no such table: beacon_")
                    || message.starts_with("no such column") =>
                {
                    fixed(
                        Misconfigured,
                        "it has not been migrated for this version; run migrate() on it first",
                    )
                }
                _ => (Corrupt, format!("a statement was refused: {message}")),
            }
        }
        sqlx::Error::PoolTimedOut => fixed(Unavailable, "no connection of the pool became free in time"),
        sqlx::Error::PoolClosed => fixed(Unavailable, "its pool was closed"),
        sqlx::Error::WorkerCrashed => fixed(Unavailable, "the connection was lost"),
        sqlx::Error::Io(error) => (Unavailable, format!("the file cannot be opened: {error}")),
        sqlx::Error::Configuration(error) => (Misconfigured, error.to_string()),
        other => (Corrupt, other.to_string()),
    }
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
