//! The embedded store: one SQLite file.
//!
//! - The file is in WAL mode with `synchronous = FULL`: what a call has answered survives a power
//!   loss.
//! - One writer commits for all callers: those that wait share a commit, so a busy program pays
//!   for few. A cancel has a commit of its own, before whatever else waits.
//! - Its tables are named `beacon_...` and its migrations are counted in
//!   `_beacon_jobs_migrations`, so it can live in the file of the host program.
//! - Only one node may run on it. Any number of processes may submit, read and cancel; hints
//!   ([`JobStore::signals`]) stay inside a process.

mod batch;
mod claim;
mod codec;
mod ends;
mod error;
mod link;
mod migrate;
mod nodes;
mod own;
mod pending;
mod prune;
mod queue;
mod read;
mod rows;
mod sessions;
mod source;
mod statements;
mod stops;
mod submit;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqlitePool;

use self::batch::Shared;
use self::queue::Own;
use self::submit::NewJob;
use self::writer::Writer;
use super::sql::{self, Fault};
use super::{
    Claim, ClaimedJob, CloseStop, CloseStopOutcome, DrivenStops, ExecutionPage, FinishExecution, FinishJob,
    FinishJobOutcome, FinishOutcome, Heartbeat, HeldJob, JobFilter, JobList, JobStore, Joined, NodeEnd,
    NodeIdentity, NodeRecord, Release, ReportProgress, SaveHandle, SaveOutcome, Seal, Signals,
    StartExecution, StartOutcome, StopUpdate, Submission, Submitted, TakeStops,
};
use crate::cancel::{CancelOutcome, CancelRequest};
use crate::clock::within;
use crate::error::{ErrorKind, Result};
use crate::id::{IncarnationId, JobId};
use crate::job::{AuditEntry, JobDetail, JobOutline};
use crate::stop::{StopItem, StopState};

pub use self::pending::Pending;
pub use self::source::SqliteStoreOptions;

/// How long a check may take: who asks whether the store is well must not hang with it.
const CHECK_LIMIT: Duration = Duration::from_secs(10);

/// A store in a SQLite file. Cloning is cheap; all clones are the same store.
///
/// # Errors
/// `Misconfigured` from any call when the file has not been [migrated](Self::migrate), or when the
/// call is made outside of a tokio runtime.
#[derive(Clone)]
pub struct SqliteStore {
    writer: Arc<Writer>,
    readers: SqlitePool,
    owns_readers: bool,
}

impl SqliteStore {
    fn new(writer: Arc<Writer>, readers: SqlitePool, owns_readers: bool) -> Self {
        Self { writer, readers, owns_readers }
    }

    /// Opens a store with the default [options](SqliteStoreOptions::open).
    ///
    /// # Errors
    /// As [`SqliteStoreOptions::open`].
    ///
    /// # Cancellation safety
    /// When dropped, the file may have been created.
    pub async fn open(location: impl AsRef<Path>) -> Result<Self> {
        SqliteStoreOptions::new().open(location).await
    }

    /// Opens a store in the file of the host program's pool, with the default
    /// [options](SqliteStoreOptions::from_pool).
    ///
    /// # Errors
    /// As [`SqliteStoreOptions::from_pool`].
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn from_pool(pool: SqlitePool) -> Result<Self> {
        SqliteStoreOptions::new().from_pool(pool).await
    }

    /// Makes the tables, or brings them up to this version. Does nothing when they are.
    ///
    /// # Errors
    /// `Misconfigured` when a newer version has migrated the file.
    ///
    /// # Cancellation safety
    /// When dropped, some of the migrations may be done; calling again does the rest.
    pub async fn migrate(&self) -> Result<()> {
        let source = &self.writer.source;
        let migrated = async {
            let mut connection = source.connect().await?;
            migrate::migrate(&mut connection).await
        };
        migrated.await.map_err(|fault| source.error(&fault))
    }

    /// How many transactions this store has committed since it was opened, for metrics.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// Takes no more calls, answers those that wait, and closes the file. A pool of the host program
    /// stays open. Without this call the connections close a moment after the last clone is dropped.
    ///
    /// # Cancellation safety
    /// When dropped, the store takes no more calls, and its connections may be open.
    pub async fn close(&self) {
        self.writer.close().await;
        if self.owns_readers {
            self.readers.close().await;
        }
    }

    fn read<T>(&self, result: Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| self.writer.source.error(&fault))
    }
}

impl fmt::Display for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlite {}", self.writer.source.place())
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("file", &self.writer.source.place()).finish_non_exhaustive()
    }
}

#[async_trait]
impl JobStore for SqliteStore {
    fn allows_many_nodes(&self) -> bool {
        false
    }

    async fn check(&self) -> Result<()> {
        let asked = self.writer.first(Own::Check);
        within(&*self.writer.clock, CHECK_LIMIT, asked).await.unwrap_or_else(|| {
            self.read(Err(Fault::new(
                ErrorKind::Unavailable,
                "it does not answer; its disk or its writer hangs",
            )))
        })
    }

