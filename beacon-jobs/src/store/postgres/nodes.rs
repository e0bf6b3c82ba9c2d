//! The nodes and their leases.

use std::time::Duration;

use super::codec::interval;
use super::link::{Call, Nature};
use super::source::{Lane, Source};
use super::statements::Statement;
use crate::id::IncarnationId;
use crate::store::sql::{self, Cells, Fault, json, text};
use crate::store::{Heartbeat, NodeEnd, NodeIdentity, NodeRecord};

pub(super) async fn join(source: &Source, node: &NodeIdentity, lease: Duration) -> Result<(), Fault> {
    let call = Call::new(Statement::Join)
        .bind(node.incarnation.as_uuid())
        .bind(text(&node.name))
        .bind(json(&node.process))
        .bind(&node.executors)
        .bind(interval(lease))
        .bind(node.process.host());
    source.run(Lane::Urgent, Nature::Repeatable, &call).await.map(drop)
}

pub(super) async fn heartbeat(
    source: &Source,
    incarnation: IncarnationId,
    lease: Duration,
) -> Result<Heartbeat, Fault> {
    let call = Call::new(Statement::Heartbeat).bind(incarnation.as_uuid()).bind(interval(lease));
    let answer = source.run(Lane::Urgent, Nature::Repeatable, &call).await?;
    Ok(if answer.rows().len() > 0 { Heartbeat::Alive } else { Heartbeat::Lost })
}

pub(super) async fn end_node(source: &Source, incarnation: IncarnationId, how: NodeEnd) -> Result<(), Fault> {
    let call = Call::new(Statement::EndNode).bind(incarnation.as_uuid()).bind(sql::end_word(how));
    source.run(Lane::Urgent, Nature::Repeatable, &call).await.map(drop)
}

pub(super) async fn nodes(source: &Source) -> Result<Vec<NodeRecord>, Fault> {
    let answer = source.run(Lane::Common, Nature::Read, &Call::new(Statement::Nodes)).await?;
    answer.rows().map(|row| sql::node(row, row.time(5)?)).collect()
}
