use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::clock::Clock;
use time::OffsetDateTime;
use tokio::time::Instant;

/// A clock that runs with tokio's, also when that is paused.
#[derive(Debug)]
pub(crate) struct TokioClock {
    start: Instant,
}

impl TokioClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + self.start.elapsed()
    }

    fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
