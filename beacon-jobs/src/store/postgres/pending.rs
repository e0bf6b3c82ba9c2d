//! Calls inside a transaction of the host program.

use sqlx::postgres::PgConnection;

use super::submit::NewJob;
use super::{PostgresStore, ends};
use crate::cancel::{CancelOutcome, CancelRequest};
use crate::error::Result;
use crate::id::JobId;
use crate::store::{Signal, Submission, Submitted};

/// What became of a call inside a transaction of the host program. It is true once the host has
/// committed; [`committed`](Self::committed) is how the host says so. If the host rolls back, drop
/// this: nothing has happened.
#[derive(Debug)]
#[must_use = "say `committed` after the commit, or nobody learns of the change before they look"]
pub struct Pending<T> {
    outcome: T,
    signals: Vec<Signal>,
}

impl<T> Pending<T> {
    /// What the outcome will be if the host commits.
    pub const fn outcome(&self) -> &T {
        &self.outcome
    }

    /// Says that the host has committed: sends the hints that the store would have sent, and
    /// returns the outcome.
    pub fn committed(self, store: &PostgresStore) -> T {
        store.core.signal(self.signals);
        self.outcome
    }
}

impl PostgresStore {
    /// As [`submit`](crate::store::JobStore::submit), inside a transaction that the host program has open on a
    /// connection to the same database. When this fails, the transaction must be rolled back, or
    /// back to a savepoint of the host.
    ///
    /// # Errors
    /// As `submit`.
    ///
    /// # Cancellation safety
    /// When dropped, the host must roll back.
    pub async fn submit_in(
        &self,
        connection: &mut PgConnection,
        submission: &Submission,
    ) -> Result<Pending<Submitted>> {
        let job = NewJob::new(submission)?;
        let done = job.submit_on(&self.core.source, connection).await;
        let (outcome, signals) = self.read(done)?;
        Ok(Pending { outcome, signals })
    }

    /// As [`cancel`](crate::store::JobStore::cancel), inside a transaction that the host program has open; see
    /// [`submit_in`](Self::submit_in). The cancel holds from the host's commit on; until then the job
    /// is locked, and whoever works on it waits. The stops that it opened are in the outcome; they
    /// are driven after [`Pending::committed`].
    ///
    /// The transaction should be READ COMMITTED. At a higher level this fails with `Unavailable` when
    /// the job was changed since the transaction began.
    ///
    /// # Errors
    /// As `cancel`.
    ///
    /// # Cancellation safety
    /// When dropped, the host must roll back.
    pub async fn cancel_in(
        &self,
        connection: &mut PgConnection,
        id: &JobId,
        request: &CancelRequest,
    ) -> Result<Pending<CancelOutcome>> {
        let call = self.wish(request)?.one(id);
        let done = self.core.source.execute(connection, &call, &mut false).await;
        let done = done.and_then(|answer| ends::cancelled(id, &answer));
        let (outcome, signals) = self.read(done)?;
        Ok(Pending { outcome, signals })
    }
}
