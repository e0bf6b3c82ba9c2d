//! The promises, as checks, and what they are held against.

mod after_healing;
mod on_provider;
mod on_write;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use beacon_jobs::job::JobSpec;
use beacon_jobs::store::snapshot::{Snapshot, StopSnapshot};
use beacon_jobs::{AttemptId, IncarnationId, JobId};

pub use write::Write;

/// What really happened, kept beside the store.
#[derive(Debug, Default)]
pub struct Truth {
    pub snapshot: Snapshot,
    /// The jobs as their owners asked for them.
    pub specs: BTreeMap<JobId, (String, JobSpec)>,
    /// Which process minted an attempt.
    pub minted: BTreeMap<AttemptId, u64>,
    /// Attempts whose handle was saved with a permit.
    pub granted: BTreeSet<AttemptId>,
    /// What each process has learnt of cancels.
    pub learnt: BTreeSet<(u64, JobId)>,
    /// Cancels that are committed and on their way back to the process that runs the job.
    pub holding: BTreeSet<(u64, JobId)>,
    /// Cancels that were answered with "cancelled".
    pub acknowledged: BTreeSet<JobId>,
    /// Cancels that were asked for by somebody who may.
    pub requests: Vec<(JobId, String, Option<String>)>,
    /// How often somebody was told to have been the one who cancelled.
    pub winners: BTreeMap<JobId, Vec<(String, Option<String>)>>,
    pub escalations: BTreeMap<JobId, usize>,
    pub incarnations: BTreeMap<IncarnationId, u64>,
    /// Compute seen alive although its stop was confirmed under a seal by time.
    pub let_off: BTreeSet<AttemptId>,
}

fn sealed_by(stop: &StopSnapshot) -> Option<&str> {
    stop.evidence.as_ref().and_then(|evidence| evidence.get("sealed_by")).and_then(|by| by.as_str())
}
