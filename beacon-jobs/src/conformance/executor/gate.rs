use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::cancel::{CancelOutcome, CancelRequest};
use crate::error::Result;
use crate::id::{AttemptId, IncarnationId, JobId};
use crate::job::{AuditEntry, JobDetail};
use crate::stop::{Handle, StopItem, StopState};
use crate::store::*;

/// Where a call can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    BeforeSave,
    /// The save is committed, and its caller does not know it yet.
    AfterSave,
    /// The cancel is committed, and its caller does not know it yet.
    AfterCancel,
}

/// A memory store that remembers which handles were saved, and can hold calls.
pub(super) struct Gate {
    store: MemoryStore,
    handles: Mutex<Vec<(AttemptId, Handle)>>,
    closed: watch::Sender<Vec<Point>>,
    held: watch::Sender<Vec<Point>>,
    silent: AtomicBool,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            handles: Mutex::default(),
            closed: watch::Sender::default(),
            held: watch::Sender::default(),
            silent: AtomicBool::new(false),
        }
    }

    /// Gives no hints to who asks for them from now on.
    pub(super) fn be_silent(&self) {
        self.silent.store(true, Ordering::Release);
    }

    /// Holds every call at this point, until [`open`](Self::open).
    pub(super) fn close(&self, point: Point) {
        self.closed.send_modify(|closed| closed.push(point));
    }

    pub(super) fn open(&self, point: Point) {
        self.closed.send_modify(|closed| closed.retain(|other| *other != point));
    }

    /// Waits until a call is held at this point.
    pub(super) async fn holds(&self, point: Point) {
        let mut held = self.held.subscribe();
        // It can only fail when the gate is gone, and this call holds on to it.
        let _ = held.wait_for(|held| held.contains(&point)).await;
    }

    /// The handles that were saved, or were about to be, in that order.
    pub(super) fn handles(&self) -> Vec<(AttemptId, Handle)> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn pass(&self, point: Point) {
        if self.closed.borrow().contains(&point) {
            let mut closed = self.closed.subscribe();
            self.held.send_modify(|held| held.push(point));
            let _ = closed.wait_for(|closed| !closed.contains(&point)).await;
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.store, f)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

#[async_trait]
impl JobStore for Gate {
    async fn save_handles(&self, saves: &[SaveHandle]) -> Result<Vec<SaveOutcome>> {
        self.handles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(saves.iter().map(|save| (save.attempt, save.handle.clone())));
        self.pass(Point::BeforeSave).await;
        let outcomes = self.store.save_handles(saves).await;
        self.pass(Point::AfterSave).await;
        outcomes
    }

    fn hears_all_nodes(&self) -> bool {
        self.store.hears_all_nodes()
    }
    async fn check(&self) -> Result<()> {
        self.store.check().await
    }
    async fn submit(&self, submission: &Submission) -> Result<Submitted> {
        self.store.submit(submission).await
    }
    async fn get(&self, id: &JobId, page: ExecutionPage) -> Result<Option<JobDetail>> {
        self.store.get(id, page).await
    }
    async fn list(&self, filter: &JobFilter) -> Result<JobList> {
        self.store.list(filter).await
    }
    async fn audit(&self, id: &JobId) -> Result<Vec<AuditEntry>> {
        self.store.audit(id).await
    }
    async fn cancel(&self, id: &JobId, request: &CancelRequest) -> Result<CancelOutcome> {
        let outcome = self.store.cancel(id, request).await;
        self.pass(Point::AfterCancel).await;
        outcome
    }
    async fn cancel_many(&self, ids: &[JobId], request: &CancelRequest) -> Result<Vec<CancelOutcome>> {
        let outcomes = self.store.cancel_many(ids, request).await;
        self.pass(Point::AfterCancel).await;
        outcomes
    }
    async fn join(&self, node: &NodeIdentity, lease: Duration) -> Result<Joined> {
        self.store.join(node, lease).await
    }
    async fn heartbeat(&self, incarnation: IncarnationId, lease: Duration) -> Result<Heartbeat> {
        self.store.heartbeat(incarnation, lease).await
    }
    async fn end_node(&self, incarnation: IncarnationId, how: NodeEnd) -> Result<()> {
        self.store.end_node(incarnation, how).await
    }
    async fn nodes(&self) -> Result<Vec<NodeRecord>> {
        self.store.nodes().await
    }
    async fn claim(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        self.store.claim(claim).await
    }
    async fn take_over(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        self.store.take_over(claim).await
    }
    async fn held(&self, incarnation: IncarnationId, running: &[JobId]) -> Result<Vec<HeldJob>> {
        self.store.held(incarnation, running).await
    }
    async fn release(&self, release: &Release) -> Result<bool> {
        self.store.release(release).await
    }
    async fn start(&self, starts: &[StartExecution]) -> Result<Vec<StartOutcome>> {
        self.store.start(starts).await
    }
    async fn seal(&self, seals: &[Seal]) -> Result<()> {
        self.store.seal(seals).await
    }
    async fn finish(&self, finishes: &[FinishExecution]) -> Result<Vec<FinishOutcome>> {
        self.store.finish(finishes).await
    }
    async fn finish_job(&self, finish: &FinishJob) -> Result<FinishJobOutcome> {
        self.store.finish_job(finish).await
    }
    async fn take_stops(&self, take: &TakeStops) -> Result<Vec<StopItem>> {
        self.store.take_stops(take).await
    }
    async fn record_stops(&self, updates: &[StopUpdate]) -> Result<Vec<Option<StopState>>> {
        self.store.record_stops(updates).await
    }
    async fn close_stop(&self, close: &CloseStop) -> Result<CloseStopOutcome> {
        self.store.close_stop(close).await
    }
    fn signals(&self) -> Signals {
        if self.silent.load(Ordering::Acquire) { Signals::none() } else { self.store.signals() }
    }
    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64> {
        self.store.prune(keep, limit).await
    }
}
