use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::job::JobRun;
use crate::clock::within;
use crate::executor::ExecutionContext;
use crate::id::AttemptId;
use crate::job::ExecutionProgress;
use crate::store::ReportProgress;

/// The pause after a write: of what is told meanwhile, the last is written.
const PAUSE: Duration = Duration::from_secs(1);

/// Brings to the store what an executor tells of an attempt's progress.
pub(super) struct ProgressWriter {
    run: Arc<JobRun>,
    index: u32,
    attempt: AttemptId,
    told: watch::Receiver<Option<ExecutionProgress>>,
    written: Option<ExecutionProgress>,
}

impl ProgressWriter {
    pub(super) fn new(run: &Arc<JobRun>, cx: &ExecutionContext) -> Self {
        Self {
            run: Arc::clone(run),
            index: cx.index(),
            attempt: cx.attempt_id(),
            told: cx.telling().listen(),
            written: None,
        }
    }

    /// Writes whatever is told from now on. Never ends.
    ///
    /// # Cancellation safety
    /// What may not have been written then is left to [`finish`](Self::finish).
    pub(super) async fn run(&mut self) {
        loop {
            let written = &self.written;
            if self.told.wait_for(|told| told != written).await.is_err() {
                return std::future::pending().await;
            }
            self.flush().await;
            self.run.node.clock().sleep(PAUSE).await;
        }
    }

    /// Writes the last that was told, unless that takes long: the result is waited for.
    pub(super) async fn finish(mut self) {
        let node = Arc::clone(&self.run.node);
        within(node.clock(), PAUSE, self.flush()).await;
    }

    async fn flush(&mut self) {
        let told = self.told.borrow().clone();
        let Some(progress) = told.clone().filter(|_| told != self.written) else { return };
        let report = ReportProgress {
            fence: self.run.claimed.fence,
            job: self.run.claimed.id.clone(),
            index: self.index,
            attempt: self.attempt,
            progress,
        };
        match self.run.node.store().report_progress(std::slice::from_ref(&report)).await {
            Ok(_) => self.written = told,
            Err(error) => {
                tracing::debug!(%error, job.id = %report.job, attempt = %report.attempt, "progress not written");
            }
        }
    }
}
