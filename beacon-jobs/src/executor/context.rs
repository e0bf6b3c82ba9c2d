use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::error::ExecuteError;
use super::flights::Flights;
use super::lease::Lease;
use super::telling::Telling;
use crate::cancel::CancelReason;
use crate::clock::Clock;
use crate::context::Scope;
use crate::id::{AttemptId, JobId};
use crate::job::{ExecutionProgress, ExecutionSpec, FailureKind};
use crate::mutation::{Mutation, is_broken};
use crate::stop::Handle;
use crate::store::{Fence, JobStore, Refusal, SaveHandle, SaveOutcome};

/// How long `save_handle` keeps trying while the store cannot be reached.
const SAVE_LIMIT: Duration = Duration::from_secs(60);
/// A timer that fires this late was held up: the process stood still.
const LATE: Duration = Duration::from_secs(1);
const SAVE_PAUSE: Duration = Duration::from_millis(50);

/// Which attempt of which execution an [`ExecutionContext`] is for.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) job: JobId,
    pub(crate) index: u32,
    pub(crate) id: AttemptId,
    pub(crate) number: u32,
    pub(crate) spec: Arc<ExecutionSpec>,
    pub(crate) deadline: Option<OffsetDateTime>,
}

/// What an attempt may do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Permit {
    /// It was minted by this incarnation: it may create and begin.
    Minted,
    /// It was minted by another: it may only observe what this handle names.
    Observe(Handle),
}

/// What an executor is given for one attempt.
pub struct ExecutionContext {
    attempt: Attempt,
    fence: Fence,
    permit: Permit,
    scope: Arc<Scope>,
    token: CancellationToken,
    reason: OnceLock<CancelReason>,
    refused: AtomicBool,
    /// The handle is saved, and the permit granted.
    saved: AtomicBool,
    /// A request was answered after the handle was saved: the work has begun.
    begun: AtomicBool,
    flights: Flights,
    telling: Telling,
    lease: Arc<Lease>,
    store: Arc<dyn JobStore>,
    clock: Arc<dyn Clock>,
}

impl ExecutionContext {
    pub(crate) fn new(
        attempt: Attempt,
        fence: Fence,
        permit: Permit,
        scope: Arc<Scope>,
        lease: Arc<Lease>,
        store: Arc<dyn JobStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let token = scope.token().child_token();
        Self {
            attempt,
            fence,
            permit,
            scope,
            token,
            reason: OnceLock::new(),
            refused: AtomicBool::new(false),
            saved: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            flights: Flights::default(),
            telling: Telling::default(),
            lease,
            store,
            clock,
        }
    }

    /// The job's name.
    #[must_use]
    pub const fn job_id(&self) -> &JobId {
        &self.attempt.job
    }

