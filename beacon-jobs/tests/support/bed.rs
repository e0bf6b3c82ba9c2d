//! A node that has only a store, and short words for what tests do with it.

use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::host::ProcessIdentity;
use beacon_jobs::job::{ExecutionSpec, JobSpec, JobStatus};
use beacon_jobs::stop::Handle;
use beacon_jobs::store::{
    Claim, ExecutionPage, ExecutionResult, Fence, FinishExecution, JobStore, Joined, NodeIdentity,
    SaveHandle, StartExecution, StartOutcome, Submission, Submitted,
};
use beacon_jobs::{AttemptId, Error, ErrorKind, IncarnationId, JobId, RandomIds};
use serde_json::{Value, json};

pub(crate) const ALICE: &str = "alice";
pub(crate) const DOUBLE: &str = "double";
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) struct StoreBed<S, H> {
    pub(crate) store: S,
    pub(crate) node: IncarnationId,
    /// What the store's data are in.
    pub(crate) home: H,
}

impl<S: JobStore, H> StoreBed<S, H> {
    /// Enters the store.
    pub(crate) async fn enter(store: S, home: impl Into<H>) -> Self {
        let node = IncarnationId::mint(&RandomIds);
        assert_eq!(store.join(&identity(node), HOUR).await.unwrap(), Joined::Joined);
        Self { store, node, home: home.into() }
    }

    pub(crate) async fn submit(&self, name: &str, executions: usize) -> JobId {
        let submitted = self.store.submit(&submission(name, executions)).await.unwrap();
        assert_eq!(submitted, Submitted::Created(id(name)));
        id(name)
    }

    /// A job that this node holds.
    pub(crate) async fn running(&self, name: &str, executions: usize) -> (JobId, Fence) {
        let job = self.submit(name, executions).await;
        let claimed = self.store.claim(&self.wish()).await.unwrap();
        assert_eq!(claimed.len(), 1);
        assert_eq!((&claimed[0].id, claimed[0].executions.len()), (&job, executions));
        (job, claimed[0].fence)
    }

    pub(crate) fn wish(&self) -> Claim {
        Claim { incarnation: self.node, executors: vec![DOUBLE.into()], running: vec![], limit: 1 }
    }

    pub(crate) async fn start(&self, fence: Fence, job: &JobId, index: u32) -> AttemptId {
        let start = start(fence, job, index);
        let attempt = start.attempt;
        assert_eq!(self.store.start(&[start]).await.unwrap(), [StartOutcome::Started { number: 1 }]);
        attempt
    }

    pub(crate) async fn cancel(&self, job: &JobId) -> Result<CancelOutcome, Error> {
        self.store.cancel(job, &request()).await
    }

    pub(crate) async fn status(&self, job: &JobId) -> Option<JobStatus> {
        let detail = self.store.get(job, ExecutionPage::NONE).await.unwrap();
        detail.map(|detail| detail.job.status)
    }
}

pub(crate) fn identity(incarnation: IncarnationId) -> NodeIdentity {
    NodeIdentity {
        incarnation,
        name: "node".into(),
        process: ProcessIdentity::current(),
        executors: vec![DOUBLE.into()],
    }
}

pub(crate) fn id(name: &str) -> JobId {
    JobId::new(name).unwrap()
}

pub(crate) fn submission(name: &str, executions: usize) -> Submission {
    with_input(name, executions, &json!({ "prompt": "what is it" }))
}

pub(crate) fn with_input(name: &str, executions: usize, input: &Value) -> Submission {
    let spec = JobSpec::new((0..executions).map(|_| ExecutionSpec::new(DOUBLE, input.clone())));
    Submission {
        id: id(name),
        owner: ALICE.into(),
        idempotency_key: None,
        digest: spec.digest().unwrap(),
        spec,
    }
}

pub(crate) fn request() -> CancelRequest {
    CancelRequest::new(Actor::Owner(ALICE.into()))
}

pub(crate) fn start(fence: Fence, job: &JobId, index: u32) -> StartExecution {
    StartExecution { fence, job: job.clone(), index, attempt: AttemptId::mint(&RandomIds) }
}

pub(crate) fn save(fence: Fence, job: &JobId, index: u32, attempt: AttemptId, call: &str) -> SaveHandle {
    SaveHandle { fence, job: job.clone(), index, attempt, handle: Handle::new(json!({ "call": call })) }
}

pub(crate) fn finish(fence: Fence, job: &JobId, index: u32, attempt: AttemptId) -> FinishExecution {
    let result = ExecutionResult::Completed(json!({ "answer": 42 }));
    FinishExecution { fence, job: job.clone(), index, attempt, result, sealed: true }
}

/// An error as a person sees it: of this kind, one line, holding these words, and no password.
#[track_caller]
pub(crate) fn assert_says<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, words: &[&str]) {
    let error = result.expect_err("this must fail");
    let line = error.to_string();
    assert_eq!(error.kind(), kind, "{line}");
    for word in words {
        assert!(line.contains(word), "{line:?} does not say {word:?}");
    }
    assert!(!line.contains('\n') && line.len() < 300, "not one line: {line:?}");
    assert!(line.starts_with(|first: char| first.is_lowercase()) && !line.ends_with('.'), "{line:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}
