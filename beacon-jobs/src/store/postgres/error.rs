//! What Postgres says went wrong, and what that means for a caller.

use std::io;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::error::ErrorKind;
use crate::store::sql::{Fault, NOT_MIGRATED};

/// What a failed statement has done to the database, as far as that can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trace {
    /// Nothing, and the connection may be used on.
    None,
    /// Nothing: the server had ended the connection, or ended it before it ran the statement.
    Unsent,
    /// It may have committed.
    Unknown,
}

/// A failure of a statement or a connection.
pub(super) fn fault(error: sqlx::Error) -> Fault {
    let known = known(&error);
    Fault::of(error, known)
}

impl Fault {
    /// No connection came in time.
    pub(super) fn no_connection() -> Self {
        Self::new(ErrorKind::Unavailable, "no connection became free in time")
    }

    /// The statement was given up. A read changes nothing anyhow.
    pub(super) fn too_slow(may_have_changed: bool) -> Self {
        if may_have_changed {
            Self::new(ErrorKind::OutcomeUnknown, "it did not answer in time; ask again to learn the outcome")
        } else {
            Self::new(ErrorKind::Unavailable, "it did not answer in time")
        }
    }

    /// What the failed statement may have done.
    pub(super) fn trace(&self, has_answered: bool) -> Trace {
        match self.source.as_deref() {
            Some(sqlx::Error::Database(error)) => {
                let severity = error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
                match severity {
                    // What a statement brings is sent before its commit, and all in order: an end
                    // of the connection before it was no commit.
                    Some(PgSeverity::Fatal | PgSeverity::Panic) if !has_answered => Trace::Unsent,
                    Some(PgSeverity::Fatal | PgSeverity::Panic) => Trace::Unknown,
                    _ => Trace::None,
                }
            }
            // The other end of a socket was closed before all of the statement was written to it.
            Some(sqlx::Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe && !has_answered => {
                Trace::Unsent
            }
            Some(sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_)) => Trace::Unknown,
            _ => Trace::None,
        }
    }

    /// Whether the same statement may fare better at once: nothing was changed, and others were in
    /// the way.
    pub(super) fn is_collision(&self) -> bool {
        // A unique key is violated only by an attempt's id that was used elsewhere at the same
        // moment; the next look sees it.
        matches!(self.code().as_deref(), Some("40001" | "40P01" | "23505"))
    }

    fn code(&self) -> Option<String> {
        let error = self.source.as_deref()?.as_database_error()?;
        error.code().map(|code| code.into_owned())
    }

    /// A read leaves nothing unknown.
    pub(super) fn of_read(self) -> Self {
        if self.kind == ErrorKind::OutcomeUnknown { self.with_kind(ErrorKind::Unavailable) } else { self }
    }
}

/// What is known to be meant.
fn known(error: &sqlx::Error) -> Option<(ErrorKind, String)> {
    use ErrorKind::{Misconfigured, Unavailable};
    Some(match error {
        sqlx::Error::Database(database) => {
            let message = database.message();
            let code = database.code().unwrap_or_default();
            match &*code {
                "3F000" | "42P01" | "42883" | "42703" | "42704" => (Misconfigured, NOT_MIGRATED.to_owned()),
                "3D000" | "28000" | "28P01" => {
                    (Misconfigured, format!("it lets this user not in: {message}"))
                }
                "42501" => (Misconfigured, format!("this user may not do that: {message}")),
                "57014" => (Unavailable, "the statement took too long and was given up".to_owned()),
                "25006" => {
                    (Unavailable, "it is read-only just now; connect to the primary server".to_owned())
                }
                "40001" | "40P01" => {
                    (Unavailable, "other writers were in the way again and again".to_owned())
                }
                _ if message.starts_with("unsupported startup parameter") => (
                    Misconfigured,
                    format!("{message}; set ignore_startup_parameters = extra_float_digits in pgbouncer.ini"),
                ),
                _ if code.starts_with("08") || code.starts_with("57P") => {
                    (Unavailable, format!("the connection was ended: {message}"))
                }
                _ if code.starts_with("53") => (Unavailable, format!("it is short of means: {message}")),
                _ if code.starts_with("58") => {
                    (Unavailable, format!("the server's machine failed: {message}"))
                }
                // A proxy between has no codes of its own for this.
                _ if message.starts_with("prepared statement") => (
                    Misconfigured,
                    format!("{message}; behind a transaction-pooling proxy set transaction_pooling(true)"),
                ),
                _ => return None,
            }
        }
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            (Unavailable, "the connection was lost".to_owned())
        }
        sqlx::Error::Io(error) => {
            (Unavailable, format!("the connection was lost, or cannot be made: {error}"))
        }
        sqlx::Error::Tls(error) => (
            Misconfigured,
            format!("TLS cannot be agreed on: {error}; look at sslmode, and at the feature postgres-tls"),
        ),
        sqlx::Error::Protocol(_) => {
            (Unavailable, "the connection was lost in the middle of a message".to_owned())
        }
        _ => return None,
    })
}
