//! The nodes and their leases.

use std::time::Duration;

use super::codec::{blob, nanos, nanos_after};
use super::link::Link;
use super::own::Done;
use super::statements;
use crate::clock::Clock;
use crate::id::IncarnationId;
use crate::store::sql::{self, json};
use crate::store::{Heartbeat, Joined, NodeEnd, NodeIdentity, Signal};

/// Sees that the file can be locked for writing and has its tables.
pub(super) async fn check(link: &mut Link<'_>) -> Done<()> {
    link.run(link.call(statements::CHECK)).await?;
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
    let answers = link.run(link.call(statements::JOIN_READ).bind(incarnation.clone())).await?;
    let now = clock.now();
    if let Some(row) = answers.row(0) {
        let other = sql::node(row, now)?;
        link.rollback().await?;
        let is_same = other.node.incarnation == node.incarnation;
        return Ok((if is_same { Joined::Joined } else { Joined::Occupied(other) }, Vec::new()));
    }
    let call = link
        .call(statements::JOIN)
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
    link.run(link.call(statements::BEGIN)).await?;
    let now = clock.now();
    let call = link
        .call(statements::HEARTBEAT)
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
    link.run(link.call(statements::BEGIN)).await?;
    let call = link
        .call(statements::END_NODE)
        .bind(blob(incarnation.as_uuid()))
        .bind(nanos(clock.now()))
        .bind(sql::end_word(how));
    link.run(call).await?;
    Ok(((), vec![Signal::Queued]))
}
