use std::sync::Arc;

use super::job;
use super::node::Node;
use crate::error::Result;
use crate::store::{Claim, ClaimedJob};

/// Takes jobs while there is room for them.
pub(super) async fn run(node: Arc<Node>) {
    loop {
        if !node.draining.is_cancelled()
            && let Err(error) = take(&node).await
        {
            tracing::warn!(%error, "jobs could not be claimed");
        }
        if !node.pause(&node.wake.claim, node.options.poll).await {
            return;
        }
    }
}

async fn take(node: &Arc<Node>) -> Result<()> {
    let Some(mut claim) = room(node) else { return Ok(()) };
    for job in node.store().take_over(&claim).await? {
        tracing::info!(job.id = %job.id, epoch = job.fence.epoch, "job taken over");
        run_job(node, job);
    }
    while let Some(next) = room(node) {
        claim = next;
        let claimed = node.store().claim(&claim).await?;
        if claimed.is_empty() {
            break;
        }
        for job in claimed {
            run_job(node, job);
        }
    }
    Ok(())
}

/// What may be taken now; `None` when nothing may.
fn room(node: &Node) -> Option<Claim> {
    let incarnation = (*node.incarnation.borrow())?;
    let running = node.running_ids();
    let limit = node.options.max_jobs.saturating_sub(running.len());
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let may = limit > 0 && !node.draining.is_cancelled();
    may.then(|| Claim { incarnation, executors: node.executor_names(), running, limit })
}

fn run_job(node: &Arc<Node>, job: ClaimedJob) {
    // A live context of the same id is of a task that still settles, or of the host's own. The job
    // is in the store as ours, and is taken up again once the id is free.
    match node.jobs.contexts().register(job.id.clone()) {
        Ok(context) => job::spawn(node, job, context),
        Err(error) => tracing::warn!(%error, "the job cannot run yet"),
    }
}
