//! The words by which this interface finds its jobs again, and the numbers of its rows.

use std::collections::BTreeMap;

use beacon_jobs::JobId;
use beacon_jobs::job::{ExecutionStatus, JobStatus};
use sha2::{Digest, Sha256};

/// The label of every job that came this way. Others are not shown here.
pub(super) const WIRE: (&str, &str) = ("wire", "beacon-v1");
/// The label with the number that a job's rows begin with.
pub(super) const ROWS: &str = "v1.rows";
/// The label with the digest of an `Idempotency-Key`.
pub(super) const KEY: &str = "v1.key";
/// The label of a retry with the job that it is of.
pub(super) const RETRY_OF: &str = "v1.retry_of";
/// The label of a retry with the row that it is of.
pub(super) const RETRY_ROW: &str = "v1.retry_row";
/// The labels of an execution.
pub(super) const REGION: &str = "region";
pub(super) const MODEL: &str = "model";
pub(super) const QUESTION: &str = "question";
/// Who owns a job that no wallet stands for.
pub(super) const NOBODY: &str = "anonymous";

/// How many executions a job may have: as many as a row's number has room for.
pub(super) const MOST_EXECUTIONS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 12;
/// With the index 53 bits: JavaScript has no larger exact numbers.
const JOB_BITS: u32 = 41;

/// The number that a job's rows begin with: the first bits of its id's SHA-256.
pub(super) fn rows_of(job: &JobId) -> u64 {
    let hash: [u8; 32] = Sha256::digest(job.as_str()).into();
    let (first, _) = hash.split_at(8);
    let number = first.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    (number >> (u64::BITS - JOB_BITS)).max(1)
}

/// The number of a row.
pub(super) fn row_number(job: &JobId, index: u32) -> u64 {
    rows_of(job) << INDEX_BITS | u64::from(index)
}

/// The job's number and the index that a row's number is made of.
pub(super) fn split(row: u64) -> (u64, u32) {
    let index = row & (MOST_EXECUTIONS as u64 - 1);
    (row >> INDEX_BITS, u32::try_from(index).unwrap_or_default())
}

/// The labels to find jobs of this interface by.
pub(super) fn labels<const N: usize>(more: [(&str, String); N]) -> BTreeMap<String, String> {
    let wire = (WIRE.0.to_owned(), WIRE.1.to_owned());
    more.into_iter().map(|(key, value)| (key.to_owned(), value)).chain([wire]).collect()
}

/// A digest in hexadecimal digits.
pub(super) fn fingerprint(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The portal's word for a job's status.
pub(super) const fn job_word(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Running => "processing",
        other => other.as_str(),
    }
}

/// The portal's word for an execution's status.
pub(super) const fn row_word(status: ExecutionStatus) -> &'static str {
    match status {
        ExecutionStatus::Queued => "pending",
        ExecutionStatus::Starting => "running",
        other => other.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rows_number_is_exact_in_javascript_and_leads_back() {
        for name in ["a", "bias-detection-1732875000000", &"x".repeat(128)] {
            let job = JobId::new(name).unwrap();
            for index in [0, 1, 4095] {
                let row = row_number(&job, index);
                assert!(row > 0 && row < 1 << 53, "{row}");
                assert_eq!(split(row), (rows_of(&job), index));
            }
        }
    }
}
