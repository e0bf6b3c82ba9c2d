use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;

/// Until when this node may take itself for alive, by its own clock.
///
/// The store alone decides whether a lease is lost. But a process that was frozen does not know how
/// long, and by the time that it asks the store, others may have ended its work: so no request that
/// creates or begins anything goes out while the lease may be over.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    until: Mutex<Duration>,
    /// Not a `watch` channel, which wakes those who wait in an order drawn by chance.
    granted: Notify,
}

impl Lease {
    /// The store granted `lease` to a request that went out at `asked`, an uptime of the clock.
    pub(crate) fn granted(&self, asked: Duration, lease: Duration) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = asked + lease;
        self.granted.notify_waiters();
    }

    pub(crate) fn may_be_over(&self, clock: &dyn Clock) -> bool {
        clock.uptime() >= *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the store has granted more.
    ///
    /// # Cancellation safety
    /// Dropping the future changes nothing.
    pub(super) async fn renewed(&self, clock: &dyn Clock) {
        loop {
            let mut granted = pin!(self.granted.notified());
            granted.as_mut().enable();
            if !self.may_be_over(clock) {
                return;
            }
            granted.await;
        }
    }
}
