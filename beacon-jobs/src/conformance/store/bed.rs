use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};

use super::words::*;
use super::{StoreCapability, Time};
use crate::cancel::{CancelOutcome, CancelRequest};
use crate::clock::{Clock, SystemClock};
use crate::conformance::ManualClock;
use crate::host::ProcessIdentity;
use crate::id::{AttemptId, IncarnationId, JobId, RandomIds};
use crate::job::{AuditAction, AuditEntry, ExecutionRecord, ExecutionStatus, JobDetail, JobSpec, JobStatus};
use crate::stop::{SealedBy, StopItem, StopState};
use crate::store::{
    Claim, ClaimedJob, ExecutionPage, ExecutionResult, FinishExecution, FinishJob, FinishJobOutcome,
    FinishOutcome, Heartbeat, HostBound, JobStore, Joined, MemoryStore, NodeEnd, NodeIdentity,
    ReportProgress, SaveHandle, SaveOutcome, Seal, StartExecution, StartOutcome, StopAnswer, Submitted,
    TakeStops,
};

pub(super) type Reply = oneshot::Sender<Option<Arc<dyn JobStore>>>;

/// A fresh store, and short words for what cases do with it.
pub(super) struct Bed {
    pub(super) store: Arc<dyn JobStore>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) time: Time,
    reopen: mpsc::Sender<Reply>,
    required: &'static [StoreCapability],
    /// The node that holds what no case says otherwise of.
    node: Mutex<Option<IncarnationId>>,
}

impl Bed {
    pub(super) fn new(
        store: Arc<dyn JobStore>,
        clock: Arc<ManualClock>,
        time: Time,
        reopen: mpsc::Sender<Reply>,
        required: &'static [StoreCapability],
    ) -> Self {
        Self { store, clock, time, reopen, required, node: Mutex::new(None) }
    }

    /// Whether the case can go on; says so when it cannot.
    pub(super) fn can(&self, capability: StoreCapability) -> bool {
        let can = match capability {
            StoreCapability::ManyNodes => self.store.allows_many_nodes(),
            StoreCapability::Signals => self.store.signals().is_live(),
            StoreCapability::Reopen => true,
        };
        if !can {
            self.skip(capability);
        }
        can
    }

    #[expect(clippy::print_stderr, reason = "a test that did not test must say so")]
    fn skip(&self, capability: StoreCapability) {
        assert!(!self.required.contains(&capability), "{} must have {capability:?}", self.store);
        eprintln!("skipped: {} does not have {capability:?}", self.store);
    }

    /// Drops the store and opens its data again; `false` when they are gone with it.
    pub(super) async fn reopen(&mut self) -> bool {
        self.store = Arc::new(MemoryStore::new());
        let (reply, answer) = oneshot::channel();
        self.reopen.send(reply).await.expect("the runner of the case listens");
        match answer.await.expect("the runner of the case answers") {
            Some(store) => self.store = store,
            None => {
                self.skip(StoreCapability::Reopen);
                return false;
            }
        }
        true
    }

    pub(super) fn attempt(&self) -> AttemptId {
        AttemptId::mint(&RandomIds)
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, time: Duration) {
        // A case that waits in a loop must leave its runtime the room to end it.
        tokio::task::yield_now().await;
        match self.time {
            Time::Manual => self.clock.advance(time),
            // Twice, for the store's clock need not run as fast as this one.
            Time::Real => SystemClock.sleep(2 * time).await,
        }
    }

    /// The store's time, where the suite sets it.
    pub(super) fn now(&self) -> Option<OffsetDateTime> {
        (self.time == Time::Manual).then(|| self.clock.now())
    }

    pub(super) async fn submit(&self, name: &str, executions: usize) -> JobId {
        self.submit_spec(name, spec(executions)).await
    }

    pub(super) async fn submit_spec(&self, name: &str, spec: JobSpec) -> JobId {
        let submitted = self.store.submit(&submission(name, ALICE, spec)).await.expect("submit");
        assert_eq!(submitted, Submitted::Created(id(name)));
        id(name)
    }

    /// Submits the job of one race.
    pub(super) async fn submit_race(&self, race: usize) {
        self.submit(&format!("race-{race}"), 1).await;
    }

    /// The live node, which has the executor `double`; enters one if there is none.
    pub(super) async fn node(&self) -> IncarnationId {
        let node = *self.node.lock().unwrap_or_else(PoisonError::into_inner);
        match node {
            Some(node) => node,
            None => {
                let node = self.node_with(&[DOUBLE]).await;
                *self.node.lock().unwrap_or_else(PoisonError::into_inner) = Some(node);
                node
            }
        }
    }

    fn forget_node(&self, node: IncarnationId) {
        self.node.lock().unwrap_or_else(PoisonError::into_inner).take_if(|known| *known == node);
    }

