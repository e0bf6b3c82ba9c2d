//! A store with hooks around its calls.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's panic is its verdict")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::conformance::{HookedStore, StoreAnswer, StoreCall, StoreHooks};
use beacon_jobs::host::ProcessIdentity;
use beacon_jobs::job::{ExecutionSpec, JobSpec, JobStatus};
use beacon_jobs::store::*;
use beacon_jobs::{AttemptId, Error, ErrorKind, IncarnationId, JobId, RandomIds, Result};
use futures_util::FutureExt;
use serde_json::json;

/// All calls, in the order in which [`call_all`] makes them.
const CALLS: [&str; 26] = [
    "check",
    "submit",
    "get",
    "list",
    "audit",
    "cancel",
    "cancel_many",
    "join",
    "heartbeat",
    "end_node",
    "nodes",
    "claim",
    "take_over",
    "held",
    "release",
    "start",
    "save_handles",
    "report_progress",
    "seal",
    "finish",
    "finish_job",
    "take_stops",
    "record_stops",
    "driven_stops",
    "close_stop",
    "prune",
];

/// Says no, before or after every call, and remembers to which.
#[derive(Default)]
struct Refusal {
    after: bool,
    silent: bool,
    heard: Mutex<Vec<&'static str>>,
}

impl Refusal {
    fn answer(&self, call: &StoreCall<'_>) -> Result<()> {
        self.heard.lock().unwrap().push(call.name());
        Err(Error::new(ErrorKind::Unavailable, "no"))
    }
}

impl StoreHooks for Refusal {
    async fn before(&self, call: &StoreCall<'_>) -> Result<()> {
        if self.after { Ok(()) } else { self.answer(call) }
    }
    async fn after(&self, call: &StoreCall<'_>, _: Result<StoreAnswer<'_>, &Error>) -> Result<()> {
        self.answer(call)
    }
    fn signals(&self, signals: Signals) -> Signals {
        if self.silent { Signals::none() } else { signals }
    }
}

fn submission() -> Submission {
    let spec = JobSpec::new([ExecutionSpec::new("work", json!(null))]);
    let digest = spec.digest().unwrap();
    Submission { id: "job".parse().unwrap(), owner: "alice".to_owned(), idempotency_key: None, spec, digest }
}

/// Makes every call once, and says how each failed.
async fn call_all(store: &impl JobStore) -> Vec<Option<ErrorKind>> {
    let id: JobId = "job".parse().unwrap();
    let cancel = CancelRequest::new(Actor::Owner("alice".to_owned()));
    let incarnation = IncarnationId::mint(&RandomIds);
    let executors = vec!["work".to_owned()];
    let process = ProcessIdentity::current();
    let node = NodeIdentity { incarnation, name: "node".to_owned(), process, executors: executors.clone() };
    let claim = Claim { incarnation, executors: executors.clone(), running: Vec::new(), limit: 1 };
    let fence = Fence { incarnation, epoch: 1 };
    let release = Release { fence, job: id.clone(), sealed: Vec::new() };
    let finish_job = FinishJob { fence, job: id.clone(), timed_out: false };
    let take = TakeStops { incarnation, executors, host_bound: HostBound::default(), hold: LEASE, limit: 1 };
    let attempt = AttemptId::mint(&RandomIds);
    let close = CloseStop { attempt, by: "root".to_owned(), reason: "gone".to_owned() };
    let page = ExecutionPage::ALL;
    vec![
        failed(store.check().await),
        failed(store.submit(&submission()).await),
        failed(store.get(&id, page).await),
        failed(store.list(&JobFilter::default()).await),
        failed(store.audit(&id).await),
        failed(store.cancel(&id, &cancel).await),
        failed(store.cancel_many(std::slice::from_ref(&id), &cancel).await),
        failed(store.join(&node, LEASE).await),
        failed(store.heartbeat(incarnation, LEASE).await),
        failed(store.end_node(incarnation, NodeEnd::Abandoned).await),
        failed(store.nodes().await),
        failed(store.claim(&claim).await),
        failed(store.take_over(&claim).await),
        failed(store.held(incarnation, &[]).await),
        failed(store.release(&release).await),
        failed(store.start(&[]).await),
        failed(store.save_handles(&[]).await),
        failed(store.report_progress(&[]).await),
        failed(store.seal(&[]).await),
        failed(store.finish(&[]).await),
        failed(store.finish_job(&finish_job).await),
        failed(store.take_stops(&take).await),
        failed(store.record_stops(&[]).await),
        failed(store.driven_stops().await),
        failed(store.close_stop(&close).await),
        failed(store.prune(LEASE, 1).await),
    ]
}

const LEASE: Duration = Duration::from_secs(60);

fn failed<T>(answer: Result<T>) -> Option<ErrorKind> {
    answer.err().map(|error| error.kind())
}

#[tokio::test]
async fn an_error_before_any_call_is_its_answer_and_the_store_is_not_asked() {
    let store = HookedStore::new(MemoryStore::new(), Arc::new(Refusal::default()));
    assert_eq!(call_all(&store).await, [Some(ErrorKind::Unavailable); CALLS.len()]);
    assert_eq!(*store.hooks().heard.lock().unwrap(), CALLS);
    assert_eq!(store.store().get(&submission().id, ExecutionPage::ALL).await.unwrap(), None);
}

#[tokio::test]
async fn an_error_after_any_call_is_its_answer_and_what_the_store_did_stays_done() {
    let store = HookedStore::new(MemoryStore::new(), Refusal { after: true, ..Refusal::default() });
    assert_eq!(call_all(&store).await, [Some(ErrorKind::Unavailable); CALLS.len()]);
    assert_eq!(*store.hooks().heard.lock().unwrap(), CALLS);
    let job = store.store().get(&submission().id, ExecutionPage::ALL).await.unwrap().unwrap();
    assert_eq!(job.job.status, JobStatus::Cancelled);
}

#[tokio::test]
async fn hints_pass_unless_a_hook_holds_them_back() {
    let memory = MemoryStore::new();
    let loud = HookedStore::new(memory.clone(), Refusal::default());
    let silent = HookedStore::new(memory.clone(), Refusal { silent: true, ..Refusal::default() });
    let (mut heard, mut unheard) = (loud.signals(), silent.signals());
    memory.submit(&submission()).await.unwrap();
    assert_eq!(heard.next().await, Signal::Queued);
    // The hint was sent before the submission returned, so there is nothing to wait for.
    assert_eq!(unheard.next().now_or_never(), None);
}
