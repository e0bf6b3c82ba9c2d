use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::watch;
use tracing::Instrument;

use super::job::JobRun;
use super::progress::ProgressWriter;
use crate::cancel::{CancelReason, CancelRequest};
use crate::clock::until;
use crate::executor::{Attempt, ExecuteError, ExecutionContext, Executor, Permit};
use crate::id::{AttemptId, JobId};
use crate::job::{ExecutionSpec, Failure, FailureKind, OnInterrupt};
use crate::mutation::{Mutation, is_broken};
use crate::stop::{Handle, SealedBy};
use crate::store::{
    ExecutionResult, FinishExecution, FinishOutcome, Refusal, Seal, StartExecution, StartOutcome,
};

/// How the runner's loops reach an attempt's task.
#[derive(Debug)]
pub(super) struct AttemptControl {
    pub(super) job: JobId,
    /// Whether this process minted it, so that its task seals it.
    pub(super) is_minted: bool,
    force_at: watch::Sender<Option<OffsetDateTime>>,
}

impl AttemptControl {
    /// Tells from when on the work is not waited for any more. The earliest time stays.
    pub(super) fn hasten(&self, at: OffsetDateTime) {
        self.force_at.send_if_modified(|force_at| {
            let earlier = force_at.is_none_or(|known| at < known);
            if earlier {
                *force_at = Some(at);
            }
            earlier
        });
    }
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptEnd {
    /// Nothing by this node.
    Over,
    /// Another attempt.
    Retry { counts: bool },
}

/// What became of a wish to begin an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It passed the start barrier, and is over.
    Passed(AttemptEnd),
    /// It did not.
    Refused(Refusal),
    /// The store cannot be asked any more.
    Unknown,
}

/// An attempt that this node knows of: while this lives, nobody seals it but its own task.
#[derive(Debug)]
pub(super) struct Prepared {
    run: Arc<JobRun>,
    id: AttemptId,
    control: Arc<AttemptControl>,
}

/// Makes an attempt known to the node.
pub(super) fn prepare(run: &Arc<JobRun>, id: AttemptId, is_minted: bool) -> Prepared {
    let force_at = watch::Sender::new(None);
    let control = Arc::new(AttemptControl { job: run.claimed.id.clone(), is_minted, force_at });
    run.node.attempts.insert(id, Arc::clone(&control));
    Prepared { run: Arc::clone(run), id, control }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.run.node.attempts.remove(&self.id);
    }
}

type Outcome = Result<Value, ExecuteError>;

/// What ends the first part of an attempt.
enum Event {
    Done(Outcome),
    Ended(CancelReason),
    Detached,
}

impl Prepared {
    /// Watches an attempt that another incarnation began, in a task of its own.
    pub(super) async fn watch(self, attempt: Attempt, handle: Handle, counted: u32) -> AttemptEnd {
        let run = Arc::clone(&self.run);
        let span = tracing::info_span!("attempt", index = attempt.index, attempt = %attempt.id);
        let task = self.drive(attempt, Permit::Observe(handle), counted).instrument(span);
        // A panic of the executor is caught inside; one of ours ends as "nothing by this node".
        run.attempts.spawn(run.node.work.track_future(task)).await.unwrap_or(AttemptEnd::Over)
    }

    /// Brings the attempt through the start barrier and runs it, in a task of its own, which goes on
    /// when this future is dropped: whatever passed the barrier is sealed in the end, also when the
    /// answer comes too late to be of use.
    pub(super) async fn begin(self, spec: Arc<ExecutionSpec>, index: u32, counted: u32) -> Begun {
        let run = Arc::clone(&self.run);
        let span = tracing::info_span!("attempt", index, attempt = %self.id);
        let task = self.pass_barrier_and_drive(spec, index, counted).instrument(span);
        run.attempts.spawn(run.node.work.track_future(task)).await.unwrap_or(Begun::Unknown)
    }

    async fn pass_barrier_and_drive(self, spec: Arc<ExecutionSpec>, index: u32, counted: u32) -> Begun {
        let node = &self.run.node;
        let start = StartExecution {
            fence: self.run.claimed.fence,
            job: self.run.claimed.id.clone(),
            index,
            attempt: self.id,
        };
        let calls = AtomicU32::new(0);
        let call = || async {
            calls.fetch_add(1, Ordering::Relaxed);
            Ok(node.store().start(std::slice::from_ref(&start)).await?.pop())
        };
        match node.persist("start", call).await.flatten() {
            Some(StartOutcome::Started { number }) => {
                let limit = spec.timeout_seconds.map(Duration::from_secs);
                let deadline = limit.map(|limit| node.clock().now() + limit);
                let job = self.run.claimed.id.clone();
                let attempt = Attempt { job, index, id: self.id, number, spec, deadline };
                Begun::Passed(self.drive(attempt, Permit::Minted, counted).await)
            }
            Some(StartOutcome::Refused(refusal)) => {
                if refusal != Refusal::StopOpen {
                    self.run.heed(refusal);
                }
                if calls.into_inner() > 1 && !is_broken(Mutation::NoSealWithoutTask) {
                    // An earlier call may have passed the barrier before the job ended.
                    self.seal().await;
                }
                Begun::Refused(refusal)
            }
            None => Begun::Unknown,
        }
    }