    pub(super) async fn node_with(&self, executors: &[&str]) -> IncarnationId {
        let node = self.identity(executors);
        loop {
            match self.store.join(&node, HOUR).await.expect("join") {
                Joined::Joined => return node.incarnation,
                // On a store for one node a lapsed one is in the way until it is given up.
                Joined::Occupied(other) => {
                    assert!(other.expired, "a second node must enter, or {} allows one only", self.store);
                    let end = NodeEnd::Abandoned;
                    self.store.end_node(other.node.incarnation, end).await.expect("end_node");
                }
            }
        }
    }

    pub(super) fn identity(&self, executors: &[&str]) -> NodeIdentity {
        NodeIdentity {
            incarnation: IncarnationId::mint(&RandomIds),
            name: "node".to_owned(),
            process: ProcessIdentity::current(),
            executors: executors.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    /// Lets the lease of a node run out.
    pub(super) async fn lapse(&self, node: IncarnationId) {
        self.forget_node(node);
        assert_eq!(self.store.heartbeat(node, INSTANT).await.expect("heartbeat"), Heartbeat::Alive);
        loop {
            self.pass(INSTANT).await;
            let nodes = self.store.nodes().await.expect("nodes");
            if nodes.iter().any(|record| record.node.incarnation == node && record.expired) {
                return;
            }
        }
    }

    pub(super) async fn end(&self, node: IncarnationId) {
        self.forget_node(node);
        self.store.end_node(node, NodeEnd::CleanExit).await.expect("end_node");
    }

    pub(super) fn wish(&self, node: IncarnationId, running: &[&JobId]) -> Claim {
        Claim {
            incarnation: node,
            executors: vec![DOUBLE.to_owned()],
            running: running.iter().map(|&id| id.clone()).collect(),
            limit: 1_000,
        }
    }

    pub(super) async fn claim(&self, node: IncarnationId) -> Vec<ClaimedJob> {
        self.store.claim(&self.wish(node, &[])).await.expect("claim")
    }

    pub(super) async fn take_over(&self, node: IncarnationId, running: &[&JobId]) -> Vec<ClaimedJob> {
        self.store.take_over(&self.wish(node, running)).await.expect("take_over")
    }

    /// A job of so many executions that the live node has just claimed.
    pub(super) async fn held(&self, name: &str, executions: usize) -> Held {
        self.held_spec(name, spec(executions)).await
    }

    pub(super) async fn held_spec(&self, name: &str, spec: JobSpec) -> Held {
        self.submit_spec(name, spec).await;
        let node = self.node().await;
        let claimed = self.claim(node).await.into_iter().find(|claimed| claimed.id == id(name));
        Held::from(claimed.expect("a queued job is claimed"))
    }

    /// The same node takes the job again, as after a lost reply: epoch + 1.
    pub(super) async fn again(&self, held: &Held) -> Held {
        let taken = self.take_over(held.fence.incarnation, &[]).await;
        let taken = taken.into_iter().find(|taken| taken.id == held.job);
        Held::from(taken.expect("a node takes what it owns"))
    }

    /// The holder ends, and another node takes the job.
    pub(super) async fn successor(&self, held: &Held) -> Held {
        self.end(held.fence.incarnation).await;
        let taken = self.take_over(self.node().await, &[]).await;
        let taken = taken.into_iter().find(|taken| taken.id == held.job);
        Held::from(taken.expect("the job of a node that has ended is free"))
    }

    pub(super) async fn start(&self, start: StartExecution) -> StartOutcome {
        self.store.start(&[start]).await.expect("start")[0]
    }

    pub(super) async fn save(&self, save: SaveHandle) -> SaveOutcome {
        self.store.save_handles(&[save]).await.expect("save_handles")[0]
    }

    pub(super) async fn report(&self, report: ReportProgress) -> bool {
        self.store.report_progress(&[report]).await.expect("report_progress")[0]
    }

    /// How many steps an execution is said to have done, where something is said.
    pub(super) async fn steps(&self, job: &JobId, index: u32) -> Option<u32> {
        self.execution(job, index).await.progress.map(|progress| progress.done)
    }

    pub(super) async fn finish(&self, finish: FinishExecution) -> FinishOutcome {
        self.store.finish(&[finish]).await.expect("finish")[0]
    }

    pub(super) async fn finish_job(&self, finish: &FinishJob) -> FinishJobOutcome {
        self.store.finish_job(finish).await.expect("finish_job")
    }

    pub(super) async fn seal(&self, attempt: AttemptId, by: SealedBy) {
        self.store.seal(&[Seal { attempt, by }]).await.expect("seal");
    }

    /// An attempt that has passed the start barrier.
    pub(super) async fn started(&self, held: &Held, index: u32) -> AttemptId {
        let attempt = self.attempt();
        let outcome = self.start(held.start(index, attempt)).await;
        assert!(matches!(outcome, StartOutcome::Started { .. }), "{outcome:?}");
        attempt
    }

    /// An attempt that may compute; its handle is `{"call": "first"}`.
    pub(super) async fn begun(&self, held: &Held, index: u32) -> AttemptId {
        let attempt = self.started(held, index).await;
        let outcome = self.save(held.save(index, attempt, &handle("first"))).await;
        assert_eq!(outcome, SaveOutcome::Granted);
        attempt
    }

    /// An execution that has ended with this result.
    pub(super) async fn ended(&self, held: &Held, index: u32, result: ExecutionResult) -> AttemptId {
        let attempt = self.begun(held, index).await;
        assert_eq!(self.finish(held.finish(index, attempt, result)).await, FinishOutcome::Finished);
        attempt
    }

    /// A job with this outcome, by way of one attempt that had begun.
    pub(super) async fn over(&self, name: &str, outcome: JobStatus) -> (Held, AttemptId) {
        let held = self.held(name, 1).await;
        let attempt = match outcome {
            JobStatus::Completed => self.ended(&held, 0, completed(json!("the result"))).await,
            JobStatus::Failed => self.ended(&held, 0, failed(false)).await,
            _ => self.begun(&held, 0).await,
        };
        if outcome == JobStatus::Cancelled {
            opened(self.cancel(&held.job, &by_alice()).await);
        } else {
            assert_eq!(self.finish_job(&held.finish_job()).await, FinishJobOutcome::Finished(outcome));
        }
        (held, attempt)
    }

    pub(super) async fn cancel(&self, job: &JobId, request: &CancelRequest) -> CancelOutcome {
        self.store.cancel(job, request).await.expect("cancel")
    }

    pub(super) async fn get(&self, job: &JobId) -> JobDetail {
        self.store.get(job, ExecutionPage::ALL).await.expect("get").expect("the job exists")
    }

    pub(super) async fn status(&self, job: &JobId) -> JobStatus {
        self.get(job).await.job.status
    }

    pub(super) async fn execution(&self, job: &JobId, index: u32) -> ExecutionRecord {
        self.get(job).await.executions.swap_remove(index as usize)
    }

    pub(super) async fn execution_status(&self, job: &JobId, index: u32) -> ExecutionStatus {
        self.execution(job, index).await.status
    }

    /// The stop that the execution shows.
    pub(super) async fn stop(&self, job: &JobId, index: u32) -> Option<StopState> {
        self.execution(job, index).await.stop.map(|stop| stop.state)
    }

    pub(super) async fn audit(&self, job: &JobId, action: AuditAction) -> Vec<AuditEntry> {
        let entries = self.store.audit(job).await.expect("audit");
        entries.into_iter().filter(|entry| entry.action == action).collect()
    }

    /// The stops that are due, in the order of their attempts, left due.
    pub(super) async fn due(&self) -> Vec<StopItem> {
        let mut items = self.take_stops(Duration::ZERO, 100_000).await;
        items.sort_by_key(|item| item.attempt);
        items
    }

    pub(super) async fn take_stops(&self, hold: Duration, limit: u32) -> Vec<StopItem> {
        // Any incarnation may drive stops.
        let incarnation = IncarnationId::mint(&RandomIds);
        let executors = vec![DOUBLE.to_owned()];
        let take = TakeStops { incarnation, executors, host_bound: HostBound::default(), hold, limit };
        self.store.take_stops(&take).await.expect("take_stops")
    }

    /// The stop of an attempt, if it is due.
    pub(super) async fn due_stop(&self, attempt: AttemptId) -> Option<StopItem> {
        self.due().await.into_iter().find(|item| item.attempt == attempt)
    }

    /// Records what a stop call brought; the stop is due again at once if it stays open.
    pub(super) async fn record(
        &self,
        attempt: AttemptId,
        seen_seal: Option<SealedBy>,
        answer: StopAnswer,
    ) -> Option<StopState> {
        self.store.record_stops(&[update(attempt, seen_seal, answer)]).await.expect("record_stops")[0]
    }

    /// Seals an attempt whose stop is open, and confirms it.
    pub(super) async fn confirm(&self, attempt: AttemptId) {
        self.seal(attempt, SealedBy::Minter).await;
        let state = self.record(attempt, Some(SealedBy::Minter), ended()).await;
        assert_eq!(state, Some(StopState::Confirmed));
    }

    pub(super) async fn snapshot(&self, job: &JobId) -> Snapshot {
        Snapshot {
            detail: self.store.get(job, ExecutionPage::ALL).await.expect("get"),
            audit: self.store.audit(job).await.expect("audit"),
            due: timeless(self.due().await),
        }
    }
}
