use std::sync::Arc;

use super::job;
use super::node::Node;
use crate::clock::until;
use crate::error::Result;
use crate::metrics;
use crate::store::{Claim, ClaimedJob};

/// Takes jobs while there is room for them: new ones at each wake, others' once in a poll.
pub(super) async fn run(node: Arc<Node>) {
    let mut next_look = node.clock().now();
    loop {
        let look = node.clock().now() >= next_look;
        if look {
            next_look = node.clock().now() + node.poll();
        }
        if let Err(error) = take(&node, look).await {
            tracing::warn!(%error, "jobs could not be claimed");
        }
        if !node.pause(&node.wake.claim, until(node.clock(), next_look)).await {
            return;
        }
    }
}

async fn take(node: &Arc<Node>, take_over: bool) -> Result<()> {
    if let Some(mut claim) = room(node).filter(|_| take_over) {
        claim.running = node.running_ids();
        for job in node.store().take_over(&claim).await? {
            tracing::info!(job.id = %job.id, epoch = job.fence.epoch, "job taken over");
            metrics::claimed(true);
            run_job(node, job);
        }
    }
    while let Some(claim) = room(node) {
        let claimed = node.store().claim(&claim).await?;
        if claimed.is_empty() {
            break;
        }
        for job in claimed {
            metrics::claimed(false);
            run_job(node, job);
        }
    }
    Ok(())
}

/// What may be taken now; `None` when nothing may.
fn room(node: &Node) -> Option<Claim> {
    let incarnation = (*node.incarnation.borrow())?;
    let limit = node.options.max_jobs.saturating_sub(node.running.len());
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let may = limit > 0 && !node.draining.is_cancelled();
    may.then(|| Claim { incarnation, executors: node.executor_names(), running: Vec::new(), limit })
}

fn run_job(node: &Arc<Node>, job: ClaimedJob) {
    // A live context of the same id is of a task that still settles, or of the host's own. The job
    // is in the store as ours, and is taken up again once the id is free.
    match node.jobs.contexts().register(job.id.clone()) {
        Ok(context) => job::spawn(node, job, context),
        Err(error) => tracing::warn!(%error, "the job cannot run yet"),
    }
}
