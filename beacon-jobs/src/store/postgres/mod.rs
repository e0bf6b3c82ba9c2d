//! The store that many nodes share: a schema in a PostgreSQL database, version 14 or newer.
//!
//! - Each transition is one statement, one round trip and one commit. A cancel locks the job's row
//!   first and reads its outcome from it; whatever else decides about the job's executions waits for
//!   it, or comes before.
//! - Callers of the same sort share a statement, so a busy node pays for few. A cancel never waits
//!   for them: it has a connection of its own.
//! - Leases and all other times go by the database's clock.
//! - Hints ([`JobStore::signals`]) go between nodes by LISTEN/NOTIFY; a store that has them off, or
//!   stands behind a transaction-pooling proxy, finds the changes of others by polling.
//! - Its tables and functions live in a schema of their own, with their own table of migrations.

mod claim;
mod codec;
mod ends;
mod error;
mod group;
mod hints;
mod link;
mod migrate;
mod nodes;
mod options;
mod pending;
mod progress;
mod read;
mod sessions;
mod source;
mod statements;
mod stops;
mod submit;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgPool;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::codec::{check_nul, interval};
use self::ends::Wish;
use self::group::{Finishes, Groups, Records, Reports, Saves, Seals, Starts};
use self::hints::Hints;
use self::link::{Call, Nature};
use self::source::{Lane, Source, check_server};
use self::statements::Statement;
use self::submit::NewJob;
use super::sql::{self, Cells, Fault, NOT_MIGRATED};
use super::{
    Claim, ClaimedJob, CloseStop, CloseStopOutcome, DrivenStops, ExecutionPage, FinishExecution, FinishJob,
    FinishJobOutcome, FinishOutcome, Heartbeat, HeldJob, JobFilter, JobList, JobStore, Joined, NodeEnd,
    NodeIdentity, NodeRecord, Release, ReportProgress, SaveHandle, SaveOutcome, Seal, Signal, SignalSender,
    Signals, StartExecution, StartOutcome, StopUpdate, Submission, Submitted, TakeStops,
};
use crate::cancel::{Actor, CancelOutcome, CancelRequest};
use crate::clock::{SystemClock, within};
use crate::error::{ErrorKind, Result};
use crate::id::{IdSource, IncarnationId, JobId};
use crate::job::{AuditEntry, JobDetail, JobOutline};
use crate::stop::{StopItem, StopState};

pub use self::options::PostgresStoreOptions;
pub use self::pending::Pending;

/// How long a check may take: who asks whether the store is well must not hang with it.
const CHECK_LIMIT: Duration = Duration::from_secs(10);

/// A store in a PostgreSQL database. Cloning is cheap; all clones are the same store.
///
/// # Errors
/// `Misconfigured` from any call when the database has not been [migrated](Self::migrate), or when
/// the call is made outside of a tokio runtime.
#[derive(Clone)]
pub struct PostgresStore {
    core: Arc<Core>,
}

/// What all clones share.
#[derive(Debug)]
struct Core {
    source: Source,
    groups: Groups,
    signals: SignalSender,
    hints: Option<Hints>,
    ids: Arc<dyn IdSource>,
    closed: CancellationToken,
}

impl Core {
    /// `from` names this store in its hints; absent when it sends none.
    fn new(source: Source, from: Option<String>, ids: Arc<dyn IdSource>) -> Self {
        let hints = from.map(|from| Hints::new(&source.schema, from));
        let (signals, groups) = (SignalSender::new(), Groups::default());
        Self { source, groups, signals, hints, ids, closed: CancellationToken::new() }
    }

