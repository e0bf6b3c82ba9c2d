//! What SQLite says went wrong, and what that means for a caller.

use std::sync::Arc;

use sqlx::migrate::MigrateError;

use crate::error::ErrorKind;
use crate::store::sql::{Fault, NOT_MIGRATED};

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

/// A failure of a statement or a connection.
pub(super) fn fault(error: sqlx::Error) -> Fault {
    let known = known(&error);
    Fault::of(error, known)
}

impl Fault {
    /// After a failed COMMIT: whether SQLite says for certain that nothing was committed, once the
    /// rollback succeeds. After an error while syncing, the commit may stand in the file.
    pub(super) fn is_certain_before_commit(&self) -> bool {
        matches!(self.source.as_deref().and_then(primary_code), Some(BUSY | FULL))
    }

    /// Whether another connection holds the lock.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.source.as_deref().and_then(primary_code), Some(BUSY | LOCKED))
    }

    /// The same fault in clearer words.
    pub(super) fn because(self, what: impl Into<Arc<str>>) -> Self {
        Self { what: what.into(), ..self }
    }

    /// Whether SQLite's own words hold these.
    pub(super) fn says(&self, words: &str) -> bool {
        self.source.as_ref().is_some_and(|source| source.to_string().contains(words))
    }
}

/// A failure of a migration.
pub(super) fn unmigrated(error: MigrateError) -> Fault {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => fault(error),
        MigrateError::VersionMissing(version) => Fault::newer(version),
        other => fault(sqlx::Error::Migrate(Box::new(other))),
    }
}

/// What is known to be meant.
fn known(error: &sqlx::Error) -> Option<(ErrorKind, String)> {
    use ErrorKind::{Corrupt, Misconfigured, Unavailable};
    let fixed = |kind, what: &str| (kind, what.to_owned());
    Some(match error {
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
                    fixed(Misconfigured, NOT_MIGRATED)
                }
                _ => return None,
            }
        }
        sqlx::Error::WorkerCrashed => fixed(Unavailable, "the connection was lost"),
        sqlx::Error::Io(error) => (Unavailable, format!("the file cannot be opened: {error}")),
        _ => return None,
    })
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
