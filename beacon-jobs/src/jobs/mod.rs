//! The façade: submit, get, list, cancel, watch, and wait for stops.

mod settle;
mod watch;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc;

pub use settle::Settled;
pub use watch::JobWatch;

use crate::cancel::{CancelOutcome, CancelReason, CancelRequest};
use crate::clock::{Clock, SystemClock};
use crate::context::{Held, JobContextManager};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::id::{IdSource, JobId, RandomIds};
use crate::job::{AuditEntry, JobDetail, JobSpec, JobStatus};
use crate::metrics;
use crate::mutation::{Mutation, is_broken};
use crate::stop::StopItem;
use crate::store::{
    CloseStop, CloseStopOutcome, ExecutionPage, JobFilter, JobList, JobStore, Submission, Submitted,
};

/// The door to jobs, for the code that embeds the library. Cloning is cheap; all clones are the
/// same door.
///
/// It needs a store and a [`JobContextManager`], no runner: with one in the same process a cancel
/// also holds back its sends while it commits, ends the job's context, and hands the opened stops
/// to the runner without another look at the store.
#[derive(Clone)]
pub struct Jobs {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn JobStore>,
    contexts: JobContextManager,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    poll: Duration,
    local: Mutex<Vec<LocalRunner>>,
    readers: watch::Readers,
}

/// A runner in this process.
struct LocalRunner {
    stops: mpsc::UnboundedSender<Vec<StopItem>>,
    executors: Vec<Arc<dyn Executor>>,
}

/// A submission that was taken in, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The job's name.
    pub id: JobId,
    /// Its status as of now.
    pub status: JobStatus,
    /// Whether it was taken in by this very call.
    pub is_new: bool,
}

/// What became of a cancel, here and in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct CancelAnswer {
    /// What the store committed or read.
    pub outcome: CancelOutcome,
    /// Whether a live context in this process was signalled.
    pub context_cancelled: bool,
}

impl Jobs {
    /// Opens the door to this store, with contexts of its own.
    pub fn new(store: impl JobStore) -> Self {
        Self::builder(store).build()
    }