    /// Tells this process, and gathers what other nodes are told. Of a job once: a batch may have
    /// changed it often.
    fn signal(self: &Arc<Self>, mut signals: Vec<Signal>) {
        let mut jobs = HashSet::new();
        signals.retain(|signal| match signal {
            Signal::Job(job) => jobs.insert(job.clone()),
            _ => true,
        });
        if let Some(hints) = &self.hints {
            hints.tell(self, &signals);
        }
        for signal in signals {
            self.signals.send(signal);
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

impl PostgresStore {
    fn new(core: Core) -> Self {
        Self { core: Arc::new(core) }
    }

    /// Opens a store with the default [options](PostgresStoreOptions::open).
    ///
    /// # Errors
    /// As [`PostgresStoreOptions::open`].
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn open(url: &str) -> Result<Self> {
        PostgresStoreOptions::new().open(url).await
    }

    /// Opens a store in the database of the host program's pool, with the default
    /// [options](PostgresStoreOptions::from_pool).
    ///
    /// # Errors
    /// As [`PostgresStoreOptions::from_pool`].
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn from_pool(pool: PgPool) -> Result<Self> {
        PostgresStoreOptions::new().from_pool(pool).await
    }

    /// Makes the schema with its tables and functions, or brings them up to this version. Does nothing
    /// when they are. Needs the right to create a schema, or one that is there and may be written.
    ///
    /// # Errors
    /// `Misconfigured` when a newer version has migrated it, or this user may not.
    ///
    /// # Cancellation safety
    /// When dropped, all or nothing is done; calling again does the rest.
    pub async fn migrate(&self) -> Result<()> {
        let source = &self.core.source;
        let migrated = async {
            let mut connection = source.connect().await?;
            migrate::migrate(&mut connection, &source.schema).await
        };
        self.read(migrated.await)
    }

    /// Takes no more calls and closes the connections. A pool of the host program stays open. Without
    /// this call the connections close when the last clone is dropped.
    ///
    /// # Cancellation safety
    /// When dropped, the store takes no more calls, and its connections may be open.
    pub async fn close(&self) {
        self.core.groups.close();
        self.core.closed.cancel();
        self.core.source.close().await;
    }

    /// Sees that the server will do. Returns whether the tables are there.
    async fn greet(&self, lane: Lane) -> Result<bool> {
        let check = async {
            let call = Call::new(Statement::Check);
            let answer = self.core.source.run(lane, Nature::Read, &call).await?;
            let row = answer.row()?;
            check_server(row)?;
            row.flag(3)
        };
        self.read(check.await)
    }

    fn wish<'a>(&'a self, request: &'a CancelRequest) -> Result<Wish<'a>> {
        request.check()?;
        if let Actor::Owner(name) = &request.by {
            check_nul("by", name)?;
        }
        let hints = self.core.hints.as_ref();
        Ok(Wish {
            request,
            token: self.core.ids.uuid(),
            channel: hints.map(|hints| hints.channel.as_str()),
            from: hints.map_or("", |hints| hints.from.as_str()),
        })
    }

    fn read<T>(&self, result: Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| self.core.source.error(&fault))
    }

    /// Tells what a call brought, once it is committed.
    fn done<T>(&self, result: Result<(T, Vec<Signal>), Fault>) -> Result<T> {
        let (outcome, signals) = self.read(result)?;
        self.core.signal(signals);
        Ok(outcome)
    }
}

impl fmt::Display for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.core.source.place())
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("place", &self.core.source.place()).finish_non_exhaustive()
    }
}

#[async_trait]
impl JobStore for PostgresStore {
    /// True while this store listens. All that share the schema should have notifications on, or off.
    fn hears_all_nodes(&self) -> bool {
        self.core.hints.as_ref().is_some_and(Hints::hears)
    }

    async fn check(&self) -> Result<()> {
        let checked = within(&SystemClock, CHECK_LIMIT, self.greet(Lane::Urgent)).await;
        match checked {
            None => self.read(Err(Fault::new(ErrorKind::Unavailable, "it does not answer"))),
            Some(Ok(false)) => self.read(Err(Fault::new(ErrorKind::Misconfigured, NOT_MIGRATED))),
            Some(checked) => checked.map(drop),
        }
    }

    async fn submit(&self, submission: &Submission) -> Result<Submitted> {
        let job = NewJob::new(submission)?;
        self.done(job.submit(&self.core.source).await)
    }

    async fn get(&self, id: &JobId, page: ExecutionPage) -> Result<Option<JobDetail>> {
        self.read(read::get(&self.core.source, id, page).await)
    }

    async fn outline(&self, id: &JobId) -> Result<Option<JobOutline>> {
        self.read(read::outline(&self.core.source, id).await)
    }

    async fn list(&self, filter: &JobFilter) -> Result<JobList> {
        let before = sql::before(filter.cursor.as_deref())?;
        check_nul("owner", filter.owner.as_deref().unwrap_or_default())?;
        self.read(read::list(&self.core.source, filter, before).await)
    }

    async fn audit(&self, id: &JobId) -> Result<Vec<AuditEntry>> {
        self.read(read::audit(&self.core.source, id).await)
    }

    async fn cancel(&self, id: &JobId, request: &CancelRequest) -> Result<CancelOutcome> {
        let call = self.wish(request)?.one(id);
        let answer = self.core.source.run(Lane::Urgent, Nature::Repeatable, &call).await;
        self.done(answer.and_then(|answer| ends::cancelled(id, &answer)))
    }

