//! A store wrapper that runs a hook before and after every call of the runner.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::cancel::{CancelOutcome, CancelRequest};
use beacon_jobs::job::{AuditEntry, JobDetail};
use beacon_jobs::stop::{StopItem, StopState};
use beacon_jobs::store::*;
use beacon_jobs::{Error, IncarnationId, JobId, Result};
use tokio::sync::Semaphore;

/// What the hook says: go on, or answer with this error instead.
pub type Answer = Pin<Box<dyn Future<Output = Option<Error>> + Send>>;
/// Given the call's name and whether it is before (`true`) or after.
pub type Hook = Arc<dyn Fn(&'static str, bool) -> Answer + Send + Sync>;

#[derive(Clone)]
pub struct Probe {
    pub store: Arc<dyn JobStore>,
    pub hook: Hook,
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.store, f)
    }
}

impl Probe {
    pub fn new(store: &Arc<dyn JobStore>, hook: Hook) -> Self {
        Self { store: Arc::clone(store), hook }
    }

    /// A store on which calls of this name wait for a permit, that they give back.
    pub fn gated(store: &Arc<dyn JobStore>, call: &'static str, gate: &Arc<Semaphore>) -> Self {
        let gate = Arc::clone(gate);
        let hook: Hook = Arc::new(move |name, before| {
            let gate = Arc::clone(&gate);
            Box::pin(async move {
                if name == call && before {
                    let _permit = gate.acquire().await;
                }
                None
            })
        });
        Self::new(store, hook)
    }

    async fn around<T>(&self, name: &'static str, call: impl Future<Output = Result<T>> + Send) -> Result<T>
    where
        T: Send,
    {
        if let Some(error) = (self.hook)(name, true).await {
            return Err(error);
        }
        let output = call.await;
        if let Some(error) = (self.hook)(name, false).await {
            return Err(error);
        }
        output
    }
}

#[async_trait]
impl JobStore for Probe {
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
    async fn cancel(&self, id: &JobId, request: &CancelRequest) -> Result<CancelOutcome> {
        self.around("cancel", self.store.cancel(id, request)).await
    }
    async fn cancel_many(&self, ids: &[JobId], request: &CancelRequest) -> Result<Vec<CancelOutcome>> {
        self.around("cancel_many", self.store.cancel_many(ids, request)).await
    }
    async fn join(&self, node: &NodeIdentity, lease: Duration) -> Result<Joined> {
        self.around("join", self.store.join(node, lease)).await
    }
    async fn heartbeat(&self, incarnation: IncarnationId, lease: Duration) -> Result<Heartbeat> {
        self.around("heartbeat", self.store.heartbeat(incarnation, lease)).await
    }
    async fn end_node(&self, incarnation: IncarnationId, how: NodeEnd) -> Result<()> {
        self.around("end_node", self.store.end_node(incarnation, how)).await
    }
    async fn nodes(&self) -> Result<Vec<NodeRecord>> {
        self.store.nodes().await
    }
    async fn claim(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        self.around("claim", self.store.claim(claim)).await
    }
    async fn take_over(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        self.around("take_over", self.store.take_over(claim)).await
    }
    async fn held(&self, incarnation: IncarnationId, running: &[JobId]) -> Result<Vec<HeldJob>> {
        self.around("held", self.store.held(incarnation, running)).await
    }
    async fn release(&self, release: &Release) -> Result<bool> {
        self.around("release", self.store.release(release)).await
    }
    async fn start(&self, starts: &[StartExecution]) -> Result<Vec<StartOutcome>> {
        self.around("start", self.store.start(starts)).await
    }
    async fn save_handles(&self, saves: &[SaveHandle]) -> Result<Vec<SaveOutcome>> {
        self.around("save_handles", self.store.save_handles(saves)).await
    }
    async fn seal(&self, seals: &[Seal]) -> Result<()> {
        self.around("seal", self.store.seal(seals)).await
    }
    async fn finish(&self, finishes: &[FinishExecution]) -> Result<Vec<FinishOutcome>> {
        self.around("finish", self.store.finish(finishes)).await
    }
    async fn finish_job(&self, finish: &FinishJob) -> Result<FinishJobOutcome> {
        self.around("finish_job", self.store.finish_job(finish)).await
    }
    async fn take_stops(&self, take: &TakeStops) -> Result<Vec<StopItem>> {
        self.around("take_stops", self.store.take_stops(take)).await
    }
    async fn record_stops(&self, updates: &[StopUpdate]) -> Result<Vec<Option<StopState>>> {
        self.around("record_stops", self.store.record_stops(updates)).await
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
