use std::fmt;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;

use super::gate::Hold;
use super::scope::{JobContext, Scope};
use crate::cancel::CancelReason;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::id::JobId;

/// The jobs that run in this process, and the way to cancel each. Cloning is cheap; all clones
/// are the same manager.
///
/// # Contract
/// - An id is registered at most once at a time. The registration belongs to the [`JobContext`]
///   that `register` returned.
/// - `cancel` reaches the context that is registered at that moment, from any thread.
///
/// | state of the id | `register` | `cancel` | `unregister` | drop of the context |
/// |---|---|---|---|---|
/// | not registered | a context | `false` | `false` | - |
/// | registered | `AlreadyRegistered` | `true`, the first reason stays | `true`, now not registered; the context lives on, unreachable | removes it |
/// | registered by a newer context | `AlreadyRegistered` | reaches the newer | removes the newer | of an older one: nothing |
#[derive(Clone)]
pub struct JobContextManager {
    inner: Arc<Inner>,
}

struct Inner {
    contexts: DashMap<JobId, Arc<Scope>, RandomState>,
    clock: Arc<dyn Clock>,
}

/// The id is registered already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a context of job {0} is already registered in this process")]
pub struct AlreadyRegistered(pub JobId);

impl From<AlreadyRegistered> for Error {
    fn from(error: AlreadyRegistered) -> Self {
        Self::new(ErrorKind::Occupied, error.to_string())
    }
}

impl JobContextManager {
    /// An empty manager on the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty manager on this clock, which serves its contexts' deadlines.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { inner: Arc::new(Inner { contexts: DashMap::default(), clock }) }
    }

    /// Registers a job.
    ///
    /// # Errors
    /// [`AlreadyRegistered`] while a context of the same id is registered.
    pub fn register(&self, id: JobId) -> Result<JobContext, AlreadyRegistered> {
        match self.inner.contexts.entry(id.clone()) {
            Entry::Occupied(_) => Err(AlreadyRegistered(id)),
            Entry::Vacant(vacant) => {
                let scope = Arc::new(Scope::default());
                vacant.insert(Arc::clone(&scope));
                Ok(JobContext::new(id, scope, self.clone()))
            }
        }
    }

    /// Ends the context that is registered under this id, with this reason. `false` when none is.
    /// An earlier reason stays.
    pub fn cancel(&self, id: &JobId, reason: CancelReason) -> bool {
        self.scope(id).is_some_and(|scope| {
            scope.cancel(reason);
            true
        })
    }

    /// Removes the registration of this id, whoever made it. `false` when there is none. The
    /// context itself lives on, but can no longer be reached by its id.
    pub fn unregister(&self, id: &JobId) -> bool {
        self.inner.contexts.remove(id).is_some()
    }

    /// Whether a context of this id is registered and has not ended.
    #[must_use]
    pub fn is_running(&self, id: &JobId) -> bool {
        self.inner.contexts.get(id).is_some_and(|scope| !scope.token().is_cancelled())
    }

    /// How many contexts are registered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.contexts.len()
    }

    /// Holds back new sends of this job; `None` when it is not registered here.
    ///
    /// # Cancellation safety
    /// Dropping the future lifts the hold.
    pub(crate) async fn hold(&self, id: &JobId) -> Option<Hold> {
        let scope = self.scope(id)?;
        Some(scope.hold().await)
    }

    pub(crate) fn scope(&self, id: &JobId) -> Option<Arc<Scope>> {
        self.inner.contexts.get(id).map(|scope| Arc::clone(&scope))
    }

    pub(super) fn remove_own(&self, id: &JobId, own: &Arc<Scope>) {
        self.inner.contexts.remove_if(id, |_, scope| Arc::ptr_eq(scope, own));
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.clock)
    }
}

impl Default for JobContextManager {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for JobContextManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContextManager").field("count", &self.count()).finish_non_exhaustive()
    }
}
