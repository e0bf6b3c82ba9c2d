use time::OffsetDateTime;

use crate::host::ProcessIdentity;
use crate::id::IncarnationId;

/// One life of a node, as it enters a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// This life.
    pub incarnation: IncarnationId,
    /// The node's name for people.
    pub name: String,
    /// Its process.
    pub process: ProcessIdentity,
    /// The executors that it has.
    pub executors: Vec<String>,
}

/// A node as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// What it entered with.
    pub node: NodeIdentity,
    /// Until when its lease runs, or ran.
    pub lease_until: OffsetDateTime,
    /// Whether the lease has run out by the store's clock.
    pub expired: bool,
}

/// What became of a node's wish to enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It is in.
    Joined,
    /// The store allows one node, and this one is not known to have ended.
    Occupied(NodeRecord),
}

/// The answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// The lease runs on.
    Alive,
    /// The lease had run out, or the incarnation is known to have ended: it is lost for good.
    Lost,
}

/// How it is known that an incarnation has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeEnd {
    /// It said so itself: none of its requests is under way.
    CleanExit,
    /// Its process is gone from its host.
    ProcessGone,
    /// Its lease ran out and nothing more can be learnt. Its attempts can only be sealed by time.
    Abandoned,
}
