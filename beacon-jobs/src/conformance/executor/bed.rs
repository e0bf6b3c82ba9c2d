use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::super::HookedStore;
use super::gate::Gate;
use super::{ExecutorCapability, Fault, TestProvider, Work};
use crate::cancel::{Actor, CancelRequest};
use crate::clock::{Clock, SystemClock};
use crate::executor::{Capabilities, Executor};
use crate::id::{AttemptId, JobId};
use crate::job::{ExecutionSpec, JobDetail, JobSpec};
use crate::jobs::Jobs;
use crate::runner::{JobRunner, RunnerBuilder, RunnerOptions};
use crate::stop::{Handle, StopRequest, StopStatus};
use crate::store::{ExecutionPage, JobStore, MemoryStore, NodeEnd};

/// How often the suite looks at what cannot be waited for.
const LOOK: Duration = Duration::from_millis(2);
/// Only a hang waits for so long; a case is ended before.
pub(super) const LONG: Duration = Duration::from_secs(600);
/// A grace that is soon over.
pub(super) const MOMENT: Duration = Duration::from_millis(100);

/// A provider on which nothing runs yet, a store, and the door to it.
pub(super) struct Bed {
    pub(super) provider: Arc<dyn TestProvider>,
    pub(super) gate: Arc<Gate>,
    pub(super) jobs: Jobs,
    required: &'static [ExecutorCapability],
}

pub(super) fn by_alice() -> CancelRequest {
    CancelRequest::new(Actor::Owner("alice".to_owned()))
}

impl Bed {
    pub(super) fn new(provider: Arc<dyn TestProvider>, required: &'static [ExecutorCapability]) -> Self {
        let gate = Arc::new(Gate::default());
        let jobs = door(HookedStore::new(MemoryStore::new(), Arc::clone(&gate)));
        Self { provider, gate, jobs, required }
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.provider.executor().capabilities()
    }

    /// Whether the case can go on; says so when it cannot.
    pub(super) fn can(&self, capability: ExecutorCapability) -> bool {
        let capabilities = self.capabilities();
        let can = match capability {
            ExecutorCapability::TwoStep => capabilities.two_step,
            ExecutorCapability::Resume => capabilities.resume,
            ExecutorCapability::RefusesStartAfterStop => capabilities.refuses_start_after_stop,
            ExecutorCapability::Grace => {
                capabilities.grace && self.provider.input(Work::SavesItself).is_some()
            }
            ExecutorCapability::FailingWork => self.provider.input(Work::Fails).is_some(),
            ExecutorCapability::Force => self.provider.input(Work::Ignores).is_some(),
            ExecutorCapability::Restart => self.provider.restarted().is_some(),
            ExecutorCapability::IllegalInput => self.provider.input(Work::Illegal).is_some(),
            ExecutorCapability::StopFaults
            | ExecutorCapability::StartFaults
            | ExecutorCapability::LostReplies
            | ExecutorCapability::WatchFaults => true,
        };
        if !can {
            self.skip(capability);
        }
        can
    }

    /// Makes the provider fail; says so when it cannot be made to.
    pub(super) async fn can_inject(&self, fault: Fault) -> bool {
        let can = self.provider.inject(fault).await;
        if !can {
            self.skip(match fault {
                Fault::StopsFail(_) => ExecutorCapability::StopFaults,
                Fault::StartsFail(_) => ExecutorCapability::StartFaults,
                Fault::RepliesLost(_) => ExecutorCapability::LostReplies,
                Fault::WatchesFail(_) => ExecutorCapability::WatchFaults,
            });
        }
        can
    }

    #[expect(clippy::print_stderr, reason = "a test that did not test must say so")]
    fn skip(&self, capability: ExecutorCapability) {
        let executor = self.provider.executor();
        assert!(!self.required.contains(&capability), "{executor} must have {capability:?}");
        eprintln!("skipped: {executor} does not have {capability:?}");
    }

    pub(super) fn spec(&self, works: &[Work]) -> JobSpec {
        let executor = self.provider.executor();
        JobSpec::new(works.iter().map(|work| {
            let input = self.provider.input(*work).unwrap_or_else(|| panic!("an input for {work:?}"));
            ExecutionSpec::new(executor.name(), input)
        }))
    }

    pub(super) async fn submit(&self, works: &[Work]) -> JobId {
        self.submit_spec(self.spec(works)).await
    }

    pub(super) async fn submit_spec(&self, spec: JobSpec) -> JobId {
        self.jobs.submit("alice", spec).await.expect("submit").id
    }

    pub(super) async fn runner(&self) -> JobRunner {
        builder(&self.jobs, self.provider.executor()).start().await.expect("a runner starts")
    }

    /// A runner that looks at the store when it starts, and then only where it has reason to.
    pub(super) async fn inattentive_runner(&self) -> JobRunner {
        self.gate.be_silent();
        let options = RunnerOptions { poll: Duration::from_secs(60), ..options() };
        let builder = builder(&self.jobs, self.provider.executor()).options(options);
        builder.start().await.expect("a runner starts")
    }

    /// A runner with an executor as another process would make it.
    pub(super) async fn restarted_runner(&self) -> JobRunner {
        let executor = self.provider.restarted().expect("the case has asked whether it can");
        builder(&self.jobs, executor).start().await.expect("a runner starts")
    }

