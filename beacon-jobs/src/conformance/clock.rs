use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::watch;

use crate::clock::Clock;

const START: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

/// A clock that stands still until it is told to move.
///
/// It starts at 2026-01-01T00:00:00Z.
#[derive(Debug)]
pub struct ManualClock {
    now: watch::Sender<OffsetDateTime>,
}

impl ManualClock {
    /// A clock of its own.
    #[must_use]
    pub fn new() -> Self {
        Self { now: watch::Sender::new(START) }
    }

    /// Moves the time on. Every sleep that ends by then completes.
    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now += by);
    }

    /// How many sleeps are under way.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.now.receiver_count()
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        *self.now.borrow()
    }

    fn uptime(&self) -> Duration {
        Duration::try_from(self.now() - START).unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        let mut now = self.now.subscribe();
        let until = *now.borrow() + duration;
        // It can only fail when the clock is gone, and this call holds on to it.
        let _ = now.wait_for(|now| *now >= until).await;
    }
}
