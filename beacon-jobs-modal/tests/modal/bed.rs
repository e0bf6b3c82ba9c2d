use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::conformance::{HookedStore, StoreAnswer, StoreCall, StoreHooks};
use beacon_jobs::executor::Executor;
use beacon_jobs::job::{
    ExecutionRecord, ExecutionSpec, Failure, JobDetail, JobSpec, OnInterrupt, StopRecord,
};
use beacon_jobs::runner::{JobRunner, RunnerOptions};
use beacon_jobs::stop::StopState;
use beacon_jobs::store::{ExecutionPage, MemoryStore};
use beacon_jobs::{Error, JobId, Jobs};
use beacon_jobs_modal::fake::{ControlPlane, Work};
use beacon_jobs_modal::{Builder, Config, ModalExecutor};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Longer than anything here takes; only a test that hangs sees it.
pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const APP: &str = "app";

/// Remembers the handle that was saved last.
#[derive(Default)]
pub(crate) struct Handles(watch::Sender<Value>);

impl StoreHooks for Handles {
    async fn after(&self, call: &StoreCall<'_>, _: Result<StoreAnswer<'_>, &Error>) -> Result<(), Error> {
        if let StoreCall::SaveHandles([.., save]) = call {
            self.0.send_replace(save.handle.as_value().clone());
        }
        Ok(())
    }
}

/// A control plane with a function of each kind, and jobs on a memory store.
pub(crate) struct Bed {
    pub(crate) plane: ControlPlane,
    pub(crate) jobs: Jobs,
    handles: Arc<Handles>,
}

pub(crate) fn input(function: &str) -> Value {
    json!({ "app": APP, "function": function })
}

impl Bed {
    pub(crate) async fn new() -> Self {
        let plane = ControlPlane::start().await.unwrap();
        plane.deploy(APP, "echoes", Work::Echoes);
        plane.deploy(APP, "raises", Work::Raises("no such model".to_owned()));
        plane.deploy(APP, "goes_on", Work::GoesOn);
        plane.deploy(APP, "saves", Work::Saves(json!({ "saved": true })));
        plane.deploy(APP, "swallows", Work::Swallows);
        plane.deploy(APP, "leaves_a_thread", Work::LeavesAThread);
        let handles = Arc::new(Handles::default());
        let jobs = Jobs::new(HookedStore::new(MemoryStore::new(), Arc::clone(&handles)));
        Self { plane, jobs, handles }
    }

    /// An executor whose limits are short.
    pub(crate) fn executor(&self) -> Builder {
        quick(&self.plane.config())
    }

    pub(crate) async fn runner(&self) -> JobRunner {
        self.runner_with(self.executor()).await
    }

    pub(crate) async fn runner_with(&self, executor: Builder) -> JobRunner {
        self.runner_of(Arc::new(executor.build().unwrap())).await
    }

    pub(crate) async fn runner_of(&self, executor: Arc<dyn Executor>) -> JobRunner {
        let mut options = RunnerOptions::default();
        options.poll = Duration::from_millis(100);
        options.max_stop_pause = Duration::from_millis(300);
        JobRunner::builder(&self.jobs).options(options).shared_executor(executor).start().await.unwrap()
    }

    /// Submits a job of one execution, of one attempt.
    pub(crate) async fn submit(&self, input: Value) -> JobId {
        self.submit_with(input, |spec| spec).await
    }

    pub(crate) async fn submit_with(&self, input: Value, change: impl FnOnce(JobSpec) -> JobSpec) -> JobId {
        let spec = JobSpec::new([ExecutionSpec::new("modal", input)]).with_on_interrupt(OnInterrupt::Fail);
        self.jobs.submit("alice", change(spec)).await.unwrap().id
    }

    pub(crate) async fn get(&self, id: &JobId) -> JobDetail {
        self.jobs.get(id, ExecutionPage::ALL).await.unwrap().unwrap()
    }

    /// Runs a job to its outcome.
    pub(crate) async fn run(&self, input: Value) -> ExecutionRecord {
        let id = self.submit(input).await;
        self.outcome(&id).await
    }

    pub(crate) async fn outcome(&self, id: &JobId) -> ExecutionRecord {
        self.jobs.finished(id, LONG).await.unwrap();
        let job = self.get(id).await;
        assert!(job.job.status.is_terminal(), "{job:?}");
        job.executions.into_iter().next().unwrap()
    }

    pub(crate) async fn failure(&self, input: Value) -> Failure {
        let record = self.run(input).await;
        record.error.unwrap_or_else(|| panic!("it has not failed: {:?}", record.output))
    }

    pub(crate) async fn cancel(&self, id: &JobId, grace: Duration) {
        let request = CancelRequest::new(Actor::Owner("alice".to_owned()));
        let request = if grace.is_zero() { request.immediate() } else { request.with_grace(grace) };
        self.jobs.cancel(id, &request).await.unwrap();
    }

    /// Waits until so many inputs compute.
    pub(crate) async fn alive(&self, count: usize) {
        self.plane.until(|plane| plane.alive() == count).await;
    }

    /// Waits until a stop has come to this state, and looks at each step that nothing is confirmed
    /// while it computes.
    pub(crate) async fn stop(&self, id: &JobId, state: StopState) -> StopRecord {
        for _ in 0..60_000 {
            // In this order: what has ended does not begin again.
            let alive = self.plane.alive();
            let stop = self.get(id).await.executions[0].stop.clone();
            if let Some(stop) = stop {
                assert!(
                    stop.state != StopState::Confirmed || self.plane.alive() == 0,
                    "confirmed while {alive} compute: {stop:?}"
                );
                if stop.state == state {
                    return stop;
                }
            }
            SystemClock.sleep(Duration::from_millis(1)).await;
        }
        panic!("the stop does not become {state}: {:?}", self.get(id).await.executions[0].stop);
    }

    /// Waits until a handle is saved that names so many containers.
    pub(crate) async fn containers_known(&self, count: usize) {
        let mut handles = self.handles.0.subscribe();
        let names = |handle: &Value| handle["tasks"].as_array().is_some_and(|tasks| tasks.len() == count);
        handles.wait_for(names).await.unwrap();
    }
}

pub(crate) fn quick(config: &Config) -> Builder {
    ModalExecutor::builder(config)
        .with_start_deadline(Duration::from_secs(1))
        .with_container_stop_after(Some(Duration::from_millis(300)))
}
