use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::cancel::{CancelOutcome, CancelRequest};
use beacon_jobs::job::{AuditEntry, JobDetail, JobOutline};
use beacon_jobs::stop::{StopItem, StopState};
use beacon_jobs::store::{
    Claim, ClaimedJob, CloseStop, CloseStopOutcome, DrivenStops, ExecutionPage, FinishExecution, FinishJob,
    FinishJobOutcome, FinishOutcome, Heartbeat, HeldJob, JobFilter, JobList, JobStore, Joined, NodeEnd,
    NodeIdentity, NodeRecord, Release, ReportProgress, SaveHandle, SaveOutcome, Seal, Signals,
    StartExecution, StartOutcome, StopUpdate, Submission, Submitted, TakeStops,
};
use beacon_jobs::{Error, IncarnationId, JobId, Result};
use serde_json::{Value, json};

/// A store that keeps jobs in another one, and writes a line of JSON for every cancel that was
/// asked for, whatever became of it: a trail outside the database, for who watches the whole house.
///
/// A line is written after the store has answered and before the caller is told. Where the process
/// dies in between, the line is missing; the store's own audit entry, which is part of the cancel's
/// commit, is not.
#[derive(Clone)]
pub(crate) struct JournaledStore<S> {
    store: S,
    journal: Arc<Mutex<dyn Write + Send>>,
}

impl<S: JobStore> JournaledStore<S> {
    /// Journals the cancels of this store.
    pub(crate) fn new(store: S, journal: impl Write + Send + 'static) -> Self {
        Self { store, journal: Arc::new(Mutex::new(journal)) }
    }

    fn note(&self, id: &JobId, request: &CancelRequest, outcome: Result<&CancelOutcome, &Error>) {
        let answer = match outcome {
            Ok(outcome) => word(outcome).to_owned(),
            Err(error) => error.to_string(),
        };
        let entry = json!({ "job": id, "by": request.by.name(), "reason": request.reason, "answer": answer });
        if let Err(error) = self.write(&entry) {
            // The cancel is committed: that its line could not be written must not hide that.
            tracing::error!(%error, %entry, "a cancel is missing from the journal");
        }
    }

    fn write(&self, entry: &Value) -> io::Result<()> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(journal, "{entry}")?;
        journal.flush()
    }
}

/// What a cancel came to, in one word.
fn word(outcome: &CancelOutcome) -> &'static str {
    match outcome {
        CancelOutcome::Cancelled { .. } => "cancelled",
        CancelOutcome::AlreadyCancelled { escalation: Some(_), .. } => "escalated",
        CancelOutcome::AlreadyCancelled { .. } => "already_cancelled",
        CancelOutcome::AlreadyFinished { .. } => "already_finished",
        CancelOutcome::NotYours => "not_yours",
        CancelOutcome::NotFound => "not_found",
        _ => "other",
    }
}

/// A wrapper forwards every method, also those that have a default body.
#[async_trait]
impl<S: JobStore> JobStore for JournaledStore<S> {
    async fn cancel(&self, id: &JobId, request: &CancelRequest) -> Result<CancelOutcome> {
        let outcome = self.store.cancel(id, request).await;
        self.note(id, request, outcome.as_ref());
        outcome
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

    async fn outline(&self, id: &JobId) -> Result<Option<JobOutline>> {
        self.store.outline(id).await
    }

    async fn list(&self, filter: &JobFilter) -> Result<JobList> {
        self.store.list(filter).await
    }

    async fn audit(&self, id: &JobId) -> Result<Vec<AuditEntry>> {
        self.store.audit(id).await
    }

    async fn cancel_many(&self, ids: &[JobId], request: &CancelRequest) -> Result<Vec<CancelOutcome>> {
        let outcomes = self.store.cancel_many(ids, request).await;
        for (place, id) in ids.iter().enumerate() {
            // One that the store did not answer for has no line.
            match &outcomes {
                Ok(outcomes) => outcomes.get(place).into_iter().for_each(|it| self.note(id, request, Ok(it))),
                Err(error) => self.note(id, request, Err(error)),
            }
        }
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

    async fn save_handles(&self, saves: &[SaveHandle]) -> Result<Vec<SaveOutcome>> {
        self.store.save_handles(saves).await
    }

    async fn report_progress(&self, reports: &[ReportProgress]) -> Result<Vec<bool>> {
        self.store.report_progress(reports).await
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

    async fn driven_stops(&self) -> Result<Vec<DrivenStops>> {
        self.store.driven_stops().await
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

impl<S: JobStore> fmt::Display for JournaledStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, journaled", self.store)
    }
}

impl<S: JobStore> fmt::Debug for JournaledStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournaledStore").field("store", &self.store).finish_non_exhaustive()
    }
}
