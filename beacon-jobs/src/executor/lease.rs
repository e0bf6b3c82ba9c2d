use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;

/// Until when this node may take itself for alive, by its own clock.
///
/// The store alone decides whether a lease is lost. But a process that was frozen does not know how
/// long, and by the time that it asks the store, others may have ended its work: so no request that
/// creates or begins anything goes out while the lease may be over.
#[derive(Debug)]
pub(crate) struct Lease(watch::Sender<Duration>);

impl Lease {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Duration::ZERO))
    }

    /// The store granted `lease` to a request that went out at `asked`, an uptime of the clock.
    pub(crate) fn granted(&self, asked: Duration, lease: Duration) {
        self.0.send_replace(asked + lease);
    }

    pub(crate) fn may_be_over(&self, clock: &dyn Clock) -> bool {
        clock.uptime() >= *self.0.borrow()
    }

    /// Waits until the store has granted more.
    ///
    /// # Cancellation safety
    /// Dropping the future changes nothing.
    pub(super) async fn renewed(&self, clock: &dyn Clock) {
        let mut granted = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = granted.wait_for(|until| clock.uptime() < *until).await;
    }
}
