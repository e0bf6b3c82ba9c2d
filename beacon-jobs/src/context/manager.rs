use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// Scopes of ids that are not registered while a cancel of them commits here. Registered
    /// meanwhile, they are the contexts' own, so that the hold reaches them as well.
    early: Mutex<Early>,
    clock: Arc<dyn Clock>,
}

/// Scopes, each with how many cancels hold it: the last one that lets go forgets it.
type Early = HashMap<JobId, (Arc<Scope>, usize), RandomState>;

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
        Self { inner: Arc::new(Inner { contexts: DashMap::default(), early: Mutex::default(), clock }) }
    }

    /// Registers a job.
    ///
    /// # Errors
    /// [`AlreadyRegistered`] while a context of the same id is registered.
    pub fn register(&self, id: JobId) -> Result<JobContext, AlreadyRegistered> {
        match self.inner.contexts.entry(id.clone()) {
            Entry::Occupied(_) => Err(AlreadyRegistered(id)),
            Entry::Vacant(vacant) => {
                let scope = self.early().remove(&id).map(|(scope, _)| scope).unwrap_or_default();
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

    /// Takes the context of this job, or the one that will be registered, and holds back its sends
    /// unless `sends_wait` says otherwise.
    ///
    /// # Cancellation safety
    /// Dropping the future lifts the hold.
    pub(crate) async fn hold(&self, id: &JobId, sends_wait: bool) -> Held {
        let mut held = match self.inner.contexts.entry(id.clone()) {
            Entry::Occupied(registered) => {
                Held { hold: None, scope: Arc::clone(registered.get()), early: None }
            }
            Entry::Vacant(_) => {
                let mut early = self.early();
                let (scope, holders) = early.entry(id.clone()).or_default();
                *holders += 1;
                Held { hold: None, scope: Arc::clone(scope), early: Some((id.clone(), self.clone())) }
            }
        };
        if sends_wait {
            held.hold = Some(held.scope.hold().await);
        }
        held
    }

    fn early(&self) -> MutexGuard<'_, Early> {
        self.inner.early.lock().unwrap_or_else(PoisonError::into_inner)
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

/// A job's context, registered or not, while a cancel of it commits.
pub(crate) struct Held {
    hold: Option<Hold>,
    scope: Arc<Scope>,
    /// What is to be forgotten after it, if the id was not registered.
    early: Option<(JobId, JobContextManager)>,
}

impl Held {
    /// Ends the context that was registered when the hold began, or has been since. Tells whether
    /// there is one.
    pub(crate) fn cancel(&self, reason: CancelReason) -> bool {
        self.scope.cancel(reason);
        let is_context = |(id, manager): &(JobId, JobContextManager)| {
            manager.scope(id).is_some_and(|scope| Arc::ptr_eq(&scope, &self.scope))
        };
        self.early.as_ref().is_none_or(is_context)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.hold = None;
        let Some((id, manager)) = self.early.take() else { return };
        let mut early = manager.early();
        // Registered meanwhile, it is there no more, or another one is.
        let Some((scope, holders)) = early.get_mut(&id) else { return };
        if Arc::ptr_eq(scope, &self.scope) {
            *holders -= 1;
            if *holders == 0 {
                early.remove(&id);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Cancels of jobs that do not run here leave nothing, however many hold the same one.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_was_held_early_is_forgotten() {
        let manager = JobContextManager::new();
        let holders = (0..4).map(|_| {
            let manager = manager.clone();
            tokio::spawn(async move {
                for round in 0..5_000 {
                    let id = JobId::new(format!("job-{}", round % 3)).unwrap();
                    let held = manager.hold(&id, true).await;
                    tokio::task::yield_now().await;
                    drop(held);
                }
            })
        });
        for holder in holders.collect::<Vec<_>>() {
            holder.await.unwrap();
        }
        assert_eq!(manager.early().len(), 0);
    }
}
