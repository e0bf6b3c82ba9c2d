use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::attempt::{self, AttemptEnd, Begun};
use super::job::JobRun;
use crate::clock::{until, within};
use crate::executor::Attempt;
use crate::id::AttemptId;
use crate::job::{Failure, FailureKind, OnInterrupt};
use crate::stop::StopState;
use crate::store::{
    ClaimedExecution, ExecutionResult, FinishExecution, FinishOutcome, PastAttempt, Refusal, Signal,
};

/// Brings one execution to its outcome, through as many attempts as it may have; returns early
/// when nothing more is to be begun.
pub(super) async fn run(run: &Arc<JobRun>, index: u32) {
    let Some(claimed) = run.claimed.executions.get(index as usize) else { return };
    if claimed.status.is_terminal() || run.no_more.is_cancelled() {
        return;
    }
    let mut execution = Execution {
        run,
        index,
        claimed,
        counted: claimed.counted_attempts,
        last: None,
        begun: 0,
        wait_until: None,
    };
    if let Some(past) = &claimed.last_attempt {
        execution.last = Some(past.id);
        if claimed.status.is_active() && !execution.take_up(past).await {
            return;
        }
    }
    while execution.next_attempt().await {}
}

struct Execution<'a> {
    run: &'a Arc<JobRun>,
    index: u32,
    claimed: &'a ClaimedExecution,
    /// Attempts that count toward the most allowed.
    counted: u32,
    last: Option<AttemptId>,
    /// Attempts that this node has begun.
    begun: u32,
    /// Until when the next attempt waits for an older one's stop, while it does.
    wait_until: Option<OffsetDateTime>,
}

impl Execution<'_> {
    /// Goes on with an attempt that another incarnation began: waits for its output where that is
    /// possible, else ends it. Tells whether another attempt is to follow.
    async fn take_up(&mut self, past: &PastAttempt) -> bool {
        let resumable = self
            .run
            .node
            .executors
            .get(&self.claimed.spec.executor)
            .is_some_and(|executor| executor.capabilities().resume);
        if let Some(handle) = past.handle.clone().filter(|_| resumable && past.stop == StopState::NotNeeded) {
            tracing::info!(index = self.index, attempt = %past.id, "watching an attempt of a former node");
            let limit = self.claimed.spec.timeout_seconds.map(Duration::from_secs);
            let attempt = Attempt {
                job: self.run.claimed.id.clone(),
                index: self.index,
                id: past.id,
                number: past.number,
                spec: Arc::new(self.claimed.spec.clone()),
                deadline: limit.map(|limit| past.started_at + limit),
            };
            let end = attempt::prepare(self.run, past.id, false).watch(attempt, handle, self.counted).await;
            return self.goes_on(end);
        }
        let retry = self.run.claimed.rules.on_interrupt == OnInterrupt::Retry;
        let failure = Failure::new(FailureKind::Interrupted, "the node that ran the attempt ended");
        self.record_failure(past.id, failure, retry, false).await && retry
    }

    /// Begins the next attempt and waits for its end. Tells whether another is to follow.
    async fn next_attempt(&mut self) -> bool {
        let run = self.run;
        if self.begun > 0 && self.wait_until.is_none() {
            let pause = run.claimed.rules.backoff_before(self.begun + 1);
            if run.no_more.run_until_cancelled(run.node.clock().sleep(pause)).await.is_none() {
                return false;
            }
        }
        let room = run.node.limits.room(run.limit.as_ref(), &self.claimed.spec.executor);
        let Some(room) = run.no_more.run_until_cancelled(room).await else { return false };
        let id = AttemptId::mint(&**run.node.jobs.ids());
        // Known to the node before the store knows of it, so that nobody seals it in between.
        let prepared = attempt::prepare(run, id, true);
        let spec = Arc::new(self.claimed.spec.clone());
        match prepared.begin(spec, self.index, self.counted + 1).await {
            Begun::Passed(end) => {
                self.last = Some(id);
                self.counted += 1;
                self.begun += 1;
                self.wait_until = None;
                drop(room);
                self.goes_on(end)
            }
            Begun::Refused(Refusal::StopOpen) => {
                drop(room);
                self.wait_for_older_stop().await
            }
            Begun::Refused(refusal) => {
                tracing::debug!(index = self.index, %refusal, "not started");
                false
            }
            Begun::Unknown => false,
        }
    }

    fn goes_on(&mut self, end: AttemptEnd) -> bool {
        match end {
            AttemptEnd::Over => false,
            AttemptEnd::Retry { counts } => {
                if !counts {
                    self.counted = self.counted.saturating_sub(1);
                }
                true
            }
        }
    }

    /// A retry waits until the older attempt is over. If that takes longer than the job allows, the
    /// execution fails.
    async fn wait_for_older_stop(&mut self) -> bool {
        let run = self.run;
        let node = &run.node;
        let limit = Duration::from_secs(run.claimed.rules.stop_wait_seconds);
        let deadline = *self.wait_until.get_or_insert_with(|| node.clock().now() + limit);
        let left = until(node.clock(), deadline);
        if left.is_zero() {
            let failure = Failure::new(
                FailureKind::StopUnconfirmed,
                "the older attempt could not be shown to have ended in time",
            );
            if let Some(last) = self.last {
                self.record_failure(last, failure, false, true).await;
            }
            return false;
        }
        let mut signals = node.store().signals();
        let about_it = async {
            while let Signal::Job(id) = signals.next().await
                && id != run.claimed.id
            {}
        };
        let wait = within(node.clock(), left.min(node.options.poll), about_it);
        run.no_more.run_until_cancelled(wait).await.is_some()
    }

    async fn record_failure(&self, attempt: AttemptId, failure: Failure, retry: bool, counts: bool) -> bool {
        let finish = FinishExecution {
            fence: self.run.claimed.fence,
            job: self.run.claimed.id.clone(),
            index: self.index,
            attempt,
            result: ExecutionResult::Failed { failure, output: None, retry, counts },
            sealed: false,
        };
        let store = self.run.node.store();
        let finished = self.run.node.persist("finish", || store.finish(std::slice::from_ref(&finish))).await;
        if finished.as_deref() == Some(&[FinishOutcome::Finished]) {
            crate::metrics::attempt_finished(&finish.result);
        }
        finished.is_some()
    }
}