    async fn submit(&self, submission: &Submission) -> Result<Submitted> {
        let job = NewJob::new(submission)?;
        self.writer.own(|reply| Own::Submit(job, reply)).await
    }

    async fn get(&self, id: &JobId, page: ExecutionPage) -> Result<Option<JobDetail>> {
        self.read(read::get(&self.readers, self.writer.clock.now(), id, page).await)
    }

    async fn outline(&self, id: &JobId) -> Result<Option<JobOutline>> {
        self.read(read::outline(&self.readers, self.writer.clock.now(), id).await)
    }

    async fn list(&self, filter: &JobFilter) -> Result<JobList> {
        let before = sql::before(filter.cursor.as_deref())?;
        self.read(read::list(&self.readers, self.writer.clock.now(), filter, before).await)
    }

    async fn audit(&self, id: &JobId) -> Result<Vec<AuditEntry>> {
        self.read(read::audit(&self.readers, id).await)
    }

    async fn cancel(&self, id: &JobId, request: &CancelRequest) -> Result<CancelOutcome> {
        request.check()?;
        self.writer.first(|reply| Own::Cancel(id.clone(), request.clone(), reply)).await
    }

    async fn cancel_many(&self, ids: &[JobId], request: &CancelRequest) -> Result<Vec<CancelOutcome>> {
        request.check()?;
        self.writer.first(|reply| Own::CancelMany(ids.to_vec(), request.clone(), reply)).await
    }

    async fn join(&self, node: &NodeIdentity, lease: Duration) -> Result<Joined> {
        self.writer.own(|reply| Own::Join(node.clone(), lease, reply)).await
    }

    async fn heartbeat(&self, incarnation: IncarnationId, lease: Duration) -> Result<Heartbeat> {
        self.writer.own(|reply| Own::Heartbeat(incarnation, lease, reply)).await
    }

    async fn end_node(&self, incarnation: IncarnationId, how: NodeEnd) -> Result<()> {
        self.writer.own(|reply| Own::EndNode(incarnation, how, reply)).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>> {
        self.read(read::nodes(&self.readers, self.writer.clock.now()).await)
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        let taken = self.writer.own(|reply| Own::Claim(claim.clone(), reply)).await?;
        self.read(claim::with_executions(&self.readers, &*self.writer.clock, taken).await)
    }

    async fn take_over(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        let taken = self.writer.own(|reply| Own::TakeOver(claim.clone(), reply)).await?;
        self.read(claim::with_executions(&self.readers, &*self.writer.clock, taken).await)
    }

    async fn held(&self, incarnation: IncarnationId, running: &[JobId]) -> Result<Vec<HeldJob>> {
        self.read(read::held(&self.readers, self.writer.clock.now(), incarnation, running).await)
    }

    async fn release(&self, release: &Release) -> Result<bool> {
        self.writer.own(|reply| Own::Release(release.clone(), reply)).await
    }

    async fn start(&self, starts: &[StartExecution]) -> Result<Vec<StartOutcome>> {
        self.writer.shared(|reply| Shared::Start(starts.to_vec(), reply)).await
    }

    async fn save_handles(&self, saves: &[SaveHandle]) -> Result<Vec<SaveOutcome>> {
        sql::check_saves(saves)?;
        self.writer.shared(|reply| Shared::Save(saves.to_vec(), reply)).await
    }

    async fn report_progress(&self, reports: &[ReportProgress]) -> Result<Vec<bool>> {
        self.writer.shared(|reply| Shared::Report(reports.to_vec(), reply)).await
    }

    async fn seal(&self, seals: &[Seal]) -> Result<()> {
        self.writer.shared(|reply| Shared::Seal(seals.to_vec(), reply)).await
    }

    async fn finish(&self, finishes: &[FinishExecution]) -> Result<Vec<FinishOutcome>> {
        sql::check_finishes(finishes)?;
        self.writer.shared(|reply| Shared::Finish(finishes.to_vec(), reply)).await
    }

    async fn finish_job(&self, finish: &FinishJob) -> Result<FinishJobOutcome> {
        self.writer.own(|reply| Own::FinishJob(finish.clone(), reply)).await
    }

    async fn take_stops(&self, take: &TakeStops) -> Result<Vec<StopItem>> {
        self.writer.own(|reply| Own::TakeStops(take.clone(), reply)).await
    }

    async fn record_stops(&self, updates: &[StopUpdate]) -> Result<Vec<Option<StopState>>> {
        sql::check_updates(updates)?;
        self.writer.shared(|reply| Shared::RecordStops(updates.to_vec(), reply)).await
    }

    async fn driven_stops(&self) -> Result<Vec<DrivenStops>> {
        self.read(read::driven_stops(&self.readers, self.writer.clock.now()).await)
    }

    async fn close_stop(&self, close: &CloseStop) -> Result<CloseStopOutcome> {
        self.writer.shared(|reply| Shared::CloseStop(close.clone(), reply)).await
    }

    fn signals(&self) -> Signals {
        self.writer.signals.subscribe()
    }

    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64> {
        sql::prune(limit, |left| self.writer.own(move |reply| Own::Prune(keep, left, reply))).await
    }
}
