//! A store in a folder of its own, and short words for what tests do with it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::host::ProcessIdentity;
use beacon_jobs::job::{ExecutionSpec, JobSpec, JobStatus};
use beacon_jobs::stop::Handle;
use beacon_jobs::store::sqlite::{SqliteStore, SqliteStoreOptions};
use beacon_jobs::store::{
    Claim, ExecutionPage, ExecutionResult, Fence, FinishExecution, JobStore, Joined, NodeIdentity,
    SaveHandle, StartExecution, StartOutcome, Submission, Submitted,
};
use beacon_jobs::{AttemptId, Error, ErrorKind, IncarnationId, JobId, RandomIds};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Executor};

pub(crate) const ALICE: &str = "alice";
pub(crate) const DOUBLE: &str = "double";

pub(crate) struct Bed {
    pub(crate) store: SqliteStore,
    pub(crate) node: IncarnationId,
    pub(crate) folder: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(SqliteStoreOptions::new()).await
    }

    pub(crate) async fn with(options: SqliteStoreOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = options.open(folder.path().join("beacon.db")).await.unwrap();
        Self::on(folder, store).await
    }

    pub(crate) async fn on(folder: tempfile::TempDir, store: SqliteStore) -> Self {
        store.migrate().await.unwrap();
        let node = IncarnationId::mint(&RandomIds);
        assert_eq!(store.join(&identity(node), Duration::from_secs(3600)).await.unwrap(), Joined::Joined);
        Self { store, node, folder }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("beacon.db")
    }

    /// Another connection to the file, as another program has one.
    pub(crate) async fn other(&self) -> SqliteConnection {
        connect(&self.file()).await
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
        let attempt = AttemptId::mint(&RandomIds);
        let start = StartExecution { fence, job: job.clone(), index, attempt };
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

pub(crate) async fn connect(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

/// A connection that has the write lock.
pub(crate) async fn lock(bed: &Bed) -> SqliteConnection {
    let mut other = bed.other().await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    other
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

pub(crate) fn save(fence: Fence, job: &JobId, index: u32, attempt: AttemptId, call: &str) -> SaveHandle {
    SaveHandle { fence, job: job.clone(), index, attempt, handle: Handle::new(json!({ "call": call })) }
}

pub(crate) fn finish(fence: Fence, job: &JobId, index: u32, attempt: AttemptId) -> FinishExecution {
    let result = ExecutionResult::Completed(json!({ "answer": 42 }));
    FinishExecution { fence, job: job.clone(), index, attempt, result, sealed: true }
}

/// An error as a person sees it: of this kind, one line, naming the file and holding these words.
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
}

/// Lets every task of this thread run until it waits for something else.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Runs calls side by side, in the order given, on the runtime of this thread.
pub(crate) fn spawn_all<F>(calls: impl IntoIterator<Item = F>) -> Vec<tokio::task::JoinHandle<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    calls.into_iter().map(tokio::spawn).collect()
}
