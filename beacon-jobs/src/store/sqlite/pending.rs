//! Calls inside a transaction of the host program.

use sqlx::sqlite::SqliteConnection;

use super::link::Link;
use super::own::Done;
use super::submit::{self, NewJob};
use super::{SqliteStore, ends};
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
    pub fn committed(self, store: &SqliteStore) -> T {
        store.writer.signal(self.signals);
        self.outcome
    }
}

impl SqliteStore {
    /// As [`submit`](crate::store::JobStore::submit), inside a transaction that the host program has open on a
    /// connection to the same file. When this fails, its own part is undone and the transaction is
    /// as before.
    ///
    /// The transaction should begin with `BEGIN IMMEDIATE`. One that has read before it writes
    /// fails with `Unavailable` when another connection has written since.
    ///
    /// # Errors
    /// As `submit`.
    ///
    /// # Cancellation safety
    /// When dropped, the host must roll back.
    pub async fn submit_in(
        &self,
        connection: &mut SqliteConnection,
        submission: &Submission,
    ) -> Result<Pending<Submitted>> {
        let job = NewJob::new(submission)?;
        let mut link = Link::host(connection);
        let done = submit::submit(&mut link, &*self.writer.clock, &job).await;
        self.pending(&mut link, done).await
    }

    /// As [`cancel`](crate::store::JobStore::cancel), inside a transaction that the host program has open; see
    /// [`submit_in`](Self::submit_in). The cancel holds from the host's commit on. The stops that it
    /// opened are in the outcome; they are driven after [`Pending::committed`].
    ///
    /// # Errors
    /// As `cancel`.
    ///
    /// # Cancellation safety
    /// When dropped, the host must roll back.
    pub async fn cancel_in(
        &self,
        connection: &mut SqliteConnection,
        id: &JobId,
        request: &CancelRequest,
    ) -> Result<Pending<CancelOutcome>> {
        request.check()?;
        let mut link = Link::host(connection);
        let done = ends::cancel(&mut link, &*self.writer.clock, id, request).await;
        self.pending(&mut link, done).await
    }

    async fn pending<T>(&self, link: &mut Link<'_>, done: Done<T>) -> Result<Pending<T>> {
        let (outcome, signals) = link.settle(done).await.map_err(|fault| self.writer.source.error(&fault))?;
        Ok(Pending { outcome, signals })
    }
}