    /// A runner that can crash.
    pub(super) async fn victim(&self) -> Victim {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be built");
        // Its own door, so that no cancel or stop takes the short way to it.
        let jobs = door(Arc::clone(self.jobs.store()));
        let executor = self.provider.restarted().expect("the case has asked whether it can");
        let runner = runtime.spawn(builder(&jobs, executor).start()).await.expect("no panic");
        Victim { runtime, runner: runner.expect("a runner starts"), store: Arc::clone(self.jobs.store()) }
    }

    pub(super) async fn get(&self, job: &JobId) -> JobDetail {
        self.jobs.get(job, ExecutionPage::ALL).await.expect("get").expect("the job exists")
    }

    /// Waits until the job has its outcome and its stops are settled.
    pub(super) async fn settled(&self, job: &JobId) -> JobDetail {
        self.jobs.settled(job, LONG).await.expect("settled");
        self.get(job).await
    }

    /// Waits until the job's stops are settled, and shows that they say the truth: what is said to
    /// be over is over, from the very moment at which it is said.
    pub(super) async fn over(&self, job: &JobId) -> JobDetail {
        let detail = loop {
            // In this order: what was said to be over must be so when it is looked at.
            let now = self.get(job).await;
            let alive = self.provider.alive().await;
            let unconfirmed = now.stops.total - now.stops.confirmed - now.stops.not_needed;
            assert!(
                !now.job.status.is_terminal() || alive as u64 <= unconfirmed,
                "{alive} alive, but the stops are {:?}",
                now.stops
            );
            if now.job.status.is_terminal() && now.stops.open == 0 {
                break now;
            }
            SystemClock.sleep(LOOK).await;
        };
        for stop in detail.executions.iter().filter_map(|execution| execution.stop.as_ref()) {
            if stop.confirmed_at.is_some() {
                let evidence = stop.evidence.as_ref().expect("a confirmed stop has evidence");
                // What is not an object is kept beside what its seal rests on.
                assert_evidence(evidence.get("shown").unwrap_or(evidence));
            }
        }
        detail
    }

    /// As [`over`](Self::over), of a job of which nothing may ever begin.
    pub(super) async fn over_unbegun(&self, job: &JobId) -> JobDetail {
        loop {
            let now = self.get(job).await;
            assert_eq!(self.provider.begun().await, 0, "it must not begin");
            if now.job.status.is_terminal() && now.stops.open == 0 {
                return self.over(job).await;
            }
            SystemClock.sleep(LOOK).await;
        }
    }

    /// Waits until so many pieces of work compute.
    pub(super) async fn alive(&self, count: usize) {
        while self.provider.alive().await != count {
            SystemClock.sleep(LOOK).await;
        }
    }

    /// Waits until `fits` says so of the job.
    pub(super) async fn until(&self, job: &JobId, fits: impl Fn(&JobDetail) -> bool) -> JobDetail {
        loop {
            let now = self.get(job).await;
            if fits(&now) {
                return now;
            }
            SystemClock.sleep(LOOK).await;
        }
    }

    pub(super) async fn cancel(&self, job: &JobId, request: &CancelRequest) {
        self.jobs.cancel(job, request).await.expect("cancel");
    }

    /// Waits for the first handle.
    pub(super) async fn handle(&self) -> (AttemptId, Handle) {
        loop {
            if let Some(saved) = self.gate.handles().into_iter().next() {
                return saved;
            }
            SystemClock.sleep(LOOK).await;
        }
    }
}

/// Evidence is for a person to check: there must be something to see.
#[track_caller]
fn assert_evidence(evidence: &Value) {
    let empty = match evidence {
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        other => other.is_null(),
    };
    assert!(!empty, "evidence that shows nothing: {evidence}");
}

/// Shows that a stop call brought the end, and evidence of it.
#[track_caller]
pub(super) fn confirmed(status: &StopStatus) {
    match status {
        StopStatus::Confirmed { evidence } => assert_evidence(evidence),
        other => panic!("the end must be shown: {other:?}"),
    }
}

/// Asks an executor to end the work behind a handle, by force, until it has more to say than that it
/// has heard.
pub(super) async fn stop(executor: &dyn Executor, attempt: AttemptId, handle: &Handle) -> StopStatus {
    loop {
        let request = StopRequest::new(attempt, Duration::ZERO, false);
        match executor.stop(handle, &request).await.expect("the provider answers") {
            StopStatus::Acknowledged { ask_again, .. } => SystemClock.sleep(ask_again.min(MOMENT)).await,
            status => return status,
        }
    }
}

fn door(store: impl JobStore) -> Jobs {
    Jobs::builder(store).poll(Duration::from_millis(20)).build()
}

fn options() -> RunnerOptions {
    RunnerOptions {
        poll: Duration::from_millis(20),
        settle_limit: Duration::from_secs(5),
        max_stop_pause: MOMENT,
        ..RunnerOptions::default()
    }
}

fn builder(jobs: &Jobs, executor: Arc<dyn Executor>) -> RunnerBuilder {
    JobRunner::builder(jobs).options(options()).shared_executor(executor)
}

/// A runner on a runtime of its own.
pub(super) struct Victim {
    runtime: tokio::runtime::Runtime,
    runner: JobRunner,
    store: Arc<dyn JobStore>,
}

impl Victim {
    /// Ends all its tasks at whatever await they are, and says in the store that its process is
    /// gone, as a successor on the same host would find out.
    pub(super) async fn crash(self) {
        let Self { runtime, runner, store } = self;
        let incarnation = runner.incarnation();
        let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(LONG)).await;
        ended.expect("a runtime can be shut down");
        drop(runner);
        let incarnation = incarnation.expect("its lease had not run out");
        store.end_node(incarnation, NodeEnd::ProcessGone).await.expect("end_node");
    }
}
