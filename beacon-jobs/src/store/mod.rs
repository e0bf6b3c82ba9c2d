//! Where jobs live: the [`JobStore`] trait and the stores that come with the crate.

mod memory;
mod node;
#[cfg(feature = "postgres")]
pub mod postgres;
mod progress;
mod query;
mod rules;
mod session;
mod signal;
#[cfg(feature = "conformance")]
pub mod snapshot;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod stops;
mod submit;

use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use memory::MemoryStore;
pub use node::{Heartbeat, Joined, NodeEnd, NodeIdentity, NodeRecord};
pub use progress::{
    Claim, ClaimedExecution, ClaimedJob, ExecutionResult, Fence, FinishExecution, FinishJob,
    FinishJobOutcome, FinishOutcome, HeldJob, PastAttempt, Refusal, Release, ReportProgress, SaveHandle,
    SaveOutcome, Seal, StartExecution, StartOutcome,
};
pub use query::{ExecutionPage, JobFilter, JobList};
pub use session::{NewSession, Session, SessionStore, TokenHash};
pub use signal::{Signal, SignalSender, Signals};
pub use stops::{
    CloseStop, CloseStopOutcome, DrivenStops, HostBound, StopAge, StopAnswer, StopUpdate, TakeStops,
};
pub use submit::{Submission, Submitted};

use crate::cancel::{CancelOutcome, CancelRequest};
use crate::error::Result;
use crate::id::{IncarnationId, JobId};
use crate::job::{AuditEntry, JobDetail, JobOutline};
use crate::stop::{StopItem, StopState};