    /// Opens the door with other parts than the usual.
    pub fn builder(store: impl JobStore) -> JobsBuilder {
        JobsBuilder {
            store: Arc::new(store),
            contexts: None,
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            poll: Duration::from_secs(1),
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn JobStore> {
        &self.inner.store
    }

    /// The contexts of the jobs that run in this process.
    #[must_use]
    pub fn contexts(&self) -> &JobContextManager {
        &self.inner.contexts
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    pub(crate) fn ids(&self) -> &Arc<dyn IdSource> {
        &self.inner.ids
    }

    /// Takes a job in.
    ///
    /// The same id and owner with an equal spec is taken as the same submission.
    ///
    /// # Errors
    /// `InvalidInput` names the field; `Conflict` when the id is taken by something else.
    ///
    /// # Cancellation safety
    /// When dropped, the job may or may not be taken in. With an id of your own, submit it again.
    pub async fn submit(&self, owner: &str, spec: JobSpec) -> Result<Accepted> {
        self.submit_once(owner, spec, None).await
    }

    /// Takes a job in, once for each `key` of this owner: 1 to 255 bytes, remembered as long as
    /// the job.
    ///
    /// # Errors
    /// As [`submit`](Self::submit); `Conflict` also when the key was used with another spec,
    /// or for a job of another name than the spec's.
    ///
    /// # Cancellation safety
    /// When dropped, the job may or may not be taken in. Submit it again with the same key.
    pub async fn submit_once(&self, owner: &str, spec: JobSpec, key: Option<&str>) -> Result<Accepted> {
        let submission = self.prepare(owner, spec, key)?;
        match self.inner.store.submit(&submission).await? {
            Submitted::Created(id) => Ok(Accepted { id, status: JobStatus::Queued, is_new: true }),
            Submitted::Existing(id, status) => Ok(Accepted { id, status, is_new: false }),
            Submitted::Conflict(id) => Err(Error::new(
                ErrorKind::Conflict,
                format!("job {id} exists with another owner, another spec or, under this key, another name"),
            )),
        }
    }

    /// Checks a job and gives it a name, for a store's `submit_in`.
    ///
    /// # Errors
    /// As [`submit_once`](Self::submit_once), but never `Conflict`.
    pub fn prepare(&self, owner: &str, spec: JobSpec, key: Option<&str>) -> Result<Submission> {
        if owner.is_empty() || owner.len() > 255 {
            return Err(Error::invalid("owner", "must be 1 to 255 bytes"));
        }
        if key.is_some_and(|key| key.is_empty() || key.len() > 255) {
            return Err(Error::invalid("Idempotency-Key", "must be 1 to 255 bytes"));
        }
        spec.check()?;
        self.check_inputs(&spec)?;
        let digest = spec.digest()?;
        let id = spec.id.clone().unwrap_or_else(|| JobId::mint(&*self.inner.ids));
        Ok(Submission { id, owner: owner.to_owned(), idempotency_key: key.map(str::to_owned), spec, digest })
    }

    /// Lets the executors of this process look at their inputs.
    fn check_inputs(&self, spec: &JobSpec) -> Result<()> {
        let executors: Vec<Arc<dyn Executor>> =
            self.local().iter().flat_map(|runner| runner.executors.iter().map(Arc::clone)).collect();
        for (index, execution) in spec.executions.iter().enumerate() {
            let Some(executor) = executors.iter().find(|executor| executor.name() == execution.executor)
            else {
                continue;
            };
            executor.check_input(&execution.input).map_err(|error| match error.field() {
                Some(field) => Error::invalid(format!("executions[{index}].{field}"), error.message()),
                None => error,
            })?;
        }
        Ok(())
    }

    /// Reads a job with a page of its executions.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn get(&self, id: &JobId, page: ExecutionPage) -> Result<Option<JobDetail>> {
        self.inner.store.get(id, page).await
    }

    /// Reads jobs, newest first.
    ///
    /// # Errors
    /// `InvalidInput` on `cursor`.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn list(&self, filter: &JobFilter) -> Result<JobList> {
        self.inner.store.list(filter).await
    }

    /// Reads who did what to a job, oldest first.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn audit(&self, id: &JobId) -> Result<Vec<AuditEntry>> {
        self.inner.store.audit(id).await
    }

    /// Cancels a job.
    ///
    /// `Ok` with [`CancelOutcome::Cancelled`] means committed: the job is never completed or failed
    /// after it, and no late output becomes its result. Where the job runs in this process, no call
    /// that begins compute is sent after this has returned. The stops go on from there:
    /// [`settled`](Self::settled) waits for them.
    ///
    /// A runner of this process that has the executor calls its `stop` at once, also of a job that
    /// another node runs. That node hears of it as well and may call `stop` too. Measured on Postgres
    /// with a quiet machine, the call from here is the sooner one, in two thirds of the time or less;
    /// on one machine beside heavy work either may be. So give cancels to nodes that have the
    /// executors, where there is a choice.
    ///
    /// # Errors
    /// `InvalidInput` on `reason` or `grace_seconds`. `Unavailable`: nothing was changed.
    /// `OutcomeUnknown`: ask again.
    ///
    /// # Cancellation safety
    /// When dropped, the cancel may or may not be committed; a committed one is acted upon at the
    /// next poll. Cancel again to know.
    pub async fn cancel(&self, id: &JobId, request: &CancelRequest) -> Result<CancelAnswer> {
        request.check()?;
        let begun_at = self.clock().uptime();
        let held = self.inner.contexts.hold(id, !is_broken(Mutation::CancelDoesNotHoldSends)).await;
        let outcome = self.inner.store.cancel(id, request).await;
        let outcome = outcome.inspect_err(|_| metrics::cancelled(Err(())))?;
        let answer = self.act_on(&held, outcome);
        metrics::cancel_took(self.clock().uptime() - begun_at);
        Ok(answer)
    }

