//! The nodes and their leases.

use std::time::Duration;

use time::OffsetDateTime;

use super::codec::{Cells, blob, json, nanos, nanos_after};
use super::error::Fault;
use super::link::Link;
use super::own::Done;
use super::sql;
use crate::clock::Clock;
use crate::id::IncarnationId;
use crate::store::{Heartbeat, Joined, NodeEnd, NodeIdentity, NodeRecord, Signal};

/// The word for a node of which nothing more can be learnt.
pub(super) const ABANDONED: &str = "abandoned";

/// Sees that the file can be locked for writing and has its tables.
pub(super) async fn check(link: &mut Link<'_>) -> Done<()> {
    link.run(link.call(sql::CHECK)).await?;
    link.rollback().await?;
    Ok(((), Vec::new()))
}

pub(super) async fn join(
    link: &mut Link<'_>,
    clock: &dyn Clock,
    node: &NodeIdentity,
    lease: Duration,
) -> Done<Joined> {
    let incarnation = blob(node.incarnation.as_uuid());
    let answers = link.run(link.call(sql::JOIN_READ).bind(incarnation.clone())).await?;
    let now = clock.now();
    if let Some(row) = answers.row(0) {
        let other = record(&row, now)?;
        link.rollback().await?;
        let is_same = other.node.incarnation == node.incarnation;
        return Ok((if is_same { Joined::Joined } else { Joined::Occupied(other) }, Vec::new()));
    }
    let call = link
        .call(sql::JOIN)
        .bind(incarnation)
        .bind(node.name.clone())
        .bind(json(&node.process))
        .bind(json(&node.executors))
        .bind(nanos_after(now, lease))
        .bind(node.process.host());
    link.run(call).await?;
    Ok((Joined::Joined, Vec::new()))
}

pub(super) async fn heartbeat(
    link: &mut Link<'_>,
    clock: &dyn Clock,
    incarnation: IncarnationId,
    lease: Duration,
) -> Done<Heartbeat> {
    // The time is read under the lock: a lease that ran out while this waited is lost.
    link.run(link.call(sql::BEGIN)).await?;
    let now = clock.now();
    let call = link
        .call(sql::HEARTBEAT)
        .bind(blob(incarnation.as_uuid()))
        .bind(nanos(now))
        .bind(nanos_after(now, lease));
    let is_alive = link.run(call).await?.changed(0) > 0;
    Ok((if is_alive { Heartbeat::Alive } else { Heartbeat::Lost }, Vec::new()))
}

pub(super) async fn end_node(
    link: &mut Link<'_>,
    clock: &dyn Clock,
    incarnation: IncarnationId,
    how: NodeEnd,
) -> Done<()> {
    link.run(link.call(sql::BEGIN)).await?;
    let how = match how {
        NodeEnd::CleanExit => "clean_exit",
        NodeEnd::ProcessGone => "process_gone",
        NodeEnd::Abandoned => ABANDONED,
    };
    let call = link.call(sql::END_NODE).bind(blob(incarnation.as_uuid())).bind(nanos(clock.now())).bind(how);
    link.run(call).await?;
    Ok(((), vec![Signal::Queued]))
}

/// Reads a node: incarnation, name, process, executors, lease.
pub(super) fn record(row: &Cells<'_>, now: OffsetDateTime) -> Result<NodeRecord, Fault> {
    let lease_until = row.time(4)?;
    Ok(NodeRecord {
        node: NodeIdentity {
            incarnation: row.incarnation(0)?,
            name: row.get(1)?,
            process: row.json(2)?,
            executors: row.json(3)?,
        },
        lease_until,
        expired: now >= lease_until,
    })
}
