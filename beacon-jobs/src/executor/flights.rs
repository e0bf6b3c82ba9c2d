use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::clock::{Clock, until};
use crate::mutation::{Mutation, is_broken};

/// Counts an attempt's requests that create or begin, and its handle saves, while they are under way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    under_way: u32,
    /// Until when a request that was dropped half-way may still arrive.
    lost_until: Option<OffsetDateTime>,
}

impl Flights {
    /// Counts one more until the guard is dropped. If that happens before
    /// [`land`](Flight::land), the request is taken to be on its way until `deadline`.
    pub(super) fn take_off(&self, deadline: OffsetDateTime) -> Flight<'_> {
        self.with(|state| state.under_way += 1);
        Flight { flights: self, deadline: Some(deadline) }
    }

    pub(super) fn under_way(&self) -> bool {
        self.with(|state| state.under_way > 0) && !is_broken(Mutation::FlightsAreNotCounted)
    }

    /// How long a request that was dropped half-way may still be on its way.
    pub(super) fn lost_for(&self, clock: &dyn Clock) -> Duration {
        let lost_until = self.with(|state| state.lost_until);
        lost_until
            .filter(|_| !is_broken(Mutation::FlightsAreNotCounted))
            .map_or(Duration::ZERO, |at| until(clock, at))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) struct Flight<'a> {
    flights: &'a Flights,
    deadline: Option<OffsetDateTime>,
}

impl Flight<'_> {
    /// The request has ended, with or without success: it is not on its way any more.
    pub(super) fn land(mut self) {
        self.deadline = None;
    }

    /// Nobody waits for the request any more; it may be on its way until `deadline`.
    pub(super) fn lose(mut self, deadline: OffsetDateTime) {
        self.deadline = self.deadline.max(Some(deadline));
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.flights.with(|state| {
            state.under_way -= 1;
            state.lost_until = state.lost_until.max(self.deadline);
        });
    }
}
