use crate::job::{Cancellation, JobStatus, StopCounts};
use crate::stop::StopItem;

/// What became of a cancel. Each variant is a fact that was committed, or read from the row that
/// the same transaction had locked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CancelOutcome {
    /// This request cancelled the job. From here on no late output becomes its result.
    Cancelled {
        /// The record of it.
        record: Cancellation,
        /// The job's stops, right after the commit.
        stops: StopCounts,
        /// Stops that the commit opened, to be driven at once: all of them, or the first
        /// [`MOST_OPENED`](Self::MOST_OPENED) or more of many, be they of one job or of all that a
        /// call cancelled. The rest are due in the store, from where a runner takes them.
        opened: Vec<StopItem>,
    },
    /// An earlier request had cancelled it.
    AlreadyCancelled {
        /// The first record.
        record: Cancellation,
        /// The job's stops as of now.
        stops: StopCounts,
        /// What this request made harsher, if it did.
        escalation: Option<Escalation>,
    },
    /// The job had its outcome first. Nothing was changed.
    AlreadyFinished {
        /// The outcome.
        status: JobStatus,
    },
    /// The job belongs to somebody else. Nothing was changed.
    NotYours,
    /// There is no such job. Nothing was changed.
    NotFound,
}

impl CancelOutcome {
    /// A store may leave further opened stops out of its answer: reading them back costs more than
    /// the cancel itself.
    pub const MOST_OPENED: u32 = 256;
}

/// A later, harsher cancel shortened the grace of stops that were still open.
#[derive(Clone, Debug, PartialEq)]
pub struct Escalation {
    /// The stops that became harsher, to be driven at once.
    pub hastened: Vec<StopItem>,
}