    async fn cancel_many(&self, ids: &[JobId], request: &CancelRequest) -> Result<Vec<CancelOutcome>> {
        let call = self.wish(request)?.many(ids);
        let answer = self.core.source.run(Lane::Urgent, Nature::Repeatable, &call).await;
        self.done(answer.and_then(|answer| ends::many_cancelled(ids, &answer)))
    }

    async fn join(&self, node: &NodeIdentity, lease: Duration) -> Result<Joined> {
        self.read(nodes::join(&self.core.source, node, lease).await).map(|()| Joined::Joined)
    }

    async fn heartbeat(&self, incarnation: IncarnationId, lease: Duration) -> Result<Heartbeat> {
        self.read(nodes::heartbeat(&self.core.source, incarnation, lease).await)
    }

    async fn end_node(&self, incarnation: IncarnationId, how: NodeEnd) -> Result<()> {
        let ended = nodes::end_node(&self.core.source, incarnation, how).await;
        self.done(ended.map(|()| ((), vec![Signal::Queued])))
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>> {
        self.read(nodes::nodes(&self.core.source).await)
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        self.done(claim::take(&self.core.source, claim, false).await)
    }

    async fn take_over(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        self.done(claim::take(&self.core.source, claim, true).await)
    }

    async fn held(&self, incarnation: IncarnationId, running: &[JobId]) -> Result<Vec<HeldJob>> {
        self.read(read::held(&self.core.source, incarnation, running).await)
    }

    async fn release(&self, release: &Release) -> Result<bool> {
        self.done(claim::release(&self.core.source, release).await)
    }

    async fn start(&self, starts: &[StartExecution]) -> Result<Vec<StartOutcome>> {
        group::ask::<Starts>(&self.core, starts.to_vec()).await
    }

    async fn save_handles(&self, saves: &[SaveHandle]) -> Result<Vec<SaveOutcome>> {
        sql::check_saves(saves)?;
        group::ask::<Saves>(&self.core, saves.to_vec()).await
    }

    async fn report_progress(&self, reports: &[ReportProgress]) -> Result<Vec<bool>> {
        group::ask::<Reports>(&self.core, reports.to_vec()).await
    }

    async fn seal(&self, seals: &[Seal]) -> Result<()> {
        group::ask::<Seals>(&self.core, seals.to_vec()).await.map(drop)
    }

    async fn finish(&self, finishes: &[FinishExecution]) -> Result<Vec<FinishOutcome>> {
        sql::check_finishes(finishes)?;
        group::ask::<Finishes>(&self.core, finishes.to_vec()).await
    }

    async fn finish_job(&self, finish: &FinishJob) -> Result<FinishJobOutcome> {
        self.done(ends::finish_job(&self.core.source, finish).await)
    }

    async fn take_stops(&self, take: &TakeStops) -> Result<Vec<StopItem>> {
        self.read(stops::take(&self.core.source, take).await)
    }

    async fn record_stops(&self, updates: &[StopUpdate]) -> Result<Vec<Option<StopState>>> {
        sql::check_updates(updates)?;
        group::ask::<Records>(&self.core, updates.to_vec()).await
    }

    async fn driven_stops(&self) -> Result<Vec<DrivenStops>> {
        self.read(read::driven_stops(&self.core.source).await)
    }

    async fn close_stop(&self, close: &CloseStop) -> Result<CloseStopOutcome> {
        self.done(stops::close(&self.core.source, close).await)
    }

    fn signals(&self) -> Signals {
        let signals = self.core.signals.subscribe();
        if let (Some(hints), Ok(runtime)) = (&self.core.hints, Handle::try_current())
            && !self.core.source.is_pooled
            && hints.begins_to_listen()
        {
            runtime.spawn(hints::listen(Arc::downgrade(&self.core)));
        }
        signals
    }

    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64> {
        // A few at a time, so that no lock is held for long.
        const MOST_JOBS: u32 = 100;
        const MOST_EXECUTIONS: i64 = 2_000;
        sql::prune(limit, |left| async move {
            let call = Call::new(Statement::Prune)
                .bind(interval(keep))
                .bind(i64::from(left.min(MOST_JOBS)))
                .bind(MOST_EXECUTIONS);
            let answer = self.core.source.run(Lane::Common, Nature::Once, &call).await;
            self.read(answer.and_then(|answer| answer.row()?.count(0)))
        })
        .await
    }
}
