use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::job::{
    ExecutionRecord, ExecutionSpec, Failure, JobDetail, JobSpec, OnInterrupt, StopRecord,
};
use beacon_jobs::runner::{JobRunner, RunnerOptions};
use beacon_jobs::stop::StopState;
use beacon_jobs::store::{ExecutionPage, MemoryStore};
use beacon_jobs::{JobId, Jobs};
use beacon_jobs_golem::fake::{Work, Yagna};
use beacon_jobs_golem::{Builder, Config, GolemExecutor};
use serde_json::{Value, json};

/// Longer than anything here takes; only a test that hangs sees it.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A daemon with a program of each kind, and jobs on a memory store.
pub(crate) struct Bed {
    pub(crate) yagna: Yagna,
    pub(crate) jobs: Jobs,
}

/// A daemon with a program of each kind.
pub(crate) async fn yagna() -> Yagna {
    let yagna = Yagna::start().await.unwrap();
    yagna.install("echo", Work::Echoes);
    yagna.install("fail", Work::Fails("no such model".to_owned()));
    yagna.install("go_on", Work::GoesOn);
    yagna.install("tick", Work::Repeats("tick".to_owned()));
    yagna
}

pub(crate) fn input(program: &str) -> Value {
    json!({
        "runtime": { "name": "vm" },
        "budget": "1",
        "commands": [{ "run": { "entry_point": program, "args": ["one", "two"] } }],
    })
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self { yagna: yagna().await, jobs: Jobs::new(MemoryStore::new()) }
    }

    /// An executor whose limits are short.
    pub(crate) fn executor(&self) -> Builder {
        quick(&self.yagna.config())
    }

    pub(crate) async fn runner(&self) -> JobRunner {
        self.runner_with(self.executor()).await
    }

    pub(crate) async fn runner_with(&self, executor: Builder) -> JobRunner {
        let mut options = RunnerOptions::default();
        options.poll = Duration::from_millis(100);
        options.max_stop_pause = Duration::from_millis(300);
        let executor = Arc::new(executor.build().unwrap());
        JobRunner::builder(&self.jobs).options(options).shared_executor(executor).start().await.unwrap()
    }

    /// Submits a job of one execution, of one attempt.
    pub(crate) async fn submit(&self, input: Value) -> JobId {
        self.submit_with(input, |spec| spec).await
    }

    pub(crate) async fn submit_with(&self, input: Value, change: impl FnOnce(JobSpec) -> JobSpec) -> JobId {
        let spec = JobSpec::new([ExecutionSpec::new("golem", input)]).with_on_interrupt(OnInterrupt::Fail);
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

    pub(crate) async fn cancel(&self, id: &JobId) {
        let request = CancelRequest::new(Actor::Owner("alice".to_owned())).immediate();
        self.jobs.cancel(id, &request).await.unwrap();
    }

    /// A job that computes.
    pub(crate) async fn computing(&self) -> JobId {
        let id = self.submit(input("go_on")).await;
        self.yagna.until(|yagna| yagna.computing() == 1).await;
        id
    }

    /// Waits until a stop has come to this state, and looks at each step that nothing is confirmed
    /// while anything lives.
    pub(crate) async fn stop(&self, id: &JobId, state: StopState) -> StopRecord {
        for _ in 0..60_000 {
            let stop = self.get(id).await.executions[0].stop.clone();
            if let Some(stop) = stop {
                let is_confirmed = stop.state == StopState::Confirmed;
                assert!(!is_confirmed || self.yagna.alive() == 0, "confirmed, and it lives: {stop:?}");
                if stop.state == state {
                    return stop;
                }
            }
            SystemClock.sleep(Duration::from_millis(1)).await;
        }
        panic!("the stop does not become {state}: {:?}", self.get(id).await.executions[0].stop);
    }

    /// Waits until nothing is left at the daemon: no life, no agreement, no money, no demand.
    pub(crate) async fn clean(&self) {
        self.yagna.until(is_clean).await;
    }
}

pub(crate) fn is_clean(yagna: &Yagna) -> bool {
    let agreed = yagna.agreements().iter().any(|it| matches!(&*it.state, "Approved" | "Pending"));
    yagna.alive() == 0 && !agreed && yagna.allocations() == 0 && yagna.demands() == 0
}

pub(crate) fn quick(config: &Config) -> Builder {
    GolemExecutor::builder(config)
        .with_start_deadline(Duration::from_secs(1))
        .with_offers(Duration::from_secs(2), Duration::ZERO)
        .with_destroy_limit(Duration::from_millis(200))
        .with_poll(Duration::from_millis(10))
        .with_invoices(Duration::from_secs(20), Duration::from_secs(40))
}
