use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt::AttemptControl;
use super::job::RunningJob;
use super::limits::Limits;
use super::options::RunnerOptions;
use crate::cancel::CancelReason;
use crate::clock::Clock;
use crate::context::Scope;
use crate::error::Result;
use crate::executor::{Executor, Lease};
use crate::host::ProcessIdentity;
use crate::id::{AttemptId, IncarnationId, JobId};
use crate::jobs::Jobs;
use crate::store::JobStore;

/// What all tasks of a runner share.
pub(super) struct Node {
    pub(super) jobs: Jobs,
    pub(super) options: RunnerOptions,
    pub(super) executors: BTreeMap<String, Arc<dyn Executor>>,
    pub(super) limits: Limits,
    /// The host that this is.
    pub(super) host: String,
    /// This life of the node; `None` while a lost one settles.
    pub(super) incarnation: watch::Sender<Option<IncarnationId>>,
    pub(super) lease: Arc<Lease>,
    pub(super) running: DashMap<JobId, RunningJob>,
    pub(super) attempts: DashMap<AttemptId, Arc<AttemptControl>>,
    /// Job and attempt tasks.
    pub(super) work: TaskTracker,
    pub(super) wake: Wakes,
    /// Jobs about which something changed that may end their context.
    named: Mutex<BTreeSet<JobId>>,
    /// No new work is begun.
    pub(super) draining: CancellationToken,
    /// Everything ends.
    pub(super) closed: CancellationToken,
}

/// How many times as long a poll may wait while hints arrive.
const WHILE_HEARD: u32 = 5;

/// What wakes the runner's loops before their next poll.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    pub(super) claim: Notify,
    pub(super) watch: Notify,
    pub(super) stops: Notify,
}

impl Node {
    pub(super) fn new(
        jobs: Jobs,
        options: RunnerOptions,
        executors: BTreeMap<String, Arc<dyn Executor>>,
    ) -> Self {
        Self {
            jobs,
            limits: Limits::new(options.max_executions, &options.max_per_executor),
            options,
            executors,
            host: ProcessIdentity::current().host(),
            incarnation: watch::Sender::new(None),
            lease: Arc::default(),
            running: DashMap::new(),
            attempts: DashMap::new(),
            work: TaskTracker::new(),
            wake: Wakes::default(),
            named: Mutex::default(),
            draining: CancellationToken::new(),
            closed: CancellationToken::new(),
        }
    }

    pub(super) fn store(&self) -> &Arc<dyn JobStore> {
        self.jobs.store()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &**self.jobs.clock()
    }

    pub(super) fn executor_names(&self) -> Vec<String> {
        self.executors.keys().cloned().collect()
    }

    pub(super) fn running_ids(&self) -> Vec<JobId> {
        let mut ids: Vec<JobId> = self.running.iter().map(|running| running.key().clone()).collect();
        ids.sort();
        ids
    }

    /// Lets the store be asked about a job that runs here and whose context has not ended.
    pub(super) fn look_at(&self, id: &JobId) {
        if self.running.get(id).is_some_and(|job| !job.scope.token().is_cancelled()) {
            self.named.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
            self.wake.watch.notify_one();
        }
    }

    /// The jobs that the store is to be asked about.
    pub(super) fn named(&self) -> Vec<JobId> {
        std::mem::take(&mut *self.named.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }

    /// A time of the store's clock on the node's own, given what the store's showed just now.
    pub(super) fn local(&self, at: OffsetDateTime, read_at: OffsetDateTime) -> OffsetDateTime {
        self.clock().now() + (at - read_at)
    }

    /// Ends all contexts without a word to the store.
    pub(super) fn give_up_all(&self) {
        for scope in self.running_scopes() {
            scope.cancel(CancelReason::LeaseLost);
        }
    }

    /// How often the store is looked at just now: while hints arrive, which tell the same sooner, not
    /// as often.
    pub(super) fn poll(&self) -> Duration {
        let poll = self.options.poll;
        if self.store().hears_all_nodes() { poll * WHILE_HEARD } else { poll }
    }

    /// The scopes of the jobs that run here, by the jobs' names: whom an end reaches first must not
    /// hang on the order of a hash.
    pub(super) fn running_scopes(&self) -> Vec<Arc<Scope>> {
        let scope = |id: JobId| self.running.get(&id).map(|running| Arc::clone(&running.scope));
        self.running_ids().into_iter().filter_map(scope).collect()
    }

    /// The attempts that run or settle here and that `fits`, in the order of their names.
    pub(super) fn attempts_where(&self, fits: impl Fn(&AttemptControl) -> bool) -> Vec<Arc<AttemptControl>> {
        let fitting = self.attempts.iter().filter(|attempt| fits(attempt));
        let by_name: BTreeMap<_, _> = fitting.map(|attempt| (*attempt.key(), Arc::clone(&attempt))).collect();
        by_name.into_values().collect()
    }

    /// Waits for a wake or the next poll; `false` when the runner ends.
    ///
    /// # Cancellation safety
    /// Dropping the future loses no wake.
    pub(super) async fn pause(&self, wake: &Notify, limit: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => false,
            () = wake.notified() => true,
            () = self.clock().sleep(limit) => true,
        }
    }

    /// Repeats a store call while it may succeed later; `None` when the runner ends first or the
    /// store says that it never will.
    ///
    /// # Cancellation safety
    /// That of the call.
    pub(super) async fn persist<T, F>(&self, what: &'static str, call: impl Fn() -> F + Send) -> Option<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let mut pause = Duration::from_millis(20);
        loop {
            match call().await {
                Ok(value) => return Some(value),
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, "{what}: the store does not answer, trying again");
                }
                Err(error) => {
                    tracing::error!(%error, "{what}: the store refuses");
                    return None;
                }
            }
            let retry = self.closed.run_until_cancelled(self.clock().sleep(pause)).await;
            retry?;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("incarnation", &*self.incarnation.borrow())
            .field("running", &self.running.len())
            .field("attempts", &self.attempts.len())
            .finish_non_exhaustive()
    }
}