    async fn drive(self, attempt: Attempt, permit: Permit, counted: u32) -> AttemptEnd {
        let node = &self.run.node;
        let Some(executor) = node.executors.get(&attempt.spec.executor).map(Arc::clone) else {
            return AttemptEnd::Over;
        };
        // Only the incarnation that minted an attempt can say that it sends nothing more for it.
        let minted = permit == Permit::Minted;
        let cx = ExecutionContext::new(
            attempt,
            self.run.claimed.fence,
            permit,
            Arc::clone(&self.run.scope),
            Arc::clone(&node.lease),
            Arc::clone(node.store()),
            Arc::clone(node.jobs.clock()),
        );
        let execute = AssertUnwindSafe(executor.execute(&cx)).catch_unwind();
        let execute = async { execute.await.unwrap_or_else(|_| Err(panicked())) };
        let mut execute = Some(Box::pin(execute));
        let mut progress = ProgressWriter::new(&self.run, &cx);
        let event =
            self.run_until_event(&cx, &*executor, execute.as_mut().map(Pin::as_mut), &mut progress).await;
        let (reason, late) = match event {
            Event::Detached => {
                // Nothing is under way: the release that hands it over seals it.
                drop(execute);
                if minted {
                    self.run.detach(self.id);
                }
                return AttemptEnd::Over;
            }
            Event::Done(outcome) => match cx.reason() {
                None => {
                    drop(execute);
                    progress.finish().await;
                    return self.conclude(&cx, outcome, minted, counted).await;
                }
                // What it brings once it was told to end is late, however quick it was: it may have
                // been refused something, or have saved what it had.
                Some(reason) => (reason, Some(outcome)),
            },
            Event::Ended(reason) => (reason, None),
        };
        let end = self.end(&cx, &reason, counted).await;
        let late = match late {
            Some(outcome) => Some(outcome),
            None => self.wind_down(&cx, &reason, execute.as_mut().map(Pin::as_mut)).await,
        };
        drop(execute);
        cx.landed().await;
        self.leave_behind(&cx, &reason, late, minted).await;
        end
    }

    /// Records what the work came to by itself.
    async fn conclude(
        &self,
        cx: &ExecutionContext,
        outcome: Outcome,
        minted: bool,
        counted: u32,
    ) -> AttemptEnd {
        let (result, end) = self.judge(outcome, counted);
        let sealed = minted && !cx.may_be_sending();
        self.finish(cx, result, sealed).await;
        if minted && !sealed {
            cx.landed().await;
            self.seal().await;
        }
        end
    }

    /// Polls the work until it is done, or the attempt is to end, or it can be handed over.
    async fn run_until_event<F>(
        &self,
        cx: &ExecutionContext,
        executor: &dyn Executor,
        execute: Option<Pin<&mut F>>,
        progress: &mut ProgressWriter,
    ) -> Event
    where
        F: Future<Output = Outcome> + Send,
    {
        let Some(mut execute) = execute else { return Event::Detached };
        let capabilities = executor.capabilities();
        let mut ended = pin!(self.ended(cx));
        let mut draining = pin!(self.run.node.draining.cancelled());
        let mut telling = pin!(progress.run());
        let mut drains = false;
        poll_fn(|task| {
            if let Poll::Ready(outcome) = execute.as_mut().poll(task) {
                return Poll::Ready(Event::Done(outcome));
            }
            // Never ready: it writes for as long as the work goes on.
            let _ = telling.as_mut().poll(task);
            drains = drains || draining.as_mut().poll(task).is_ready();
            if drains && capabilities.resume && cx.is_watching(capabilities.two_step) {
                return Poll::Ready(Event::Detached);
            }
            ended.as_mut().poll(task).map(Event::Ended)
        })
        .await
    }

