//! A store with something around each of its calls.

mod calls;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::calls::{StoreAnswer, StoreCall};
use crate::cancel::{CancelOutcome, CancelRequest};
use crate::error::{Error, Result};
use crate::id::{IncarnationId, JobId};
use crate::job::{AuditEntry, JobDetail, JobOutline};
use crate::stop::{StopItem, StopState};
use crate::store::*;

/// What runs around the calls of a [`HookedStore`]. Each does nothing by default.
///
/// A hook may take its time: the caller waits for it. It may use the store it hooks, also through
/// the [`HookedStore`]; then it runs around that call as well.
pub trait StoreHooks: Send + Sync + 'static {
    /// Runs before a call.
    ///
    /// # Errors
    /// The error is the answer, and the store is not asked.
    ///
    /// # Cancellation safety
    /// Dropped with the call.
    fn before(&self, call: &StoreCall<'_>) -> impl Future<Output = Result<()>> + Send {
        let _ = call;
        async { Ok(()) }
    }

    /// Runs after a call, whatever came of it, and before its caller knows.
    ///
    /// # Errors
    /// The error is the answer: what the store did stays done, and its reply is lost.
    ///
    /// # Cancellation safety
    /// Dropped with the call.
    fn after(
        &self,
        call: &StoreCall<'_>,
        answer: Result<StoreAnswer<'_>, &Error>,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (call, answer);
        async { Ok(()) }
    }

    /// Gives a new listener its hints: those of the store, or others, or none.
    fn signals(&self, signals: Signals) -> Signals {
        signals
    }
}

#[deny(clippy::missing_trait_methods)]
impl<H: StoreHooks> StoreHooks for Arc<H> {
    fn before(&self, call: &StoreCall<'_>) -> impl Future<Output = Result<()>> + Send {
        (**self).before(call)
    }
    fn after(
        &self,
        call: &StoreCall<'_>,
        answer: Result<StoreAnswer<'_>, &Error>,
    ) -> impl Future<Output = Result<()>> + Send {
        (**self).after(call, answer)
    }
    fn signals(&self, signals: Signals) -> Signals {
        (**self).signals(signals)
    }
}

/// A store that runs hooks around each call of another one: to hold a call, to count it, to lose
/// its reply.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use std::time::Duration;
///
/// use beacon_jobs::conformance::{HookedStore, StoreAnswer, StoreCall, StoreHooks};
/// use beacon_jobs::executor::function::FunctionExecutor;
/// use beacon_jobs::job::{ExecutionSpec, JobSpec, JobStatus};
/// use beacon_jobs::runner::JobRunner;
/// use beacon_jobs::store::{ExecutionPage, MemoryStore};
/// use beacon_jobs::{Error, ErrorKind, Jobs, Result};
/// use serde_json::json;
///
/// /// Loses the first reply to `finish`: the end of an attempt is recorded, and its node is not told.
/// #[derive(Default)]
/// struct LoseOnce {
///     lost: AtomicBool,
/// }
///
/// impl StoreHooks for LoseOnce {
///     async fn after(
///         &self,
///         call: &StoreCall<'_>,
///         answer: Result<StoreAnswer<'_>, &Error>,
///     ) -> Result<()> {
///         let finished = matches!((call, answer), (StoreCall::Finish(_), Ok(_)));
///         if finished && !self.lost.swap(true, Ordering::SeqCst) {
///             return Err(Error::new(ErrorKind::OutcomeUnknown, "the reply was lost"));
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
/// let store = HookedStore::new(MemoryStore::new(), Arc::new(LoseOnce::default()));
/// let hooks = Arc::clone(store.hooks());
/// let jobs = Jobs::new(store);
/// let work = FunctionExecutor::new("work", |_| async { Ok(json!("done")) });
/// let runner = JobRunner::builder(&jobs).executor(work).start().await?;
/// let id = jobs.submit("alice", JobSpec::new([ExecutionSpec::new("work", json!(null))])).await?.id;
/// jobs.settled(&id, Duration::from_secs(60)).await?;
///
/// // The runner has asked again, and the job is completed all the same.
/// assert!(hooks.lost.load(Ordering::SeqCst));
/// let job = jobs.get(&id, ExecutionPage::ALL).await?.ok_or("no such job")?;
/// assert_eq!(job.job.status, JobStatus::Completed);
/// runner.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HookedStore<S, H> {
    store: S,
    hooks: H,
}

impl<S, H> HookedStore<S, H> {
    /// Puts these hooks around the calls of this store.
    #[must_use]
    pub const fn new(store: S, hooks: H) -> Self {
        Self { store, hooks }
    }

    /// The store itself, whose calls no hook sees.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// The hooks.
    #[must_use]
    pub const fn hooks(&self) -> &H {
        &self.hooks
    }
}

impl<S: fmt::Debug, H> fmt::Debug for HookedStore<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookedStore").field("store", &self.store).finish_non_exhaustive()
    }
}

