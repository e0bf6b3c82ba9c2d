//! Jobs on a daemon, with a judge at the store who looks whether anything lives that is said to have ended.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::conformance::{HookedStore, StoreCall, StoreHooks};
use beacon_jobs::job::{ExecutionRecord, ExecutionSpec, Failure, JobSpec, OnInterrupt, StopRecord};
use beacon_jobs::runner::{JobRunner, RunnerOptions};
use beacon_jobs::stop::StopState;
use beacon_jobs::store::{ExecutionPage, MemoryStore, StopAnswer};
use beacon_jobs::{Error, JobId, Jobs};
use beacon_jobs_golem::Builder;
use serde_json::{Value, json};

use super::{Books, World};

/// Longer than anything here takes; only a test that hangs sees it.
const LONG: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct Bed<W> {
    pub(super) world: Arc<W>,
    pub(super) jobs: Jobs,
    judge: Arc<Judge<W>>,
    before: Books,
    begun_before: usize,
}

/// Looks before an end is on record.
struct Judge<W> {
    world: Arc<W>,
    lies: Mutex<Vec<String>>,
}

impl<W: World> StoreHooks for Judge<W> {
    async fn before(&self, call: &StoreCall<'_>) -> Result<(), Error> {
        let StoreCall::RecordStops(updates) = call else { return Ok(()) };
        for update in *updates {
            // Without a seal it confirms nothing.
            let is_end = matches!(update.answer, StopAnswer::Ended { .. }) && update.seen_seal.is_some();
            let alive = self.world.alive();
            if is_end && alive > 0 {
                self.lies.lock().unwrap().push(format!("{alive} live, and this is said: {update:?}"));
            }
        }
        Ok(())
    }
}

pub(super) fn input(program: &str) -> Value {
    json!({
        "runtime": { "name": "vm" },
        "budget": "1",
        "commands": [{ "run": { "entry_point": program, "args": ["one", "two"] } }],
    })
}

impl<W: World> Bed<W> {
    pub(super) async fn new(world: &Arc<W>) -> Self {
        let judge = Arc::new(Judge { world: Arc::clone(world), lies: Mutex::default() });
        let jobs = Jobs::new(HookedStore::new(MemoryStore::new(), Arc::clone(&judge)));
        let (before, begun_before) = (world.books().await, world.begun());
        Self { world: Arc::clone(world), jobs, judge, before, begun_before }
    }

    pub(super) async fn runner(&self) -> JobRunner {
        self.runner_with(self.world.executor()).await
    }

    pub(super) async fn runner_with(&self, executor: Builder) -> JobRunner {
        let mut options = RunnerOptions::default();
        options.poll = Duration::from_millis(100);
        options.max_stop_pause = Duration::from_millis(300);
        let executor = executor.build().unwrap();
        JobRunner::builder(&self.jobs).options(options).executor(executor).start().await.unwrap()
    }

    /// Submits a job of one execution, of one attempt.
    pub(super) async fn submit(&self, input: Value) -> JobId {
        let spec = JobSpec::new([ExecutionSpec::new("golem", input)]).with_on_interrupt(OnInterrupt::Fail);
        self.jobs.submit("alice", spec).await.unwrap().id
    }

    pub(super) async fn record(&self, id: &JobId) -> ExecutionRecord {
        let job = self.jobs.get(id, ExecutionPage::ALL).await.unwrap().unwrap();
        job.executions.into_iter().next().unwrap()
    }

    pub(super) async fn outcome(&self, id: &JobId) -> ExecutionRecord {
        self.jobs.finished(id, LONG).await.unwrap();
        let record = self.record(id).await;
        assert!(record.status.is_terminal(), "{record:?}");
        record
    }

    /// Runs a job to its failure.
    pub(super) async fn failure(&self, input: Value) -> Failure {
        let id = self.submit(input).await;
        let record = self.outcome(&id).await;
        record.error.unwrap_or_else(|| panic!("it has not failed: {:?}", record.output))
    }

    pub(super) async fn cancel(&self, id: &JobId) {
        let request = CancelRequest::new(Actor::Owner("alice".to_owned())).immediate();
        self.jobs.cancel(id, &request).await.unwrap();
    }

    /// A job that computes.
    pub(super) async fn computing(&self) -> JobId {
        let id = self.submit(input("go_on")).await;
        until("it computes", async || self.world.computing() == 1).await;
        id
    }

    /// Waits until a stop has come to this state.
    pub(super) async fn stop(&self, id: &JobId, state: StopState) -> StopRecord {
        let there = async || self.record(id).await.stop.is_some_and(|stop| stop.state == state);
        until(&format!("the stop is {state}"), there).await;
        self.record(id).await.stop.unwrap()
    }

    /// What has come since the scenario began.
    pub(super) async fn books(&self) -> Books {
        let mut books = self.world.books().await;
        books.invoices_accepted -= self.before.invoices_accepted;
        books.notes_accepted -= self.before.notes_accepted;
        books
    }

    pub(super) fn begun(&self) -> usize {
        self.world.begun() - self.begun_before
    }

    /// Waits until nothing is left: no life, no agreement, no money, no demand. Nothing false was said meanwhile.
    pub(super) async fn clean(&self) {
        let mut left = (usize::MAX, Books::default());
        let is_clean = async || {
            left = (self.world.alive(), self.world.books().await);
            let (alive, Books { agreements, allocations, demands, .. }) = left;
            (alive, agreements, allocations, demands) == (0, 0, 0, 0)
        };
        assert!(comes_true(is_clean).await, "what is alive, and what is on record: {left:?}");
        assert_eq!(*self.judge.lies.lock().unwrap(), Vec::<String>::new());
    }
}

/// Looks until something is so.
pub(super) async fn until(what: &str, look: impl AsyncFnMut() -> bool) {
    assert!(comes_true(look).await, "it does not come to this: {what}");
}

pub(super) async fn comes_true(mut look: impl AsyncFnMut() -> bool) -> bool {
    let give_up = SystemClock.uptime() + LONG;
    while SystemClock.uptime() < give_up {
        if look().await {
            return true;
        }
        SystemClock.sleep(LOOK).await;
    }
    false
}