    /// Cancels many jobs in one commit, and answers for each in the order asked.
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel), for all of them together.
    ///
    /// # Cancellation safety
    /// As [`cancel`](Self::cancel).
    pub async fn cancel_many(&self, ids: &[JobId], request: &CancelRequest) -> Result<Vec<CancelAnswer>> {
        request.check()?;
        let begun_at = self.clock().uptime();
        let held = join_all(ids.iter().map(|id| self.inner.contexts.hold(id, true))).await;
        let outcomes = self.inner.store.cancel_many(ids, request).await;
        let outcomes = outcomes.inspect_err(|_| ids.iter().for_each(|_| metrics::cancelled(Err(()))))?;
        let answers = held.iter().zip(outcomes).map(|(held, outcome)| self.act_on(held, outcome)).collect();
        metrics::cancel_took(self.clock().uptime() - begun_at);
        Ok(answers)
    }

    /// Tells this process's contexts and runners of a cancel, while its sends are held back.
    fn act_on(&self, held: &Held, outcome: CancelOutcome) -> CancelAnswer {
        metrics::cancelled(Ok(&outcome));
        let context_cancelled = match &outcome {
            CancelOutcome::Cancelled { record, opened, .. } => {
                let live = held.cancel(CancelReason::of(record));
                self.drive(opened);
                live
            }
            CancelOutcome::AlreadyCancelled { record, escalation, .. } => {
                // The first cancel may have been taken by another process, or its answer lost.
                held.cancel(CancelReason::of(record));
                if let Some(escalation) = escalation {
                    self.drive(&escalation.hastened);
                }
                false
            }
            _ => false,
        };
        CancelAnswer { outcome, context_cancelled }
    }

    /// Closes a stop that cannot be confirmed, by an administrator, on record.
    ///
    /// # Cancellation safety
    /// When dropped, the stop may or may not be closed.
    pub async fn close_stop(&self, close: &CloseStop) -> Result<CloseStopOutcome> {
        self.inner.store.close_stop(close).await
    }

    /// Sets the gauges of [`metrics`](crate::metrics), as of now.
    ///
    /// # Errors
    /// Those of the store; the gauges that come from it are then not a number.
    ///
    /// # Cancellation safety
    /// May be dropped at any await; the gauges then keep what they had.
    pub async fn measure(&self) -> Result<()> {
        metrics::contexts(self.inner.contexts.count());
        let stops = self.inner.store.driven_stops().await;
        metrics::driven(stops.as_deref().ok());
        stops.map(drop)
    }

    /// Hands stops to the runners of this process.
    fn drive(&self, items: &[StopItem]) {
        if !items.is_empty() {
            self.local().retain(|runner| runner.stops.send(items.to_vec()).is_ok());
        }
    }

    /// Enters a runner of this process; it leaves when it drops the receiver.
    pub(crate) fn attach(&self, executors: Vec<Arc<dyn Executor>>) -> mpsc::UnboundedReceiver<Vec<StopItem>> {
        let (stops, receiver) = mpsc::unbounded_channel();
        let mut local = self.local();
        local.retain(|runner| !runner.stops.is_closed());
        local.push(LocalRunner { stops, executors });
        receiver
    }

    fn local(&self) -> std::sync::MutexGuard<'_, Vec<LocalRunner>> {
        self.inner.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs")
            .field("store", &self.inner.store)
            .field("contexts", &self.inner.contexts)
            .finish_non_exhaustive()
    }
}

/// Puts [`Jobs`] together.
#[derive(Debug)]
pub struct JobsBuilder {
    store: Arc<dyn JobStore>,
    contexts: Option<JobContextManager>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    poll: Duration,
}

impl JobsBuilder {
    /// Uses contexts that another runner registers.
    #[must_use]
    pub fn contexts(mut self, contexts: JobContextManager) -> Self {
        self.contexts = Some(contexts);
        self
    }

    /// Uses another clock than the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Uses another source of ids than random ones.
    #[must_use]
    pub fn ids(mut self, ids: Arc<dyn IdSource>) -> Self {
        self.ids = ids;
        self
    }

    /// How often waiting calls look at the store when no hint comes; 1 s by default.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// The door.
    #[must_use]
    pub fn build(self) -> Jobs {
        let contexts =
            self.contexts.unwrap_or_else(|| JobContextManager::with_clock(Arc::clone(&self.clock)));
        Jobs {
            inner: Arc::new(Inner {
                store: self.store,
                contexts,
                clock: self.clock,
                ids: self.ids,
                poll: self.poll,
                local: Mutex::default(),
                readers: watch::Readers::default(),
            }),
        }
    }
}
