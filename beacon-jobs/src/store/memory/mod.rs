mod ends;
mod nodes;
mod read;
mod sessions;
#[cfg(feature = "conformance")]
mod snapshot;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

use self::sessions::Sessions;
use self::state::State;
use super::{
    Claim, ClaimedJob, CloseStop, CloseStopOutcome, DrivenStops, ExecutionPage, FinishExecution, FinishJob,
    FinishJobOutcome, FinishOutcome, Heartbeat, HeldJob, JobFilter, JobList, JobStore, Joined, NodeEnd,
    NodeIdentity, NodeRecord, Release, ReportProgress, SaveHandle, SaveOutcome, Seal, SignalSender, Signals,
    StartExecution, StartOutcome, StopUpdate, Submission, Submitted, TakeStops,
};
use crate::cancel::{CancelOutcome, CancelRequest};
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::id::{IncarnationId, JobId};
use crate::job::{AuditEntry, JobDetail, JobOutline};
use crate::stop::{StopItem, StopState};

/// A store that lives as long as its process: for tests, and for jobs that need not outlive it.
/// Cloning is cheap; all clones are the same store.
///
/// Every call is one critical section, so each is atomic. Nothing is durable.
#[derive(Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    sessions: Arc<Mutex<Sessions>>,
    signals: SignalSender,
    clock: Arc<dyn Clock>,
}

impl MemoryStore {
    /// An empty store on the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store on this clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { state: Arc::default(), sessions: Arc::default(), signals: SignalSender::new(), clock }
    }

    fn read<T>(&self, act: impl FnOnce(&State, OffsetDateTime) -> T) -> T {
        act(&self.state.lock().unwrap_or_else(PoisonError::into_inner), self.clock.now())
    }

    /// One transaction: acts on the state, then tells what changed.
    fn write<T>(&self, act: impl FnOnce(&mut State, OffsetDateTime) -> T) -> T {
        let (output, signals) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let output = act(&mut state, self.clock.now());
            (output, state.settle())
        };
        for signal in signals {
            self.signals.send(signal);
        }
        output
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn submit(&self, submission: &Submission) -> Result<Submitted> {
        Ok(self.write(|state, now| state.submit(now, submission)))
    }

    async fn get(&self, id: &JobId, page: ExecutionPage) -> Result<Option<JobDetail>> {
        Ok(self.read(|state, now| state.detail(now, id, page)))
    }

    async fn outline(&self, id: &JobId) -> Result<Option<JobOutline>> {
        Ok(self.read(|state, now| state.outline(now, id)))
    }

    async fn list(&self, filter: &JobFilter) -> Result<JobList> {
        self.read(|state, now| state.list(now, filter))
    }

    async fn audit(&self, id: &JobId) -> Result<Vec<AuditEntry>> {
        Ok(self.read(|state, _| state.jobs.get(id).map(|job| job.audit.clone()).unwrap_or_default()))
    }

    async fn cancel(&self, id: &JobId, request: &CancelRequest) -> Result<CancelOutcome> {
        request.check()?;
        Ok(self.write(|state, now| state.cancel(now, id, request)))
    }

    async fn cancel_many(&self, ids: &[JobId], request: &CancelRequest) -> Result<Vec<CancelOutcome>> {
        request.check()?;
        Ok(self.write(|state, now| ids.iter().map(|id| state.cancel(now, id, request)).collect()))
    }

    async fn join(&self, node: &NodeIdentity, lease: Duration) -> Result<Joined> {
        Ok(self.write(|state, now| state.join(now, node, lease)))
    }

    async fn heartbeat(&self, incarnation: IncarnationId, lease: Duration) -> Result<Heartbeat> {
        Ok(self.write(|state, now| state.heartbeat(now, incarnation, lease)))
    }

    async fn end_node(&self, incarnation: IncarnationId, how: NodeEnd) -> Result<()> {
        self.write(|state, now| state.end_node(now, incarnation, how));
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<NodeRecord>> {
        Ok(self.read(State::nodes))
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        Ok(self.write(|state, now| state.claim(now, claim)))
    }

    async fn take_over(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        Ok(self.write(|state, now| state.take_over(now, claim)))
    }

    async fn held(&self, incarnation: IncarnationId, running: &[JobId]) -> Result<Vec<HeldJob>> {
        Ok(self.read(|state, now| state.held(now, incarnation, running)))
    }

    async fn release(&self, release: &Release) -> Result<bool> {
        Ok(self.write(|state, now| state.release(now, release)))
    }

    async fn start(&self, starts: &[StartExecution]) -> Result<Vec<StartOutcome>> {
        Ok(self.write(|state, now| starts.iter().map(|start| state.start(now, start)).collect()))
    }

    async fn save_handles(&self, saves: &[SaveHandle]) -> Result<Vec<SaveOutcome>> {
        Ok(self.write(|state, now| saves.iter().map(|save| state.rows.save_handle(now, save)).collect()))
    }

    async fn report_progress(&self, reports: &[ReportProgress]) -> Result<Vec<bool>> {
        Ok(self.write(|state, _| reports.iter().map(|report| state.rows.report_progress(report)).collect()))
    }

    async fn seal(&self, seals: &[Seal]) -> Result<()> {
        self.write(|state, now| {
            for seal in seals {
                state.rows.seal(now, *seal);
            }
        });
        Ok(())
    }

    async fn finish(&self, finishes: &[FinishExecution]) -> Result<Vec<FinishOutcome>> {
        Ok(self.write(|state, now| finishes.iter().map(|finish| state.rows.finish(now, finish)).collect()))
    }

    async fn finish_job(&self, finish: &FinishJob) -> Result<FinishJobOutcome> {
        Ok(self.write(|state, now| state.finish_job(now, finish)))
    }

    async fn take_stops(&self, take: &TakeStops) -> Result<Vec<StopItem>> {
        Ok(self.write(|state, now| state.take_stops(now, take)))
    }

    async fn record_stops(&self, updates: &[StopUpdate]) -> Result<Vec<Option<StopState>>> {
        Ok(self
            .write(|state, now| updates.iter().map(|update| state.rows.record_stop(now, update)).collect()))
    }

    async fn driven_stops(&self) -> Result<Vec<DrivenStops>> {
        Ok(self.read(|state, now| state.driven_stops(now)))
    }

    async fn close_stop(&self, close: &CloseStop) -> Result<CloseStopOutcome> {
        Ok(self.write(|state, now| state.close_stop(now, close)))
    }

    fn signals(&self) -> Signals {
        self.signals.subscribe()
    }

    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64> {
        Ok(self.write(|state, now| state.prune(now, keep, limit)))
    }
}
