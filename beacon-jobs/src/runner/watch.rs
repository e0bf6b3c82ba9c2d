use std::collections::HashMap;
use std::sync::Arc;

use super::node::Node;
use crate::cancel::CancelReason;
use crate::error::Result;
use crate::job::JobStatus;
use crate::store::Signal;

/// Turns the store's hints into wakes.
pub(super) async fn listen(node: Arc<Node>) {
    let mut signals = node.store().signals();
    loop {
        let signal = tokio::select! {
            biased;
            () = node.closed.cancelled() => return,
            signal = signals.next() => signal,
        };
        match signal {
            Signal::Queued => node.wake.claim.notify_one(),
            Signal::StopsDue => node.wake.stops.notify_one(),
            Signal::Cancelled(id) => {
                if node.running.get(&id).is_some_and(|running| !running.scope.token().is_cancelled()) {
                    node.wake.watch.notify_one();
                }
                node.wake.stops.notify_one();
            }
            Signal::Missed => {
                node.wake.claim.notify_one();
                node.wake.watch.notify_one();
                node.wake.stops.notify_one();
            }
            Signal::Job(_) => {}
        }
    }
}

/// Compares the jobs that run here with what the store says of them.
pub(super) async fn run(node: Arc<Node>) {
    while node.pause(&node.wake.watch, node.options.poll).await {
        if let Err(error) = look(&node).await {
            tracing::warn!(%error, "running jobs could not be compared with the store");
        }
    }
}

async fn look(node: &Node) -> Result<()> {
    let Some(incarnation) = *node.incarnation.borrow() else { return Ok(()) };
    let running = node.running_ids();
    if running.is_empty() {
        return Ok(());
    }
    let held = node.store().held(incarnation, &running).await?;
    let held: HashMap<_, _> = held.into_iter().map(|job| (job.id.clone(), job)).collect();
    for id in &running {
        let Some(local) = node.running.get(id).map(|local| local.clone()) else { continue };
        match held.get(id) {
            Some(job) if job.status == JobStatus::Cancelled => {
                let (by, reason) = job.cancelled_by.clone().unwrap_or_default();
                local.scope.cancel(CancelReason::Requested { by, reason });
                if let Some(force_at) = job.force_at {
                    for attempt in node.attempts.iter().filter(|attempt| attempt.job == *id) {
                        attempt.hasten(force_at);
                    }
                }
            }
            // Running, or with an outcome that is our own doing.
            Some(job) if job.fence == Some(local.fence) => {}
            _ => {
                tracing::warn!(job.id = %id, "the job is held by another node");
                local.scope.cancel(CancelReason::LeaseLost);
            }
        }
    }
    Ok(())
}
