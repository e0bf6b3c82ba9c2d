use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::cancel::{CancelOutcome, CancelRequest};
use beacon_jobs::job::{AuditEntry, JobDetail};
use beacon_jobs::stop::{StopItem, StopState};
use beacon_jobs::store::*;
use beacon_jobs::{Error, ErrorKind, IncarnationId, JobId, Result};
use tokio::sync::Notify;

/// What befalls the calls that the API makes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// The store is out of reach before the call.
    Away,
    /// The call is committed, and its answer is lost.
    ReplyLost,
    /// Reads fail, writes work.
    BlindReads,
    /// The store holds what cannot be read. The text is what a store would say of it.
    Corrupt(&'static str),
    /// The call is committed; then tells `reached`, and answers after `go`.
    Slow { reached: Arc<Notify>, go: Arc<Notify> },
}

/// A store whose calls by the API fail on demand. All clones fail together.
#[derive(Clone)]
pub(crate) struct FaultyStore {
    inner: Arc<dyn JobStore>,
    fault: Arc<Mutex<Fault>>,
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn JobStore>) -> Self {
        Self { inner, fault: Arc::default() }
    }

    /// The store without its faults.
    pub(crate) fn inner(&self) -> &Arc<dyn JobStore> {
        &self.inner
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    async fn read<T>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let fault = self.fault.lock().unwrap().clone();
        match fault {
            Fault::Away | Fault::BlindReads => Err(away()),
            Fault::Corrupt(text) => Err(Error::new(ErrorKind::Corrupt, text)),
            _ => call.await,
        }
    }

    async fn write<T: Send>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let fault = self.fault.lock().unwrap().clone();
        match fault {
            Fault::Away => Err(away()),
            Fault::Corrupt(text) => Err(Error::new(ErrorKind::Corrupt, text)),
            Fault::ReplyLost => {
                call.await?;
                Err(Error::new(ErrorKind::OutcomeUnknown, "lost at /var/lib/secret-place/jobs.db"))
            }
            Fault::Slow { reached, go } => {
                let answer = call.await;
                reached.notify_one();
                go.notified().await;
                answer
            }
            Fault::None | Fault::BlindReads => call.await,
        }
    }
}

fn away() -> Error {
    Error::new(ErrorKind::Unavailable, "database /var/lib/secret-place/jobs.db is locked")
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

#[async_trait]
impl JobStore for FaultyStore {
    fn allows_many_nodes(&self) -> bool {
        self.inner.allows_many_nodes()
    }
    fn hears_all_nodes(&self) -> bool {
        self.inner.hears_all_nodes()
    }
    async fn check(&self) -> Result<()> {
        self.read(self.inner.check()).await
    }
    async fn submit(&self, submission: &Submission) -> Result<Submitted> {
        self.write(self.inner.submit(submission)).await
    }
    async fn get(&self, id: &JobId, page: ExecutionPage) -> Result<Option<JobDetail>> {
        self.read(self.inner.get(id, page)).await
    }
    async fn list(&self, filter: &JobFilter) -> Result<JobList> {
        self.read(self.inner.list(filter)).await
    }
    async fn audit(&self, id: &JobId) -> Result<Vec<AuditEntry>> {
        self.read(self.inner.audit(id)).await
    }
    async fn cancel(&self, id: &JobId, request: &CancelRequest) -> Result<CancelOutcome> {
        self.write(self.inner.cancel(id, request)).await
    }
    async fn cancel_many(&self, ids: &[JobId], request: &CancelRequest) -> Result<Vec<CancelOutcome>> {
        self.write(self.inner.cancel_many(ids, request)).await
    }
    async fn join(&self, node: &NodeIdentity, lease: Duration) -> Result<Joined> {
        self.inner.join(node, lease).await
    }
    async fn heartbeat(&self, incarnation: IncarnationId, lease: Duration) -> Result<Heartbeat> {
        self.inner.heartbeat(incarnation, lease).await
    }
    async fn end_node(&self, incarnation: IncarnationId, how: NodeEnd) -> Result<()> {
        self.inner.end_node(incarnation, how).await
    }
    async fn nodes(&self) -> Result<Vec<NodeRecord>> {
        self.inner.nodes().await
    }
    async fn claim(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        self.inner.claim(claim).await
    }
    async fn take_over(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        self.inner.take_over(claim).await
    }
    async fn held(&self, incarnation: IncarnationId, running: &[JobId]) -> Result<Vec<HeldJob>> {
        self.inner.held(incarnation, running).await
    }
    async fn release(&self, release: &Release) -> Result<bool> {
        self.inner.release(release).await
    }
    async fn start(&self, starts: &[StartExecution]) -> Result<Vec<StartOutcome>> {
        self.inner.start(starts).await
    }
    async fn save_handles(&self, saves: &[SaveHandle]) -> Result<Vec<SaveOutcome>> {
        self.inner.save_handles(saves).await
    }
    async fn seal(&self, seals: &[Seal]) -> Result<()> {
        self.inner.seal(seals).await
    }
    async fn finish(&self, finishes: &[FinishExecution]) -> Result<Vec<FinishOutcome>> {
        self.inner.finish(finishes).await
    }
    async fn finish_job(&self, finish: &FinishJob) -> Result<FinishJobOutcome> {
        self.inner.finish_job(finish).await
    }
    async fn take_stops(&self, take: &TakeStops) -> Result<Vec<StopItem>> {
        self.inner.take_stops(take).await
    }
    async fn record_stops(&self, updates: &[StopUpdate]) -> Result<Vec<Option<StopState>>> {
        self.inner.record_stops(updates).await
    }
    async fn close_stop(&self, close: &CloseStop) -> Result<CloseStopOutcome> {
        self.inner.close_stop(close).await
    }
    fn signals(&self) -> Signals {
        self.inner.signals()
    }
    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64> {
        self.inner.prune(keep, limit).await
    }
}
