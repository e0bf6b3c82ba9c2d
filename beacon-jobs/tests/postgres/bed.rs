//! A store in a schema of its own, and short words for what tests do with it.

use std::collections::HashSet;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::host::ProcessIdentity;
use beacon_jobs::job::{ExecutionSpec, JobSpec, JobStatus};
use beacon_jobs::stop::Handle;
use beacon_jobs::store::postgres::{PostgresStore, PostgresStoreOptions};
use beacon_jobs::store::{
    Claim, ClaimedJob, ExecutionPage, ExecutionResult, Fence, FinishExecution, FinishJob, HostBound,
    JobStore, Joined, NodeIdentity, SaveHandle, StartExecution, StartOutcome, Submission, Submitted,
    TakeStops,
};
use beacon_jobs::{AttemptId, Error, ErrorKind, IncarnationId, JobId, RandomIds};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::server;

pub(crate) const ALICE: &str = "alice";
pub(crate) const DOUBLE: &str = "double";
/// Long enough that only a hang reaches it.
pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) struct Bed {
    pub(crate) store: PostgresStore,
    pub(crate) node: IncarnationId,
    pub(crate) schema: String,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(set: impl Fn(PostgresStoreOptions) -> PostgresStoreOptions) -> Self {
        Self::on(&server::url(), &server::schema(), set).await
    }

    pub(crate) async fn on(
        url: &str,
        schema: &str,
        set: impl Fn(PostgresStoreOptions) -> PostgresStoreOptions,
    ) -> Self {
        let options = set(PostgresStoreOptions::new().with_schema(schema).unwrap());
        let store = options.open(url).await.unwrap();
        store.migrate().await.unwrap();
        Self::enter(store, schema).await
    }

    pub(crate) async fn enter(store: PostgresStore, schema: &str) -> Self {
        let node = IncarnationId::mint(&RandomIds);
        assert_eq!(store.join(&identity(node), HOUR).await.unwrap(), Joined::Joined);
        Self { store, node, schema: schema.to_owned() }
    }

    /// Another node on the same database.
    pub(crate) async fn other(&self) -> Self {
        Self::on(&server::url(), &self.schema, |options| options).await
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

    pub(crate) async fn take_over(&self) -> Vec<ClaimedJob> {
        self.store.take_over(&Claim { limit: 1_000, ..self.wish() }).await.unwrap()
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

    pub(crate) fn stops(&self) -> TakeStops {
        TakeStops {
            incarnation: self.node,
            executors: vec![DOUBLE.into()],
            host_bound: HostBound::default(),
            hold: Duration::ZERO,
            limit: 100,
        }
    }

    /// Runs SQL of the test; `@.` stands for the schema.
    pub(crate) async fn execute(&self, connection: &mut PgConnection, sql: &str) {
        let sql = sql.replace("@.", &format!("{}.", self.schema));
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    }

    /// The one number that SQL of the test brings.
    pub(crate) async fn number(&self, connection: &mut PgConnection, sql: &str) -> i64 {
        let sql = sql.replace("@.", &format!("{}.", self.schema));
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap()
    }

    /// Waits until so many statements about this schema wait for a lock.
    pub(crate) async fn until_waiting(&self, connection: &mut PgConnection, statements: i64) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{}%'",
            self.schema
        );
        until(async || self.number(connection, &sql).await >= statements).await;
    }

    /// Ends the server's ends of connections that wait for a lock, until so many have been ended.
    pub(crate) async fn kill_waiting(&self, connection: &mut PgConnection, backends: usize) {
        let sql = format!(
            "SELECT pid FROM ( \
               SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{}%' OFFSET 0 \
             ) waiting WHERE pg_terminate_backend(pid)",
            self.schema
        );
        let mut killed = HashSet::new();
        until(async || {
            let pids: Vec<i32> =
                sqlx::query_scalar(AssertSqlSafe(sql.clone())).fetch_all(&mut *connection).await.unwrap();
            killed.extend(pids);
            killed.len() >= backends
        })
        .await;
    }
}

/// Asks until the answer is yes.
pub(crate) async fn until(mut ask: impl AsyncFnMut() -> bool) {
    let asked = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, asked).await.expect("what is waited for does not come");
}

/// A connection of the test's own.
pub(crate) async fn connect() -> PgConnection {
    PgConnection::connect(&server::url()).await.unwrap()
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
    let spec = JobSpec::new((0..executions).map(|_| ExecutionSpec::new(DOUBLE, json!({ "prompt": "what" }))));
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

pub(crate) fn finish_job(fence: Fence, job: &JobId) -> FinishJob {
    FinishJob { fence, job: job.clone(), timed_out: false }
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
    assert!(!line.contains('\n') && line.len() < 400, "not one line: {line:?}");
    assert!(line.starts_with(|first: char| first.is_lowercase()) && !line.ends_with('.'), "{line:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}
