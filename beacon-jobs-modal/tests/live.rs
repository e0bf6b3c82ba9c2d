//! With a real account, and therefore only when asked for: these calls cost money.
//!
//! Deploy `tests/live_app.py` once (`modal deploy beacon-jobs-modal/tests/live_app.py`), set `MODAL_TOKEN_ID` and
//! `MODAL_TOKEN_SECRET` or have `~/.modal.toml`, and run
//!
//! ```sh
//! cargo nextest run -p beacon-jobs-modal --all-features --test live --run-ignored only --no-capture
//! ```
//!
//! Each case prints what Modal did. The work ticks into a Modal Dict as long as it computes, and the case fails when a
//! stop is confirmed while it still ticks. Every function has a timeout of five minutes, which bounds what a failure costs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's panic is its verdict")]

use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::job::{ExecutionSpec, JobDetail, JobSpec};
use beacon_jobs::runner::JobRunner;
use beacon_jobs::stop::StopState;
use beacon_jobs::store::{ExecutionPage, MemoryStore};
use beacon_jobs::{IdSource, JobId, Jobs, RandomIds, Settled};
use beacon_jobs_modal::{Config, ModalExecutor};
use serde_json::{Value, json};

const APP: &str = "beacon-jobs-live";
const LONG: Duration = Duration::from_secs(300);
/// Ticks come twice a second; what is quiet for this long has ended.
const QUIET: Duration = Duration::from_secs(10);

struct Bed {
    jobs: Jobs,
    _runner: JobRunner,
}

impl Bed {
    async fn new() -> Self {
        let jobs = Jobs::new(MemoryStore::new());
        let executor = ModalExecutor::new(&Config::from_env().unwrap()).unwrap();
        let runner = JobRunner::builder(&jobs).executor(executor).start().await.unwrap();
        Self { jobs, _runner: runner }
    }

    async fn submit(&self, function: &str, args: Value) -> JobId {
        let input = json!({ "app": APP, "function": function, "args": args });
        self.jobs.submit("live", JobSpec::new([ExecutionSpec::new("modal", input)])).await.unwrap().id
    }

    async fn get(&self, id: &JobId) -> JobDetail {
        self.jobs.get(id, ExecutionPage::ALL).await.unwrap().unwrap()
    }

    async fn call(&self, function: &str, args: Value) -> Value {
        let id = self.submit(function, args).await;
        self.jobs.finished(&id, LONG).await.unwrap();
        let execution = self.get(&id).await.executions.remove(0);
        execution.output.unwrap_or_else(|| panic!("{function} has failed: {:?}", execution.error))
    }

    /// How often the work has ticked.
    async fn ticks(&self, key: &str) -> u64 {
        self.call("ticks", json!([key])).await.as_u64().unwrap()
    }
}

/// Runs work of this kind, cancels it, and looks whether it computes after its stop was confirmed.
async fn cancelled_work_has_ended_when_we_say_so(function: &str, grace: Duration) {
    let bed = Bed::new().await;
    let key = RandomIds.uuid().to_string();
    let id = bed.submit(function, json!([key])).await;
    while bed.ticks(&key).await == 0 {
        assert!(!bed.get(&id).await.job.status.is_terminal(), "{:?}", bed.get(&id).await);
    }
    let asked = SystemClock.uptime();
    let cancel = CancelRequest::new(Actor::Owner("live".to_owned()));
    let cancel = if grace.is_zero() { cancel.immediate() } else { cancel.with_grace(grace) };
    bed.jobs.cancel(&id, &cancel).await.unwrap();
    let settled = bed.jobs.settled(&id, LONG).await.unwrap();
    let took = SystemClock.uptime() - asked;
    let stop = bed.get(&id).await.executions.remove(0).stop.unwrap();
    println!("{function}, grace {grace:?}: {settled:?} after {took:?}: {:#?}", stop.evidence);
    let before = bed.ticks(&key).await;
    SystemClock.sleep(QUIET).await;
    let after = bed.ticks(&key).await;
    println!("{function}, grace {grace:?}: {} ticks in the {QUIET:?} after that", after - before);
    assert!(matches!(settled, Settled::Yes(_)), "{settled:?}");
    assert!(stop.state != StopState::Confirmed || after == before, "it computes after it was confirmed");
}

#[tokio::test]
#[ignore = "needs an account at Modal, and costs money"]
async fn an_answer_comes_back() {
    let echo = Bed::new().await.call("echo", json!([{ "a": [1, 2.5, null, "b"] }])).await;
    assert_eq!(echo, json!({ "a": [1, 2.5, null, "b"] }));
}

#[tokio::test]
#[ignore = "needs an account at Modal, and costs money"]
async fn plain_work() {
    cancelled_work_has_ended_when_we_say_so("plain", Duration::ZERO).await;
    cancelled_work_has_ended_when_we_say_so("plain", Duration::from_secs(10)).await;
}

#[tokio::test]
#[ignore = "needs an account at Modal, and costs money"]
async fn work_that_swallows_a_cancel() {
    cancelled_work_has_ended_when_we_say_so("swallows", Duration::ZERO).await;
    cancelled_work_has_ended_when_we_say_so("swallows", Duration::from_secs(10)).await;
}

#[tokio::test]
#[ignore = "needs an account at Modal, and costs money"]
async fn work_in_a_thread_and_in_a_child() {
    cancelled_work_has_ended_when_we_say_so("thread", Duration::ZERO).await;
    cancelled_work_has_ended_when_we_say_so("child", Duration::ZERO).await;
}
