use std::sync::Arc;
use std::time::Duration;

use super::JobRunner;
use super::node::Node;
use crate::cancel::{CancelReason, CancelRequest};
use crate::clock::within;
use crate::store::NodeEnd;

/// How often finished jobs are looked through.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
const PRUNE_BATCH: u32 = 100;
const LOOK: Duration = Duration::from_millis(20);

/// What a shutdown left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Jobs that were interrupted because their work did not end in time.
    pub interrupted: usize,
    /// Attempts that still settle; the next runner goes on with them.
    pub unsettled: usize,
    /// Stops that were still being driven; the next runner goes on with them.
    pub open_stops: usize,
}

impl JobRunner {
    /// Ends the runner without losing anything.
    ///
    /// It claims nothing more and begins nothing more. Work that another node can go on watching
    /// is handed over at once and goes on at its provider. Other work may end by itself for up to
    /// `limit`; what has not ended then is interrupted and stopped, with the default grace, and
    /// its job is given back for the next runner.
    ///
    /// # Cancellation safety
    /// When dropped, the runner ends as by a crash: what it ran is taken up by the next runner.
    pub async fn shutdown(self, limit: Duration) -> ShutdownReport {
        let node = &self.node;
        node.draining.cancel();
        node.work.close();
        let mut report = ShutdownReport { interrupted: 0, unsettled: 0, open_stops: 0 };
        if within(node.clock(), limit, node.work.wait()).await.is_none() {
            for scope in node.running_scopes() {
                if scope.cancel(CancelReason::Shutdown) {
                    report.interrupted += 1;
                }
            }
            let settle = CancelRequest::DEFAULT_GRACE + node.options.settle_limit;
            let _ = within(node.clock(), settle, node.work.wait()).await;
        }
        report.unsettled = node.attempts.len();
        report.open_stops = self.settle_stops().await;
        node.closed.cancel();
        self.loops.close();
        self.loops.wait().await;
        let incarnation = *node.incarnation.borrow();
        if let Some(incarnation) = incarnation.filter(|_| report.unsettled == 0) {
            // Not persisted by all means: a node that cannot say goodbye is found dead.
            if let Err(error) = node.store().end_node(incarnation, NodeEnd::CleanExit).await {
                tracing::warn!(%error, "the end of this node could not be recorded");
            }
        }
        report
    }

    /// Gives the stops that are being driven the time that one call may take.
    async fn settle_stops(&self) -> usize {
        let node = &self.node;
        node.wake.stops.notify_one();
        let idle = async {
            // Twice idle in a row: the loop may be reading the next ones in between.
            let mut idle = 0;
            while idle < 2 {
                idle = if self.stops.driven() == 0 { idle + 1 } else { 0 };
                node.clock().sleep(LOOK).await;
            }
        };
        let _ = within(node.clock(), node.options.stop_call_limit, idle).await;
        self.stops.driven()
    }
}

/// Deletes what is no longer kept.
pub(super) async fn prune(node: Arc<Node>) {
    let Some(keep) = node.options.keep else { return };
    let never = tokio::sync::Notify::new();
    while node.pause(&never, PRUNE_EVERY).await {
        loop {
            match node.store().prune(keep, PRUNE_BATCH).await {
                Ok(count) if count >= u64::from(PRUNE_BATCH) => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "finished jobs could not be pruned");
                    break;
                }
            }
        }
    }
}