/// Keeps jobs, and decides every race about them.
///
/// # Contract
/// - **Atomic.** Each call is one transaction: all of it happened, or nothing. A call over many
///   rows gives one answer a row, in the order asked, and the rows of one call may share their
///   transaction with other callers.
/// - **Durable.** `Ok` means committed, as durable as the store is.
/// - **Errors.** [`Unavailable`](crate::ErrorKind::Unavailable): nothing was changed.
///   [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown): the commit may have happened. Every
///   write may be repeated with the same ids and then gives the same answer.
/// - **One outcome.** A terminal status of a job or execution never changes.
/// - **Fenced.** Writes that change a status, an outcome or the current attempt carry a [`Fence`]
///   and are refused unless it equals the job row's. Facts about an attempt (handle, seal, stop
///   answers, late output) are not fenced and only move forward.
/// - **The commit that ends an attempt requests its stop**, if the attempt passed the start barrier
///   and did not complete, whether or not a handle is known.
/// - **Time** is the store's own clock.
///
/// # State × call → outcome
///
/// | job | `claim` | `start` | `save_handles` | `finish` | `finish_job` | `cancel` |
/// |---|---|---|---|---|---|---|
/// | absent | - | `Refused(Lost)` | `Refused(Lost)` | `Refused(Lost)` | `Refused(Lost)` | `NotFound` |
/// | queued | taken, epoch + 1 | `Refused(Lost)` | recorded, `Refused(Lost)` | `Refused(Lost)` | `Refused(Lost)` | `Cancelled` |
/// | running, fence equal | - | `Started`, once | recorded, `Granted` | `Finished` | outcome, once all executions are over | `Cancelled` |
/// | running, fence differs | - | `Refused(Lost)` | recorded, `Refused(Lost)`, stop requested unless watchable | `Refused(Lost)`, stop requested unless watchable | `Refused(Lost)` | `Cancelled` |
/// | cancelled | - | `Refused(Cancelled)` | recorded, `Refused(Cancelled)`, stop requested | `Refused(Cancelled)`, output kept as late | `Refused(Cancelled)` | `AlreadyCancelled` |
/// | completed, failed | - | `Refused(Finished)` | recorded, `Refused(Finished)`, stop requested | `Refused(Finished)`, output kept as late | `Finished` with the same status | `AlreadyFinished` |
///
/// An attempt is *watchable* while it is under way and its handle was known before: whoever holds the
/// job answers for it, and a former holder's word does not end it.
///
/// # Wrappers
/// A store that wraps another forwards every method, also those with a default body.
///
/// Every store is run through [`store_conformance!`](crate::store_conformance).
#[async_trait]
pub trait JobStore: Display + Debug + Send + Sync + 'static {
    /// Whether more than one node may run on this store at a time.
    fn allows_many_nodes(&self) -> bool {
        true
    }

    /// Whether hints of all nodes arrive just now, so that looking at the store is worth less often.
    fn hears_all_nodes(&self) -> bool {
        false
    }

    /// Tells whether the store can be read and written now.
    ///
    /// # Errors
    /// `Unavailable` when it can't.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    async fn check(&self) -> Result<()>;

    /// Takes a job in, with a row for each of its executions.
    ///
    /// | the id, or the key of this owner | outcome |
    /// |---|---|
    /// | both free | `Created` |
    /// | taken by the same owner with an equal spec, and the spec names no other id | `Existing` |
    /// | taken otherwise | `Conflict`, nothing changed |
    ///
    /// # Cancellation safety
    /// When dropped, the job may or may not be taken in.
    async fn submit(&self, submission: &Submission) -> Result<Submitted>;

    /// Reads a job with a page of its executions.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    async fn get(&self, id: &JobId, page: ExecutionPage) -> Result<Option<JobDetail>>;

    /// Reads a job with the state of all its executions, as of one moment: what
    /// [`get`](Self::get) of all of them tells, without their labels, inputs and outputs. Those who
    /// watch a job read this at each of its changes, so a store that can leave the rest unread does.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    async fn outline(&self, id: &JobId) -> Result<Option<JobOutline>> {
        Ok(self.get(id, ExecutionPage::ALL).await?.map(JobOutline::from))
    }

    /// Reads jobs, newest first.
    ///
    /// # Errors
    /// `InvalidInput` on `cursor` when it did not come from an earlier answer.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    async fn list(&self, filter: &JobFilter) -> Result<JobList>;

    /// Reads what was done to a job, oldest first.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    async fn audit(&self, id: &JobId) -> Result<Vec<AuditEntry>>;

    /// Cancels a job: it, and each of its executions without an outcome, becomes cancelled; the
    /// stop of each attempt under way is requested; an audit entry is written. One commit.
    ///
    /// Of many callers at once exactly one is told [`CancelOutcome::Cancelled`].
    ///
    /// # Errors
    /// `InvalidInput` when the request is not legal.
    ///
    /// # Cancellation safety
    /// When dropped, the cancel may or may not be committed.
    async fn cancel(&self, id: &JobId, request: &CancelRequest) -> Result<CancelOutcome>;

    /// Cancels many jobs in one commit, and answers for each in the order asked: as
    /// [`cancel`](Self::cancel) of one after another would, so that a job named twice is told the
    /// second time that it was cancelled before.
    ///
    /// # Errors
    /// `InvalidInput` when the request is not legal. Any error: none of them was cancelled by this
    /// call, but for `OutcomeUnknown`.
    ///
    /// # Cancellation safety
    /// When dropped, the cancels may or may not be committed, all together.
    async fn cancel_many(&self, ids: &[JobId], request: &CancelRequest) -> Result<Vec<CancelOutcome>>;

    /// Enters a new incarnation of a node, with a lease of this length.
    ///
    /// On a store that allows only one node, another live one makes the answer
    /// [`Joined::Occupied`]. Repeated with the same incarnation: `Joined`, and nothing is renewed.
    ///
    /// # Cancellation safety
    /// When dropped, the node may or may not be entered.
    async fn join(&self, node: &NodeIdentity, lease: Duration) -> Result<Joined>;

    /// Renews the lease of a live incarnation: it then runs from now for this length, also if that
    /// is shorter. One that ran out is lost for good.
    ///
    /// # Cancellation safety
    /// When dropped, the lease may or may not be renewed.
    async fn heartbeat(&self, incarnation: IncarnationId, lease: Duration) -> Result<Heartbeat>;

    /// Records that an incarnation has ended, and how that is known. The first record stays.
    ///
    /// # Cancellation safety
    /// When dropped, the end may or may not be recorded.
    async fn end_node(&self, incarnation: IncarnationId, how: NodeEnd) -> Result<()>;

    /// Reads the incarnations that are not known to have ended.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    async fn nodes(&self) -> Result<Vec<NodeRecord>>;

    /// Takes queued jobs, first come first served, whose executors the node has all.
    /// Nothing for an incarnation whose lease is not live.
    ///
    /// # Cancellation safety
    /// When dropped, jobs may be taken; [`held`](Self::held) finds them.
    async fn claim(&self, claim: &Claim) -> Result<Vec<ClaimedJob>>;

    /// Takes running jobs whose owner has ended, has a lease that ran out, or is absent, also those
    /// whose executions are all over; and jobs that this incarnation owns but is not running
    /// (those not in [`Claim::running`]). Epoch + 1.
    ///
    /// # Cancellation safety
    /// As [`claim`](Self::claim).
    async fn take_over(&self, claim: &Claim) -> Result<Vec<ClaimedJob>>;

    /// Reads the state of the jobs that an incarnation owns, and of those that it says it runs.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    async fn held(&self, incarnation: IncarnationId, running: &[JobId]) -> Result<Vec<HeldJob>>;

    /// Gives a running job back without a status, to be taken over at once, and seals the attempts
    /// named. `false` when the fence is not the job's or the job is not running.
    ///
    /// # Cancellation safety
    /// When dropped, the job may or may not be given back.
    async fn release(&self, release: &Release) -> Result<bool>;

    /// The start barrier: moves executions from queued to starting, and adds their attempts.
    ///
    /// | execution | outcome |
    /// |---|---|
    /// | queued | `Started` with the attempt's number |
    /// | queued, an older attempt's stop is not settled, no overlap allowed | `Refused(StopOpen)` |
    /// | starting, by this very attempt, its stop not requested | `Started` again |
    /// | otherwise | `Refused(Finished)`, or `Refused(Lost)` when another attempt is under way |
    ///
    /// # Cancellation safety
    /// When dropped, the barrier may be passed; the same call again tells.
    async fn start(&self, starts: &[StartExecution]) -> Result<Vec<StartOutcome>>;

    /// Records handles on their attempts, always, and grants the permit to begin where the job
    /// runs under this fence, the attempt is current and its stop is not requested: the execution
    /// becomes running. A refusal requests the stop in the same commit, unless the attempt is watchable
    /// by another holder; where the stop was requested before, a handle that was not known makes it
    /// due at once, and reopens it if it was settled.
    ///
    /// # Cancellation safety
    /// When dropped, the handle may or may not be saved; the same call again tells.
    async fn save_handles(&self, saves: &[SaveHandle]) -> Result<Vec<SaveOutcome>>;

    /// Records how far attempts have come, in the place of what was told of them before, where the job
    /// runs under this fence and the attempt is current. Tells of which it was recorded; of the others
    /// nothing was changed. The next attempt begins without.
    ///
    /// # Cancellation safety
    /// When dropped, the progress may or may not be recorded.
    async fn report_progress(&self, reports: &[ReportProgress]) -> Result<Vec<bool>>;

    /// Records that no request which creates or begins these attempts is, or will be, under way. An
    /// open stop becomes due at once. The strongest seal stays; a seal by the minter after one by
    /// time reopens a stop that was confirmed meanwhile. Unknown attempts are passed over.
    ///
    /// # Cancellation safety
    /// When dropped, the seal may or may not be recorded.
    async fn seal(&self, seals: &[Seal]) -> Result<()>;

    /// Records how attempts ended. A completed one makes its execution completed; any other
    /// result requests the attempt's stop in the same commit, and the execution fails or returns
    /// to queued as the result says. A refused output is kept as the attempt's late output. An
    /// execution that waits for another attempt may be failed by its last one.
    ///
    /// # Cancellation safety
    /// When dropped, the end may or may not be recorded; the same call again tells.
    async fn finish(&self, finishes: &[FinishExecution]) -> Result<Vec<FinishOutcome>>;

    /// Gives a job its outcome: completed or failed by the share of completed executions, once all
    /// are over; or failed for lack of time, with every unfinished execution failed (kind timeout)
    /// and its attempt's stop requested.
    ///
    /// # Cancellation safety
    /// When dropped, the outcome may or may not be recorded; the same call again tells.
    async fn finish_job(&self, finish: &FinishJob) -> Result<FinishJobOutcome>;

    /// Takes stops that are due, of these executors, those first that have been due longest,
    /// and makes them due again after [`TakeStops::hold`], so that others do not drive them
    /// meanwhile. Open ones are due until they are settled, and some settled ones are watched. After a
    /// crash of the store what was taken may be due again at once.
    ///
    /// # Cancellation safety
    /// When dropped, stops may be held back for that time.
    async fn take_stops(&self, take: &TakeStops) -> Result<Vec<StopItem>>;

    /// Records what stop calls brought. Returns the state each attempt is now in, `None` for an
    /// unknown one.
    ///
    /// | stop | `Ended` | `Acknowledged` | `Nothing`, `Unconfirmed` |
    /// |---|---|---|---|
    /// | not requested | `not_needed` | `not_needed` | `not_needed` |
    /// | open, the attempt seen sealed before the call, or the stop itself seals it | `confirmed`; watched if the seal is by time and [`StopUpdate::watch`] | `acknowledged` | no change, `unconfirmed` |
    /// | open, otherwise, or another answer came since [`StopUpdate::seen_tries`] | `acknowledged` | `acknowledged` | no change, `unconfirmed` |
    /// | confirmed, and so before the call | `confirmed` | open again, `acknowledged` | no change |
    /// | confirmed since the call began | no change | no change | no change |
    ///
    /// What was shown as `unconfirmed` stays so until it is confirmed.
    ///
    /// # Cancellation safety
    /// When dropped, the answer may or may not be recorded.
    async fn record_stops(&self, updates: &[StopUpdate]) -> Result<Vec<Option<StopState>>>;

    /// Counts the stops that are driven: due now or later, and not confirmed. No two counts are of the
    /// same state and age; one of nothing may be left out.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    async fn driven_stops(&self) -> Result<Vec<DrivenStops>>;

    /// Closes a stop that cannot be confirmed, by an administrator, on record.
    ///
    /// # Cancellation safety
    /// When dropped, the stop may or may not be closed.
    async fn close_stop(&self, close: &CloseStop) -> Result<CloseStopOutcome>;

    /// Hints about changes, from now on. They make things fast; nothing depends on their arrival.
    fn signals(&self) -> Signals {
        Signals::none()
    }

    /// Deletes jobs that had their outcome longer than `keep` ago and have no stop that is open or
    /// watched, at most
    /// `limit` of them, and ended nodes to which nothing refers. Returns how many jobs.
    ///
    /// # Cancellation safety
    /// When dropped, jobs may or may not be deleted.
    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64>;
}

