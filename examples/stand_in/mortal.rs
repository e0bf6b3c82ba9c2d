//! A store whose process dies at a point right after a commit, before anybody is told of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::cancel::{CancelOutcome, CancelRequest};
use beacon_jobs::job::{AuditEntry, JobDetail};
use beacon_jobs::stop::{StopItem, StopState};
use beacon_jobs::store::{
    Claim, ClaimedJob, CloseStop, CloseStopOutcome, ExecutionPage, FinishExecution, FinishJob,
    FinishJobOutcome, FinishOutcome, Heartbeat, HeldJob, JobFilter, JobList, JobStore, Joined, NodeEnd,
    NodeIdentity, NodeRecord, Release, SaveHandle, SaveOutcome, Seal, Signals, StartExecution, StartOutcome,
    StopUpdate, Submission, Submitted, TakeStops,
};
use beacon_jobs::{IncarnationId, JobId, Result};

use crate::points::{Point, Points};

/// Passes every call on.
#[derive(Debug)]
pub struct MortalStore {
    store: Arc<dyn JobStore>,
    points: Arc<Points>,
}

impl MortalStore {
    /// Lets the process die at this point of this store.
    #[must_use]
    pub fn new(store: Arc<dyn JobStore>, points: Arc<Points>) -> Self {
        Self { store, points }
    }

    /// Passes a point once a call that did something is committed.
    fn after<T>(&self, point: Point, outcome: Result<T>, did: impl FnOnce(&T) -> bool) -> Result<T> {
        if outcome.as_ref().is_ok_and(did) {
            self.points.pass(point);
        }
        outcome
    }
}

impl fmt::Display for MortalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.store, f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl JobStore for MortalStore {
    async fn claim(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        self.after(Point::AfterClaim, self.store.claim(claim).await, |jobs| !jobs.is_empty())
    }
    async fn take_over(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        self.after(Point::AfterTakeOver, self.store.take_over(claim).await, |jobs| !jobs.is_empty())
    }
    async fn cancel(&self, id: &JobId, request: &CancelRequest) -> Result<CancelOutcome> {
        let cancelled = |outcome: &CancelOutcome| matches!(outcome, CancelOutcome::Cancelled { .. });
        self.after(Point::AfterCancel, self.store.cancel(id, request).await, cancelled)
    }
    async fn start(&self, starts: &[StartExecution]) -> Result<Vec<StartOutcome>> {
        self.after(Point::AfterStart, self.store.start(starts).await, |_| true)
    }
    async fn record_stops(&self, updates: &[StopUpdate]) -> Result<Vec<Option<StopState>>> {
        self.after(Point::AfterRecord, self.store.record_stops(updates).await, |_| true)
    }
    async fn release(&self, release: &Release) -> Result<bool> {
        self.after(Point::AfterRelease, self.store.release(release).await, |released| *released)
    }

    fn allows_many_nodes(&self) -> bool {
        self.store.allows_many_nodes()
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
    async fn cancel_many(&self, ids: &[JobId], request: &CancelRequest) -> Result<Vec<CancelOutcome>> {
        self.store.cancel_many(ids, request).await
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
    async fn held(&self, incarnation: IncarnationId, running: &[JobId]) -> Result<Vec<HeldJob>> {
        self.store.held(incarnation, running).await
    }
    async fn save_handles(&self, saves: &[SaveHandle]) -> Result<Vec<SaveOutcome>> {
        self.store.save_handles(saves).await
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
    async fn close_stop(&self, close: &CloseStop) -> Result<CloseStopOutcome> {
        self.store.close_stop(close).await
    }
    fn signals(&self) -> Signals {
        self.store.signals()
    }
    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64> {
        self.store.prune(keep, limit).await
    }
}
