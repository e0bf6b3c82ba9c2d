use std::sync::Arc;

use super::node::Node;
use crate::clock::until;
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Liveness, ProcessIdentity};
use crate::id::IncarnationId;
use crate::store::{Heartbeat, Joined, NodeEnd, NodeIdentity, NodeRecord};

/// Enters the store as a new incarnation.
///
/// # Errors
/// `Occupied` when another node lives on a store that allows one.
pub(super) async fn join(node: &Node) -> Result<IncarnationId> {
    let identity = NodeIdentity {
        incarnation: IncarnationId::mint(&**node.jobs.ids()),
        name: node.options.node_name.clone(),
        process: ProcessIdentity::current(),
        executors: node.executor_names(),
    };
    let mut seen: Option<NodeRecord> = None;
    loop {
        end_dead_nodes(node).await?;
        let asked = node.clock().uptime();
        let other = match node.store().join(&identity, node.options.lease).await? {
            Joined::Joined => {
                node.lease.granted(asked, node.options.lease);
                return Ok(identity.incarnation);
            }
            Joined::Occupied(other) => other,
        };
        let liveness = other.node.process.liveness();
        let renewed = seen.as_ref().is_some_and(|before| before.lease_until != other.lease_until);
        if liveness == Liveness::Alive || renewed {
            return Err(Error::new(
                ErrorKind::Occupied,
                format!(
                    "another runner ({}, process {}) uses {}; stop it first, or run without a runner",
                    other.node.name,
                    other.node.process.pid,
                    node.store(),
                ),
            ));
        }
        if other.expired && liveness == Liveness::Unknown {
            node.store().end_node(other.node.incarnation, NodeEnd::Abandoned).await?;
        } else if liveness == Liveness::Unknown {
            // A container that was replaced looks like this: its process cannot be seen from the new
            // one. Its lease tells.
            tracing::info!(node = %other.node.name, until = %other.lease_until, "waiting for another runner's lease");
            node.clock().sleep(until(node.clock(), other.lease_until)).await;
            seen = Some(other);
        }
    }
}

/// Records which nodes of this host have lost their process.
async fn end_dead_nodes(node: &Node) -> Result<()> {
    for record in node.store().nodes().await? {
        if record.node.process.liveness() == Liveness::Gone {
            tracing::info!(node = %record.node.name, pid = record.node.process.pid, "a former runner's process is gone");
            node.store().end_node(record.node.incarnation, NodeEnd::ProcessGone).await?;
        }
    }
    Ok(())
}

/// Keeps the lease; comes back as a new incarnation when it was lost.
pub(super) async fn keep(node: Arc<Node>) {
    let beat = node.options.lease / 3;
    let never = tokio::sync::Notify::new();
    while node.pause(&never, beat).await {
        let Some(incarnation) = *node.incarnation.borrow() else { continue };
        let asked = node.clock().uptime();
        match node.store().heartbeat(incarnation, node.options.lease).await {
            Ok(Heartbeat::Alive) => {
                node.lease.granted(asked, node.options.lease);
                if let Err(error) = end_dead_nodes(&node).await {
                    tracing::warn!(%error, "dead nodes could not be recorded");
                }
            }
            Ok(Heartbeat::Lost) => come_back(&node, incarnation).await,
            // The lease runs on in the store, or it does not: the next beat tells.
            Err(error) => tracing::warn!(%error, "heartbeat failed"),
        }
    }
}

/// Lets everything that the lost incarnation began settle and be sealed, and only then enters anew:
/// the old tasks still hold the contexts of jobs that the new incarnation may be given.
async fn come_back(node: &Arc<Node>, lost: IncarnationId) {
    tracing::warn!(incarnation = %lost, "the lease was lost; settling");
    node.incarnation.send_replace(None);
    node.work.close();
    loop {
        // Again and again, for a claim may have been under way.
        node.give_up_all();
        tokio::select! {
            biased;
            () = node.closed.cancelled() => return,
            () = node.work.wait() => break,
            () = node.clock().sleep(node.options.poll) => {}
        }
    }
    node.work.reopen();
    let joined = node
        .persist("join", || async {
            node.store().end_node(lost, NodeEnd::CleanExit).await?;
            join(node).await
        })
        .await;
    if let Some(incarnation) = joined {
        tracing::info!(%incarnation, "entered anew");
        node.incarnation.send_replace(Some(incarnation));
        node.wake.claim.notify_one();
    }
}
