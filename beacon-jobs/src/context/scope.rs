use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use time::OffsetDateTime;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::gate::{Gate, Hold};
use super::manager::JobContextManager;
use crate::cancel::CancelReason;
use crate::clock::until;
use crate::id::JobId;
use crate::metrics;

/// What the manager, the context and the attempts of a job share.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    token: CancellationToken,
    // Boxed, as what few contexts have for the most of their life: there may be a million of them.
    reason: OnceLock<Box<CancelReason>>,
    gate: Gate,
    /// Nothing more may be begun: a write was told that the job is cancelled.
    barred: AtomicBool,
}

impl Scope {
    /// Ends the scope; the first reason stays. Tells whether this call was the first.
    pub(crate) fn cancel(&self, reason: CancelReason) -> bool {
        let ended = metrics::name_of(&reason);
        let first = self.reason.set(Box::new(reason)).is_ok();
        self.token.cancel();
        if first {
            metrics::context_ended(ended);
        }
        first
    }

    /// Lets nothing more be begun, before it is known who ended the job and why.
    pub(crate) fn bar(&self) {
        self.barred.store(true, Ordering::Release);
    }

    pub(crate) fn is_barred(&self) -> bool {
        self.barred.load(Ordering::Acquire)
    }

    pub(crate) const fn token(&self) -> &CancellationToken {
        &self.token
    }

    pub(crate) fn reason(&self) -> Option<&CancelReason> {
        self.reason.get().map(Box::as_ref)
    }

    pub(super) const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Runs `poll` once inside the gate, when no hold is in force.
    ///
    /// # Cancellation safety
    /// Dropping the future before it is ready leaves the gate as it was.
    pub(crate) async fn enter<T>(&self, poll: impl FnOnce(&mut std::task::Context<'_>) -> T) -> T {
        self.gate.enter(poll).await
    }

    /// Holds back new sends; see [`Hold`].
    pub(crate) fn hold(self: &Arc<Self>) -> impl Future<Output = Hold> + use<> {
        Hold::new(Arc::clone(self))
    }
}

/// The cancellable scope of one running job: the guard of its registration.
///
/// Dropping it removes its own registration, and only that; it cancels nothing. It is not `Clone`,
/// so a registration has one owner; hand out [`token`](Self::token)s instead.
pub struct JobContext {
    id: JobId,
    scope: Arc<Scope>,
    manager: JobContextManager,
    deadline: Mutex<Option<Box<Deadline>>>,
}

/// The earliest deadline, and the task that waits for it.
struct Deadline {
    at: OffsetDateTime,
    timer: AbortHandle,
}

impl JobContext {
    pub(super) const fn new(id: JobId, scope: Arc<Scope>, manager: JobContextManager) -> Self {
        Self { id, scope, manager, deadline: Mutex::new(None) }
    }

    /// The job's name.
    #[must_use]
    pub const fn id(&self) -> &JobId {
        &self.id
    }

    /// Waits until the context ends, and tells why.
    ///
    /// # Cancellation safety
    /// Dropping the future changes nothing; waiting again gives the same answer.
    pub async fn cancelled(&self) -> CancelReason {
        self.scope.token.cancelled().await;
        // The reason is always set before the token fires, unless somebody cancelled the plain
        // token that `token` hands out.
        CancelReason::clone(self.scope.reason.get_or_init(|| Box::new(CancelReason::requested("token"))))
    }

    /// Why the context ended, if it has.
    #[must_use]
    pub fn reason(&self) -> Option<CancelReason> {
        self.scope.reason().cloned()
    }

    /// Whether the context has ended.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.scope.token.is_cancelled()
    }

    /// Ends the context from inside. Tells whether this call was the first to do so; a later
    /// reason does not replace the first.
    pub fn cancel(&self, reason: CancelReason) -> bool {
        self.scope.cancel(reason)
    }

    /// A token that fires when the context ends. Cancelling it reaches only what was made from it.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.scope.token.child_token()
    }

    /// Ends the context with [`CancelReason::Deadline`] at `at`, by the manager's clock. Of several
    /// deadlines the earliest wins. The task that waits ends with the context.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    pub fn set_deadline(&self, at: OffsetDateTime) {
        let mut deadline = self.deadline();
        if deadline.as_ref().is_some_and(|known| known.at <= at) {
            return;
        }
        let scope = Arc::clone(&self.scope);
        let clock = self.manager.clock();
        let timer = tokio::spawn(async move {
            let sleep = clock.sleep(until(&*clock, at));
            if scope.token.run_until_cancelled(sleep).await.is_some() {
                scope.cancel(CancelReason::Deadline);
            }
        });
        if let Some(later) = deadline.replace(Box::new(Deadline { at, timer: timer.abort_handle() })) {
            later.timer.abort();
        }
    }

    fn deadline(&self) -> MutexGuard<'_, Option<Box<Deadline>>> {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) const fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }
}

impl Drop for JobContext {
    fn drop(&mut self) {
        self.manager.remove_own(&self.id, &self.scope);
        if let Some(deadline) = self.deadline().take() {
            deadline.timer.abort();
        }
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("id", &self.id)
            .field("reason", &self.scope.reason())
            .finish_non_exhaustive()
    }
}
