use crate::id::JobId;
use crate::job::{JobSpec, JobStatus};

/// A job to take in. Its spec was [checked](JobSpec::check).
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The job's name.
    pub id: JobId,
    /// Who submits it.
    pub owner: String,
    /// A word of the owner that makes a repeated submission harmless.
    pub idempotency_key: Option<String>,
    /// The job. Its own `id`, when it has one, is `id`: a job of another name is not what was asked for.
    pub spec: JobSpec,
    /// [`JobSpec::digest`] of the spec.
    pub digest: [u8; 32],
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Taken in now.
    Created(JobId),
    /// An equal one had been taken in before, and is in this status.
    Existing(JobId, JobStatus),
    /// The id or the key is taken by something else. Nothing was changed.
    Conflict(JobId),
}

impl Submitted {
    /// What a job of the same owner with an equal spec is to a submission that named this id, or none.
    pub(crate) fn equal(id: JobId, status: JobStatus, named: Option<&JobId>) -> Self {
        if named.is_none_or(|named| *named == id) { Self::Existing(id, status) } else { Self::Conflict(id) }
    }
}