#[async_trait]
impl<S: JobStore + ?Sized> JobStore for Arc<S> {
    fn allows_many_nodes(&self) -> bool {
        (**self).allows_many_nodes()
    }
    fn hears_all_nodes(&self) -> bool {
        (**self).hears_all_nodes()
    }
    async fn check(&self) -> Result<()> {
        (**self).check().await
    }
    async fn submit(&self, submission: &Submission) -> Result<Submitted> {
        (**self).submit(submission).await
    }
    async fn get(&self, id: &JobId, page: ExecutionPage) -> Result<Option<JobDetail>> {
        (**self).get(id, page).await
    }
    async fn outline(&self, id: &JobId) -> Result<Option<JobOutline>> {
        (**self).outline(id).await
    }
    async fn list(&self, filter: &JobFilter) -> Result<JobList> {
        (**self).list(filter).await
    }
    async fn audit(&self, id: &JobId) -> Result<Vec<AuditEntry>> {
        (**self).audit(id).await
    }
    async fn cancel(&self, id: &JobId, request: &CancelRequest) -> Result<CancelOutcome> {
        (**self).cancel(id, request).await
    }
    async fn cancel_many(&self, ids: &[JobId], request: &CancelRequest) -> Result<Vec<CancelOutcome>> {
        (**self).cancel_many(ids, request).await
    }
    async fn join(&self, node: &NodeIdentity, lease: Duration) -> Result<Joined> {
        (**self).join(node, lease).await
    }
    async fn heartbeat(&self, incarnation: IncarnationId, lease: Duration) -> Result<Heartbeat> {
        (**self).heartbeat(incarnation, lease).await
    }
    async fn end_node(&self, incarnation: IncarnationId, how: NodeEnd) -> Result<()> {
        (**self).end_node(incarnation, how).await
    }
    async fn nodes(&self) -> Result<Vec<NodeRecord>> {
        (**self).nodes().await
    }
    async fn claim(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        (**self).claim(claim).await
    }
    async fn take_over(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        (**self).take_over(claim).await
    }
    async fn held(&self, incarnation: IncarnationId, running: &[JobId]) -> Result<Vec<HeldJob>> {
        (**self).held(incarnation, running).await
    }
    async fn release(&self, release: &Release) -> Result<bool> {
        (**self).release(release).await
    }
    async fn start(&self, starts: &[StartExecution]) -> Result<Vec<StartOutcome>> {
        (**self).start(starts).await
    }
    async fn save_handles(&self, saves: &[SaveHandle]) -> Result<Vec<SaveOutcome>> {
        (**self).save_handles(saves).await
    }
    async fn report_progress(&self, reports: &[ReportProgress]) -> Result<Vec<bool>> {
        (**self).report_progress(reports).await
    }

    async fn seal(&self, seals: &[Seal]) -> Result<()> {
        (**self).seal(seals).await
    }
    async fn finish(&self, finishes: &[FinishExecution]) -> Result<Vec<FinishOutcome>> {
        (**self).finish(finishes).await
    }
    async fn finish_job(&self, finish: &FinishJob) -> Result<FinishJobOutcome> {
        (**self).finish_job(finish).await
    }
    async fn take_stops(&self, take: &TakeStops) -> Result<Vec<StopItem>> {
        (**self).take_stops(take).await
    }
    async fn record_stops(&self, updates: &[StopUpdate]) -> Result<Vec<Option<StopState>>> {
        (**self).record_stops(updates).await
    }
    async fn driven_stops(&self) -> Result<Vec<DrivenStops>> {
        (**self).driven_stops().await
    }
    async fn close_stop(&self, close: &CloseStop) -> Result<CloseStopOutcome> {
        (**self).close_stop(close).await
    }
    fn signals(&self) -> Signals {
        (**self).signals()
    }
    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64> {
        (**self).prune(keep, limit).await
    }
}
