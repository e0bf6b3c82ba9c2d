use std::time::Duration;

use super::Jobs;
use crate::clock::{Clock, within};
use crate::error::Result;
use crate::id::JobId;
use crate::job::{JobDetail, StopCounts};
use crate::store::{ExecutionPage, Signal, Signals};

/// How a wait for a job's stops ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The job has its outcome, and every stop is settled.
    Yes(StopCounts),
    /// The time was up first.
    NotYet(StopCounts),
    /// There is no such job.
    NoJob,
}

impl Jobs {
    /// Waits until the job has its outcome and every stop of it is settled: not needed, confirmed,
    /// or declared unconfirmable; for at most `limit`.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn settled(&self, id: &JobId, limit: Duration) -> Result<Settled> {
        let is_settled = |detail: &JobDetail| detail.job.status.is_terminal() && detail.stops.open == 0;
        Ok(match self.wait_until(id, limit, is_settled).await? {
            Some(detail) if is_settled(&detail) => Settled::Yes(detail.stops),
            Some(detail) => Settled::NotYet(detail.stops),
            None => Settled::NoJob,
        })
    }

    /// Waits until the job has its outcome, for at most `limit`, and reads it (without
    /// executions). `None` when there is no such job.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn finished(&self, id: &JobId, limit: Duration) -> Result<Option<JobDetail>> {
        self.wait_until(id, limit, |detail| detail.job.status.is_terminal()).await
    }

    /// Waits until the job, read without its executions, fits, or `limit` has passed; returns it as
    /// last read.
    async fn wait_until(
        &self,
        id: &JobId,
        limit: Duration,
        fits: impl Fn(&JobDetail) -> bool + Send,
    ) -> Result<Option<JobDetail>> {
        let clock = &*self.inner.clock;
        let deadline = clock.now() + limit;
        loop {
            let mut signals = self.inner.store.signals();
            let asked = clock.now();
            let Some(detail) = self.get(id, ExecutionPage::NONE).await? else { return Ok(None) };
            let took = clock.now() - asked;
            let left = crate::clock::until(clock, deadline);
            if fits(&detail) || left.is_zero() {
                return Ok(Some(detail));
            }
            let took = Duration::try_from(took).unwrap_or_default();
            wait_for(clock, news_of(id, &mut signals), left.min(self.inner.poll), took).await;
        }
    }
}

/// Waits until it is time to read a job again, the last read of which took so long: until there is
/// news, or for `limit`.
///
/// # Cancellation safety
/// Dropping the future ends the wait.
pub(super) async fn wait_for(
    clock: &dyn Clock,
    news: impl Future<Output = ()> + Send,
    limit: Duration,
    took: Duration,
) {
    // Whether the hint came or the time passed, the store tells.
    let _ = within(clock, limit, news).await;
    // A busy job of many executions hints all the time, and counting them takes a while: reading
    // takes at most a fifth of the time.
    clock.sleep((took * 4).min(limit)).await;
}

/// Waits for a hint about a job.
///
/// # Cancellation safety
/// Dropping the future ends the wait.
pub(super) async fn news_of(id: &JobId, signals: &mut Signals) {
    loop {
        match signals.next().await {
            Signal::Job(other) | Signal::Cancelled(other) if other != *id => {}
            Signal::Queued | Signal::StopsDue => {}
            _ => return,
        }
    }
}