    /// Waits until the attempt is to end, and tells why.
    async fn ended(&self, cx: &ExecutionContext) -> CancelReason {
        let clock = self.run.node.clock();
        let time_is_up = async {
            match cx.deadline() {
                Some(deadline) => clock.sleep(until(clock, deadline)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.run.scope.token().cancelled() => {}
            () = time_is_up => cx.end(CancelReason::Deadline),
        }
        cx.reason().unwrap_or(CancelReason::LeaseLost)
    }

    /// Records the end of an attempt that was told to end, where that is this task's to do.
    async fn end(&self, cx: &ExecutionContext, reason: &CancelReason, counted: u32) -> AttemptEnd {
        let rules = &self.run.claimed.rules;
        let (failure, retry, counts) = match (reason, self.run.scope.reason()) {
            (CancelReason::Shutdown, _) => {
                let retry = rules.on_interrupt == OnInterrupt::Retry;
                (Failure::new(FailureKind::Interrupted, "the node shut down"), retry, false)
            }
            (CancelReason::Deadline, None) => {
                let retry = counted < rules.max_attempts;
                (Failure::new(FailureKind::Timeout, "the time of the attempt was up"), retry, true)
            }
            // The job's end says the same; whichever commits first, no late output comes between.
            (CancelReason::Deadline, Some(_)) => {
                (Failure::new(FailureKind::Timeout, "the time of the job was up"), false, true)
            }
            // The commit that ended the job ended the attempt, or another node holds it.
            _ => return AttemptEnd::Over,
        };
        let result = ExecutionResult::Failed { failure, output: None, retry, counts };
        self.finish(cx, result, false).await;
        if retry { AttemptEnd::Retry { counts } } else { AttemptEnd::Over }
    }

    /// Goes on polling the work until it returns, or its grace is over and no request of it is
    /// under way.
    async fn wind_down<F>(
        &self,
        cx: &ExecutionContext,
        reason: &CancelReason,
        execute: Option<Pin<&mut F>>,
    ) -> Option<Outcome>
    where
        F: Future<Output = Outcome> + Send,
    {
        let mut execute = execute?;
        let clock = self.run.node.clock();
        if *reason == CancelReason::LeaseLost {
            self.control.hasten(clock.now());
        }
        let mut forced = pin!(self.forced());
        let mut force = false;
        poll_fn(|task| {
            if let Poll::Ready(outcome) = execute.as_mut().poll(task) {
                return Poll::Ready(Some(outcome));
            }
            force = force || forced.as_mut().poll(task).is_ready();
            if force && !cx.is_sending() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    /// Waits until the grace is over. It is known from the attempt's stop, once a driver has it.
    async fn forced(&self) {
        let clock = self.run.node.clock();
        let latest = clock.now() + CancelRequest::MAX_GRACE;
        let mut force_at = self.control.force_at.subscribe();
        loop {
            let at = force_at.borrow_and_update().unwrap_or(latest);
            tokio::select! {
                biased;
                () = clock.sleep(until(clock, at)) => return,
                changed = force_at.changed() => if changed.is_err() { return },
            }
        }
    }

    fn judge(&self, outcome: Outcome, counted: u32) -> (ExecutionResult, AttemptEnd) {
        let rules = &self.run.claimed.rules;
        let error = match outcome {
            Ok(output) => return (ExecutionResult::Completed(output), AttemptEnd::Over),
            Err(error) => error,
        };
        tracing::info!(%error, kind = %error.failure().kind, "attempt failed");
        let interrupted = error.failure().kind == FailureKind::Interrupted;
        let retry = if interrupted {
            rules.on_interrupt == OnInterrupt::Retry
        } else {
            error.is_retryable() && counted < rules.max_attempts
        };
        let counts = !interrupted;
        let result = ExecutionResult::Failed {
            failure: error.failure().clone(),
            output: error.output().cloned(),
            retry,
            counts,
        };
        (result, if retry { AttemptEnd::Retry { counts } } else { AttemptEnd::Over })
    }

    async fn finish(&self, cx: &ExecutionContext, result: ExecutionResult, sealed: bool) {
        let finish = FinishExecution {
            fence: self.run.claimed.fence,
            job: self.run.claimed.id.clone(),
            index: cx.index(),
            attempt: self.id,
            result,
            sealed,
        };
        let store = self.run.node.store();
        let call = || async { Ok(store.finish(std::slice::from_ref(&finish)).await?.pop()) };
        match self.run.node.persist("finish", call).await.flatten() {
            Some(FinishOutcome::Refused(refusal)) => {
                tracing::debug!(%refusal, "the attempt's end is not the outcome");
                self.run.heed(refusal);
            }
            Some(FinishOutcome::Finished) => crate::metrics::attempt_finished(&finish.result),
            None => {}
        }
    }

    /// Keeps a late output, and seals what this node minted.
    async fn leave_behind(
        &self,
        cx: &ExecutionContext,
        reason: &CancelReason,
        late: Option<Outcome>,
        minted: bool,
    ) {
        let output = match late {
            // Nothing has ended the attempt: the next node goes on with it or runs it again, and
            // until then the store would take this for its result.
            _ if *reason == CancelReason::LeaseLost => None,
            Some(Ok(output)) => Some(output),
            Some(Err(error)) => error.output().cloned(),
            None => None,
        };
        match output {
            // Its job, or the attempt, has ended: the store refuses it as a result and keeps it.
            Some(output) => self.finish(cx, ExecutionResult::Completed(output), minted).await,
            None if minted => self.seal().await,
            None => {}
        }
    }

    async fn seal(&self) {
        let seal = Seal { attempt: self.id, by: SealedBy::Minter };
        let store = self.run.node.store();
        self.run.node.persist("seal", || store.seal(std::slice::from_ref(&seal))).await;
    }
}

fn panicked() -> ExecuteError {
    ExecuteError::new(FailureKind::Panicked, "the executor panicked")
}
