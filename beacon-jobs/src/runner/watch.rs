use std::collections::BTreeMap;
use std::sync::Arc;

use time::OffsetDateTime;

use super::node::Node;
use crate::cancel::CancelReason;
use crate::clock::until;
use crate::error::Result;
use crate::id::JobId;
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
                node.look_at(&id);
                node.wake.stops.notify_one();
            }
            Signal::Missed => {
                node.wake.claim.notify_one();
                for id in node.running_ids() {
                    node.look_at(&id);
                }
                node.wake.stops.notify_one();
            }
            Signal::Job(_) => {}
        }
    }
}

/// Compares the jobs that run here with what the store says of them: those that somebody named at
/// once, all once in a poll.
pub(super) async fn run(node: Arc<Node>) {
    let mut next_look = node.clock().now() + node.poll();
    while node.pause(&node.wake.watch, until(node.clock(), next_look)).await {
        let named = node.named();
        let ids = if node.clock().now() >= next_look {
            next_look = node.clock().now() + node.poll();
            node.running_ids()
        } else {
            named
        };
        if let Err(error) = look(&node, &ids).await {
            tracing::warn!(%error, "running jobs could not be compared with the store");
        }
    }
}

async fn look(node: &Node, ids: &[JobId]) -> Result<()> {
    let Some(incarnation) = *node.incarnation.borrow() else { return Ok(()) };
    let live = |id: &&JobId| node.running.get(id).is_some_and(|job| !job.scope.token().is_cancelled());
    let ids: Vec<JobId> = ids.iter().filter(live).cloned().collect();
    if ids.is_empty() {
        return Ok(());
    }
    let held = node.store().held(incarnation, &ids).await?;
    let held: BTreeMap<_, _> = held.into_iter().map(|job| (job.id.clone(), job)).collect();
    let mut force_at: BTreeMap<&JobId, OffsetDateTime> = BTreeMap::new();
    for id in &ids {
        let Some(local) = node.running.get(id).map(|local| local.clone()) else { continue };
        match held.get(id) {
            Some(job) if job.status == JobStatus::Cancelled => {
                let (by, reason) = job.cancelled_by.clone().unwrap_or_default();
                local.scope.cancel(CancelReason::Requested { by, reason });
                force_at.extend(job.force_at.map(|at| (id, node.local(at, job.read_at))));
            }
            // Running, or with an outcome that is our own doing.
            Some(job) if job.fence == Some(local.fence) => {}
            _ => {
                tracing::warn!(job.id = %id, "the job is held by another node");
                local.scope.cancel(CancelReason::LeaseLost);
            }
        }
    }
    if !force_at.is_empty() {
        for attempt in node.attempts_where(|attempt| force_at.contains_key(&attempt.job)) {
            if let Some(at) = force_at.get(&attempt.job) {
                attempt.hasten(*at);
            }
        }
    }
    Ok(())
}
