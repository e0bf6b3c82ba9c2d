use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use super::control::{Control, End};
use crate::id::AttemptId;

/// How many ends are kept for stops that have not asked yet.
const MOST_ENDS: usize = 4096;

/// What this process knows of its attempts.
#[derive(Debug, Default)]
pub(super) struct Registry {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    live: HashMap<AttemptId, Arc<Control>>,
    ended: HashMap<AttemptId, Arc<End>>,
    /// The attempts of `ended`, oldest first; some may be gone from there.
    order: VecDeque<AttemptId>,
    /// When processes of other runners were first told to end, and how.
    told: HashMap<AttemptId, Told>,
}

/// What another runner's supervisor and command were told by this process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) terminated_at: Option<OffsetDateTime>,
    pub(super) forced_at: Option<OffsetDateTime>,
}

/// An attempt of this process.
#[derive(Debug)]
pub(super) enum Known {
    Live(Arc<Control>),
    Ended(Arc<End>),
}

impl Registry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, attempt: AttemptId, control: Arc<Control>) {
        self.state().live.insert(attempt, control);
    }

    pub(super) fn get(&self, attempt: AttemptId) -> Option<Known> {
        let state = self.state();
        let live = state.live.get(&attempt).map(|control| Known::Live(Arc::clone(control)));
        live.or_else(|| state.ended.get(&attempt).map(|end| Known::Ended(Arc::clone(end))))
    }

    /// The attempt is over. Its end is kept for its stop.
    pub(super) fn retire(&self, attempt: AttemptId, end: Arc<End>) {
        let mut state = self.state();
        state.live.remove(&attempt);
        state.ended.insert(attempt, end);
        state.order.push_back(attempt);
        while state.order.len() > MOST_ENDS {
            if let Some(oldest) = state.order.pop_front() {
                state.ended.remove(&oldest);
            }
        }
    }

    /// Nobody will ask for the attempt any more, or its end must be looked up anew.
    pub(super) fn forget(&self, attempt: AttemptId) {
        let mut state = self.state();
        state.ended.remove(&attempt);
        state.told.remove(&attempt);
    }

    /// Reads and changes what another runner's processes were told.
    pub(super) fn told<T>(&self, attempt: AttemptId, act: impl FnOnce(&mut Told) -> T) -> T {
        act(self.state().told.entry(attempt).or_default())
    }

    pub(super) fn running(&self) -> usize {
        self.state().live.len()
    }
}
