use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::execution;
use super::limits::Limits;
use super::node::Node;
use crate::cancel::CancelReason;
use crate::clock::within;
use crate::context::{JobContext, Scope};
use crate::id::AttemptId;
use crate::job::lanes;
use crate::store::{ClaimedJob, Fence, FinishJob, FinishJobOutcome, Refusal, Release};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What the runner's loops see of a job that runs here.
#[derive(Clone, Debug)]
pub(super) struct RunningJob {
    pub(super) fence: Fence,
    pub(super) scope: Arc<Scope>,
}

/// What the executions of a running job share.
#[derive(Debug)]
pub(super) struct JobRun {
    pub(super) node: Arc<Node>,
    pub(super) claimed: ClaimedJob,
    pub(super) scope: Arc<Scope>,
    pub(super) limit: Option<Arc<Semaphore>>,
    /// Attempts under way.
    pub(super) attempts: TaskTracker,
    /// Attempts that are handed over as they are.
    pub(super) detached: Mutex<Vec<AttemptId>>,
    /// Fires when the runner drains or the job's context ends.
    pub(super) no_more: CancellationToken,
}

impl JobRun {
    /// A write was refused: whoever ended or took the job says so in the store.
    pub(super) fn heed(&self, refusal: Refusal) {
        if refusal == Refusal::Cancelled {
            self.scope.bar();
        }
        self.node.look_at(&self.claimed.id);
    }

    pub(super) fn detach(&self, attempt: AttemptId) {
        self.detached.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
    }
}

/// Runs a claimed job in a task of its own.
pub(super) fn spawn(node: &Arc<Node>, mut claimed: ClaimedJob, context: JobContext) {
    claimed.times_of(node.clock().now());
    let scope = Arc::clone(context.scope());
    let no_more = node.draining.child_token();
    node.running.insert(claimed.id.clone(), RunningJob { fence: claimed.fence, scope: Arc::clone(&scope) });
    if let Some(seconds) = claimed.rules.timeout_seconds {
        context.set_deadline(claimed.started_at + Duration::from_secs(seconds));
    }
    let run = Arc::new(JobRun {
        node: Arc::clone(node),
        scope,
        limit: Limits::of_job(claimed.rules.max_parallel),
        attempts: TaskTracker::new(),
        detached: Mutex::default(),
        no_more,
        claimed,
    });
    let span = tracing::info_span!("job", job.id = %run.claimed.id, epoch = run.claimed.fence.epoch);
    node.work.spawn(async move { drive(&run, context).await }.instrument(span));
}

async fn drive(run: &Arc<JobRun>, context: JobContext) {
    let node = &run.node;
    let ended = {
        let lanes = run_lanes(run);
        tokio::select! {
            biased;
            reason = context.cancelled() => Some(reason),
            () = lanes => None,
        }
    };
    run.no_more.cancel();
    match ended {
        Some(reason) => end(run, &reason).await,
        None => {
            // While a drain goes on, attempts that the lanes no longer wait for may still run.
            let reason = tokio::select! {
                biased;
                reason = context.cancelled() => Some(reason),
                () = settle_attempts(run) => None,
            };
            match reason {
                Some(reason) => end(run, &reason).await,
                None => conclude(run).await,
            }
        }
    }
    node.running.remove(&run.claimed.id);
    drop(context);
    node.wake.claim.notify_one();
}

/// Runs lanes side by side, their steps one after another, and a step's executions side by side.
async fn run_lanes(run: &Arc<JobRun>) {
    let specs = run.claimed.executions.iter().map(|execution| &execution.spec);
    let mut lanes: FuturesUnordered<_> = lanes(specs)
        .into_iter()
        .map(|steps| async move {
            for step in steps {
                let mut step: FuturesUnordered<_> =
                    step.into_iter().map(|index| execution::run(run, index)).collect();
                while step.next().await.is_some() {}
                if run.no_more.is_cancelled() {
                    return;
                }
            }
        })
        .collect();
    while lanes.next().await.is_some() {}
}

async fn settle_attempts(run: &JobRun) {
    run.attempts.close();
    run.attempts.wait().await;
}

/// The context ended before the executions did.
async fn end(run: &Arc<JobRun>, reason: &CancelReason) {
    tracing::info!(%reason, "the job's context ended");
    if *reason == CancelReason::Deadline {
        finish(run, true).await;
    }
    // Attempts end by themselves: after their grace, and after the requests they have under way.
    // Whatever takes longer than the limit goes on in its own task.
    let grace = crate::cancel::CancelRequest::MAX_GRACE;
    let limit = run.node.options.settle_limit + grace;
    if within(run.node.clock(), limit, settle_attempts(run)).await.is_none() {
        tracing::warn!("attempts are still settling");
    }
    if *reason == CancelReason::Shutdown {
        release(run).await;
    }
}

/// All lanes are through, or the runner drains.
async fn conclude(run: &Arc<JobRun>) {
    if finish(run, false).await == Some(FinishJobOutcome::Unfinished) {
        release(run).await;
    }
}

async fn finish(run: &JobRun, timed_out: bool) -> Option<FinishJobOutcome> {
    let request = FinishJob { fence: run.claimed.fence, job: run.claimed.id.clone(), timed_out };
    let outcome = run.node.persist("finish job", || run.node.store().finish_job(&request)).await;
    match &outcome {
        Some(FinishJobOutcome::Finished(status)) => {
            tracing::info!(%status, "job finished");
            crate::metrics::job_finished(*status);
        }
        Some(FinishJobOutcome::Refused(refusal)) => tracing::info!(%refusal, "job not finished by this node"),
        Some(FinishJobOutcome::Unfinished) | None => {}
    }
    outcome
}

async fn release(run: &JobRun) {
    let sealed = run.detached.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let request = Release { fence: run.claimed.fence, job: run.claimed.id.clone(), sealed };
    match run.node.persist("release", || run.node.store().release(&request)).await {
        Some(true) => tracing::info!(handed_over = request.sealed.len(), "job given back"),
        Some(false) => tracing::info!("the job was not ours to give back"),
        None => {}
    }
}
