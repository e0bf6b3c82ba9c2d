use time::OffsetDateTime;

use super::{Cells, Fault};
use crate::store::{NodeEnd, NodeIdentity, NodeRecord};

/// The word for a node of which nothing more can be learnt.
pub(super) const ABANDONED: &str = "abandoned";

/// How it is known that a node has ended, as it stands in its column.
pub(crate) const fn end_word(how: NodeEnd) -> &'static str {
    match how {
        NodeEnd::CleanExit => "clean_exit",
        NodeEnd::ProcessGone => "process_gone",
        NodeEnd::Abandoned => ABANDONED,
    }
}

/// Reads a node: incarnation, name, process, executors, lease_until.
pub(crate) fn node(row: &impl Cells, now: OffsetDateTime) -> Result<NodeRecord, Fault> {
    let lease_until = row.time(4)?;
    Ok(NodeRecord {
        node: NodeIdentity {
            incarnation: row.incarnation(0)?,
            name: row.string(1)?,
            process: row.json(2)?,
            executors: row.names(3)?,
        },
        lease_until,
        expired: now >= lease_until,
    })
}
