//! Where time comes from.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

/// Time as the library sees it: one clock for the runner and one for each store that has none
/// of its own.
///
/// # Contract
/// `now` never runs backwards by more than a correction of the machine's clock does. `sleep`
/// returns no earlier than `duration` after it was first polled.
#[async_trait]
pub trait Clock: Debug + Send + Sync + 'static {
    /// The wall time, UTC.
    fn now(&self) -> OffsetDateTime;

    /// The time since some moment of this boot: it goes on while the machine sleeps, and no
    /// correction of the wall time moves it. By it a node judges its own lease.
    fn uptime(&self) -> Duration;

    /// Waits.
    ///
    /// # Cancellation safety
    /// Dropping the future ends the wait.
    async fn sleep(&self, duration: Duration);
}

/// The machine's clock, and tokio's timer (which tests may pause).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    #[cfg(target_os = "linux")]
    fn uptime(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    fn uptime(&self) -> Duration {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Runs `future` for at most `limit`; `None` when the limit passed first.
pub(crate) async fn within<F: Future>(clock: &dyn Clock, limit: Duration, future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = clock.sleep(limit) => None,
    }
}

/// The time left until `at`, zero when it has passed.
pub(crate) fn until(clock: &dyn Clock, at: OffsetDateTime) -> Duration {
    Duration::try_from(at - clock.now()).unwrap_or(Duration::ZERO)
}
