//! The words in which cases speak: what they submit, write and expect.

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::cancel::{Actor, CancelOutcome, CancelRequest, Escalation};
use crate::id::{AttemptId, JobId};
use crate::job::{AuditEntry, ExecutionProgress, ExecutionSpec, Failure, FailureKind, JobDetail, JobSpec};
use crate::stop::{Handle, SealedBy, StopItem};
use crate::store::{
    ClaimedJob, ExecutionResult, Fence, FinishExecution, FinishJob, ReportProgress, SaveHandle,
    StartExecution, StopAnswer, StopUpdate, Submission,
};

/// The owner of every job that a case does not say otherwise of.
pub(super) const ALICE: &str = "alice";
/// The executor of every execution that a case does not say otherwise of.
pub(super) const DOUBLE: &str = "double";
/// Longer than any case.
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
/// Shorter than anything that a case waits for.
pub(super) const INSTANT: Duration = Duration::from_millis(1);

/// A job that a node holds.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) job: JobId,
    pub(super) fence: Fence,
}

impl From<ClaimedJob> for Held {
    fn from(claimed: ClaimedJob) -> Self {
        Self { job: claimed.id, fence: claimed.fence }
    }
}

impl Held {
    pub(super) fn start(&self, index: u32, attempt: AttemptId) -> StartExecution {
        StartExecution { fence: self.fence, job: self.job.clone(), index, attempt }
    }

    pub(super) fn save(&self, index: u32, attempt: AttemptId, handle: &Handle) -> SaveHandle {
        SaveHandle { fence: self.fence, job: self.job.clone(), index, attempt, handle: handle.clone() }
    }

    pub(super) fn report(&self, index: u32, attempt: AttemptId, done: u32) -> ReportProgress {
        let progress = ExecutionProgress::new(done).of(9).with_message(format!("step {done}"));
        ReportProgress { fence: self.fence, job: self.job.clone(), index, attempt, progress }
    }

    pub(super) fn finish(&self, index: u32, attempt: AttemptId, result: ExecutionResult) -> FinishExecution {
        FinishExecution { fence: self.fence, job: self.job.clone(), index, attempt, result, sealed: false }
    }

    pub(super) fn finish_job(&self) -> FinishJob {
        FinishJob { fence: self.fence, job: self.job.clone(), timed_out: false }
    }

    pub(super) fn time_out(&self) -> FinishJob {
        FinishJob { timed_out: true, ..self.finish_job() }
    }

    /// The same holder one take-over earlier.
    pub(super) fn stale(&self) -> Self {
        let fence = Fence { epoch: self.fence.epoch - 1, ..self.fence };
        Self { job: self.job.clone(), fence }
    }
}

/// Everything that can be read about a job, to show that a call changed nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Snapshot {
    pub(super) detail: Option<JobDetail>,
    pub(super) audit: Vec<AuditEntry>,
    pub(super) due: Vec<StopItem>,
}

pub(super) fn id(name: &str) -> JobId {
    JobId::new(name).expect("a case uses legal ids")
}

pub(super) fn spec(executions: usize) -> JobSpec {
    JobSpec::new((0..executions).map(|index| ExecutionSpec::new(DOUBLE, json!({ "index": index }))))
}

pub(super) fn submission(name: &str, owner: &str, spec: JobSpec) -> Submission {
    let digest = spec.digest().expect("a case uses legal specs");
    Submission { id: id(name), owner: owner.to_owned(), idempotency_key: None, spec, digest }
}

pub(super) fn by_alice() -> CancelRequest {
    CancelRequest::new(Actor::Owner(ALICE.to_owned()))
}

pub(super) fn handle(name: &str) -> Handle {
    Handle::new(json!({ "call": name }))
}

pub(super) fn completed(output: Value) -> ExecutionResult {
    ExecutionResult::Completed(output)
}

pub(super) fn failed(retry: bool) -> ExecutionResult {
    let failure = Failure::new(FailureKind::Failed, "exit code 1");
    ExecutionResult::Failed { failure, output: None, retry, counts: true }
}

pub(super) fn ended() -> StopAnswer {
    StopAnswer::Ended { evidence: json!({ "exit_code": 143 }), seals: false }
}

pub(super) fn acknowledged() -> StopAnswer {
    StopAnswer::Acknowledged { evidence: json!({ "asked": true }) }
}

pub(super) fn unconfirmed(settled: bool, again: bool) -> StopAnswer {
    let why = "the provider cannot say".to_owned();
    StopAnswer::Unconfirmed { why, evidence: None, settled, again }
}

/// What a call brought that began before a confirmation. The stop is due again at once if it stays
/// open, and watched if it may be.
pub(super) const fn update(
    attempt: AttemptId,
    seen_seal: Option<SealedBy>,
    answer: StopAnswer,
) -> StopUpdate {
    StopUpdate {
        attempt,
        seen_seal,
        seen_confirmed: false,
        seen_tries: None,
        answer,
        due_in: Duration::ZERO,
        watch: true,
    }
}

pub(super) fn opened(outcome: CancelOutcome) -> Vec<StopItem> {
    match outcome {
        CancelOutcome::Cancelled { opened, .. } => opened,
        other => panic!("the cancel must win, but: {other:?}"),
    }
}

/// Without the time of their reading, which is the one thing that changes by itself.
pub(super) fn timeless(items: impl IntoIterator<Item = StopItem>) -> Vec<StopItem> {
    items.into_iter().map(|item| StopItem { read_at: OffsetDateTime::UNIX_EPOCH, ..item }).collect()
}

pub(super) fn escalation(outcome: CancelOutcome) -> Option<Escalation> {
    match outcome {
        CancelOutcome::AlreadyCancelled { escalation, .. } => escalation,
        other => panic!("the job was cancelled before, but: {other:?}"),
    }
}