impl<S: fmt::Display, H> fmt::Display for HookedStore<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// Makes a call with the hooks around it. No function: a future that is given `StoreAnswer::Get` as one
/// that works for any lifetime cannot be sent to another thread, as far as the compiler sees.
macro_rules! around {
    ($self:ident.$method:ident($($given:ident),*) as $name:ident) => {
        around!($self.$method($($given),*) as $name, StoreAnswer::$name)
    };
    ($self:ident.$method:ident($($($given:ident),+)?) as $name:ident, $answer:expr) => {{
        let call = StoreCall::$name$(($($given),+))?;
        $self.hooks.before(&call).await?;
        let output = $self.store.$method($($($given),+)?).await;
        $self.hooks.after(&call, output.as_ref().map($answer)).await?;
        output
    }};
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: JobStore, H: StoreHooks> JobStore for HookedStore<S, H> {
    fn allows_many_nodes(&self) -> bool {
        self.store.allows_many_nodes()
    }
    fn hears_all_nodes(&self) -> bool {
        self.store.hears_all_nodes()
    }
    async fn check(&self) -> Result<()> {
        around!(self.check() as Check, |()| StoreAnswer::Check)
    }
    async fn submit(&self, submission: &Submission) -> Result<Submitted> {
        around!(self.submit(submission) as Submit)
    }
    async fn get(&self, id: &JobId, page: ExecutionPage) -> Result<Option<JobDetail>> {
        around!(self.get(id, page) as Get)
    }
    async fn outline(&self, id: &JobId) -> Result<Option<JobOutline>> {
        around!(self.outline(id) as Outline)
    }
    async fn list(&self, filter: &JobFilter) -> Result<JobList> {
        around!(self.list(filter) as List)
    }
    async fn audit(&self, id: &JobId) -> Result<Vec<AuditEntry>> {
        around!(self.audit(id) as Audit)
    }
    async fn cancel(&self, id: &JobId, request: &CancelRequest) -> Result<CancelOutcome> {
        around!(self.cancel(id, request) as Cancel)
    }
    async fn cancel_many(&self, ids: &[JobId], request: &CancelRequest) -> Result<Vec<CancelOutcome>> {
        around!(self.cancel_many(ids, request) as CancelMany)
    }
    async fn join(&self, node: &NodeIdentity, lease: Duration) -> Result<Joined> {
        around!(self.join(node, lease) as Join)
    }
    async fn heartbeat(&self, incarnation: IncarnationId, lease: Duration) -> Result<Heartbeat> {
        around!(self.heartbeat(incarnation, lease) as Heartbeat)
    }
    async fn end_node(&self, incarnation: IncarnationId, how: NodeEnd) -> Result<()> {
        around!(self.end_node(incarnation, how) as EndNode, |()| StoreAnswer::EndNode)
    }
    async fn nodes(&self) -> Result<Vec<NodeRecord>> {
        around!(self.nodes() as Nodes)
    }
    async fn claim(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        around!(self.claim(claim) as Claim)
    }
    async fn take_over(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        around!(self.take_over(claim) as TakeOver)
    }
    async fn held(&self, incarnation: IncarnationId, running: &[JobId]) -> Result<Vec<HeldJob>> {
        around!(self.held(incarnation, running) as Held)
    }
    async fn release(&self, release: &Release) -> Result<bool> {
        around!(self.release(release) as Release)
    }
    async fn start(&self, starts: &[StartExecution]) -> Result<Vec<StartOutcome>> {
        around!(self.start(starts) as Start)
    }
    async fn report_progress(&self, reports: &[ReportProgress]) -> Result<Vec<bool>> {
        around!(self.report_progress(reports) as ReportProgress)
    }

    async fn save_handles(&self, saves: &[SaveHandle]) -> Result<Vec<SaveOutcome>> {
        around!(self.save_handles(saves) as SaveHandles)
    }
    async fn seal(&self, seals: &[Seal]) -> Result<()> {
        around!(self.seal(seals) as Seal, |()| StoreAnswer::Seal)
    }
    async fn finish(&self, finishes: &[FinishExecution]) -> Result<Vec<FinishOutcome>> {
        around!(self.finish(finishes) as Finish)
    }
    async fn finish_job(&self, finish: &FinishJob) -> Result<FinishJobOutcome> {
        around!(self.finish_job(finish) as FinishJob)
    }
    async fn take_stops(&self, take: &TakeStops) -> Result<Vec<StopItem>> {
        around!(self.take_stops(take) as TakeStops)
    }
    async fn record_stops(&self, updates: &[StopUpdate]) -> Result<Vec<Option<StopState>>> {
        around!(self.record_stops(updates) as RecordStops)
    }
    async fn driven_stops(&self) -> Result<Vec<DrivenStops>> {
        around!(self.driven_stops() as DrivenStops)
    }
    async fn close_stop(&self, close: &CloseStop) -> Result<CloseStopOutcome> {
        around!(self.close_stop(close) as CloseStop)
    }
    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64> {
        around!(self.prune(keep, limit) as Prune)
    }
    fn signals(&self) -> Signals {
        self.hooks.signals(self.store.signals())
    }
}