    /// The execution's place in the job's list, from 0.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.attempt.index
    }

    /// The attempt's name: label the remote work with it.
    #[must_use]
    pub const fn attempt_id(&self) -> AttemptId {
        self.attempt.id
    }

    /// Which attempt of the execution this is, from 1.
    #[must_use]
    pub const fn attempt_number(&self) -> u32 {
        self.attempt.number
    }

    /// The execution as submitted.
    #[must_use]
    pub fn spec(&self) -> &ExecutionSpec {
        &self.attempt.spec
    }

    /// Reads the input as the executor's own type.
    ///
    /// # Errors
    /// Kind `invalid_input`, with the path of the field.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, ExecuteError> {
        serde_path_to_error::deserialize(&self.attempt.spec.input).map_err(|error| {
            let message = format!("input.{}: {}", error.path(), error.inner());
            ExecuteError::new(FailureKind::InvalidInput, message)
        })
    }

    /// The handle of work that another incarnation began. When present, only observe.
    #[must_use]
    pub const fn saved_handle(&self) -> Option<&Handle> {
        match &self.permit {
            Permit::Observe(handle) => Some(handle),
            Permit::Minted => None,
        }
    }

    /// When the attempt's time is up, if it is limited.
    #[must_use]
    pub const fn deadline(&self) -> Option<OffsetDateTime> {
        self.attempt.deadline
    }

    /// A token that fires when the attempt is to end.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.child_token()
    }

    /// Why the attempt is to end, once it is.
    #[must_use]
    pub fn reason(&self) -> Option<CancelReason> {
        self.reason.get().or_else(|| self.scope.reason()).cloned()
    }

    /// Sends a request that creates or begins remote work, and waits for its reply.
    ///
    /// Whether the attempt may still begin anything is looked at right before the request is first
    /// polled, and a cancel taken in this process holds it back while it commits. So does the node's
    /// lease when it may have run out, as after a freeze, until the store has renewed it. Once sent, it
    /// counts as under way until it has ended or `deadline` has passed, and the attempt is not
    /// sealed before.
    ///
    /// # Errors
    /// Kind `refused` when the attempt may not begin anything: the request was not polled. Kind
    /// `provider` when the deadline passed: the request may have arrived.
    ///
    /// # Cancellation safety
    /// The runner does not drop it half-way. If the executor itself does, the request is taken to
    /// be on its way until the deadline.
    pub async fn starting<F>(&self, deadline: Duration, request: F) -> Result<F::Output, ExecuteError>
    where
        F: Future + Send,
        F::Output: Send,
    {
        let mut request = pin!(request);
        let mut flight = None;
        let first = loop {
            let request = request.as_mut();
            let flight = &mut flight;
            let first = self.scope.enter(move |cx| {
                self.check_permit()?;
                if self.lease.may_be_over(&*self.clock) {
                    return Ok(None);
                }
                *flight = Some(self.flights.take_off(self.clock.now() + deadline));
                Ok::<_, ExecuteError>(Some(request.poll(cx)))
            });
            if let Some(first) = first.await? {
                break first;
            }
            // The next heartbeat tells, or the end of the attempt.
            self.token.run_until_cancelled(self.lease.renewed(&*self.clock)).await;
        };
        let output = match first {
            Poll::Ready(output) => Some(output),
            Poll::Pending => {
                let (output, last_polled) = self.poll_until(deadline, request).await;
                if output.is_none()
                    && let Some(flight) = flight.take()
                {
                    // It can have been sent as late as it was polled: by a process that was frozen, long
                    // after its time was up.
                    flight.lose(last_polled + deadline);
                }
                output
            }
        };
        if let Some(flight) = flight {
            flight.land();
        }
        if self.saved.load(Ordering::Acquire) {
            self.begun.store(true, Ordering::Release);
        }
        output.ok_or_else(|| {
            ExecuteError::new(FailureKind::Provider, format!("no reply within {} ms", deadline.as_millis()))
                .retryable()
        })
    }

    /// Saves the handle of the attempt's work. `Ok` is the permit to begin it.
    ///
    /// The handle is recorded in any case. While the store cannot be reached this waits and tries
    /// again, for up to a minute.
    ///
    /// # Errors
    /// Kind `refused` when the job was cancelled or lost meanwhile: begin nothing, return the
    /// error. Kind `provider` when the store could not be reached.
    ///
    /// # Cancellation safety
    /// The runner does not drop it half-way.
    pub async fn save_handle(&self, handle: &Handle) -> Result<(), ExecuteError> {
        let deadline = self.clock.now() + SAVE_LIMIT;
        let flight = self.flights.take_off(self.clock.now());
        let save = SaveHandle {
            fence: self.fence,
            job: self.attempt.job.clone(),
            index: self.attempt.index,
            attempt: self.attempt.id,
            handle: handle.clone(),
        };
        let outcome = loop {
            match self.store.save_handles(std::slice::from_ref(&save)).await {
                Err(error) if error.is_retryable() && self.clock.now() < deadline => {
                    tracing::warn!(job.id = %self.attempt.job, attempt = %self.attempt.id, %error, "handle not saved yet");
                    self.clock.sleep(SAVE_PAUSE).await;
                }
                outcome => break outcome.map(|mut outcomes| outcomes.pop()),
            }
        };
        flight.land();
        match outcome {
            Ok(Some(SaveOutcome::Granted)) => {
                self.saved.store(true, Ordering::Release);
                Ok(())
            }
            Ok(Some(SaveOutcome::Refused(refusal))) => {
                tracing::debug!(job.id = %self.attempt.job, attempt = %self.attempt.id, %refusal, "the permit is refused");
                if refusal == Refusal::Cancelled {
                    self.scope.bar();
                }
                self.refused.store(true, Ordering::Release);
                Err(ExecuteError::refused(refusal))
            }
            Ok(None) => {
                self.refused.store(true, Ordering::Release);
                Err(ExecuteError::new(FailureKind::Provider, "the store gave no answer to a save"))
            }
            Err(error) => {
                self.refused.store(true, Ordering::Release);
                Err(ExecuteError::new(FailureKind::Provider, "the handle could not be saved")
                    .with_source(error))
            }
        }
    }

    /// Tells how far the attempt has come. Those who watch the job see it, and it stays with the
    /// execution until the next attempt.
    ///
    /// It is written at once, and then about once a second: of what is told in between, the last. The
    /// last of all is written before the attempt's result, which waits for that for a second at most.
    /// Nothing else waits for it, and what cannot be written is dropped: call this as often as there is
    /// news.
    pub fn report_progress(&self, progress: ExecutionProgress) {
        self.telling.tell(progress);
    }

    pub(crate) const fn telling(&self) -> &Telling {
        &self.telling
    }

    /// Polls a request until its time is up; tells when it was polled last.
    async fn poll_until<F: Future>(
        &self,
        limit: Duration,
        mut request: Pin<&mut F>,
    ) -> (Option<F::Output>, OffsetDateTime) {
        let clock = &*self.clock;
        let mut last_polled = clock.now();
        let deadline = last_polled + limit;
        let mut time_is_up = pin!(clock.sleep(limit));
        let output = poll_fn(|cx| {
            let is_up = time_is_up.as_mut().poll(cx).is_ready();
            // Whoever wakes long after the deadline may find the reply waiting. But a poll may also send
            // what was not sent yet, and nothing is begun while the lease may be over.
            let stood_still = is_up && clock.now() >= deadline + LATE;
            let has_lease = !self.lease.may_be_over(clock) || is_broken(Mutation::LatePollsNeedNoLease);
            if is_up && !(stood_still && has_lease) {
                return Poll::Ready(None);
            }
            let polled = request.as_mut().poll(cx).map(Some);
            last_polled = clock.now();
            if is_up && polled.is_pending() { Poll::Ready(None) } else { polled }
        })
        .await;
        (output, last_polled)
    }

    fn check_permit(&self) -> Result<(), ExecuteError> {
        if let Some(reason) = self.reason() {
            return Err(ExecuteError::refused(reason));
        }
        if self.scope.is_barred() {
            return Err(ExecuteError::refused(Refusal::Cancelled));
        }
        if self.token.is_cancelled() || self.refused.load(Ordering::Acquire) {
            return Err(ExecuteError::refused("it was told so before"));
        }
        if self.permit != Permit::Minted {
            return Err(ExecuteError::refused("another incarnation minted it, so it is only observed"));
        }
        Ok(())
    }

    /// Ends this attempt alone; the first reason stays.
    pub(crate) fn end(&self, reason: CancelReason) {
        // A second reason changes nothing.
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Whether `execute` must not be dropped now.
    pub(crate) fn is_sending(&self) -> bool {
        self.flights.under_way()
    }

    /// Whether a request of the attempt may still arrive at the provider.
    pub(crate) fn may_be_sending(&self) -> bool {
        self.is_sending() || !self.flights.lost_for(&*self.clock).is_zero()
    }

    /// Whether the attempt has come so far that another node can go on watching it.
    pub(crate) fn is_watching(&self, two_step: bool) -> bool {
        if self.is_sending() {
            return false;
        }
        match self.permit {
            Permit::Observe(_) => true,
            Permit::Minted if two_step => self.begun.load(Ordering::Acquire),
            Permit::Minted => self.saved.load(Ordering::Acquire),
        }
    }

    /// Waits until no request that was dropped half-way can still arrive.
    pub(crate) async fn landed(&self) {
        loop {
            let left = self.flights.lost_for(&*self.clock);
            if left.is_zero() {
                return;
            }
            self.clock.sleep(left).await;
        }
    }
}

impl fmt::Debug for ExecutionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutionContext")
            .field("job", &self.attempt.job)
            .field("index", &self.attempt.index)
            .field("attempt", &self.attempt.id)
            .field("permit", &self.permit)
            .finish_non_exhaustive()
    }
}
