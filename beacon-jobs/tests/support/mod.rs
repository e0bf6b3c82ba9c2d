//! What the runner's tests share: stores under test, a provider double, and a store wrapper that
//! stops at every call.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, missing_docs)]

pub mod lost;
pub mod postgres;
pub mod prelude;
pub mod probe;
pub mod provider;

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::job::{ExecutionSpec, JobDetail, JobSpec};
use beacon_jobs::runner::{JobRunner, RunnerBuilder, RunnerOptions};
use beacon_jobs::store::{ExecutionPage, JobStore, MemoryStore};
use beacon_jobs::{JobId, Jobs, Settled};
use serde_json::json;

/// Long enough that only a hang reaches it.
pub const LONG: Duration = Duration::from_secs(60);

/// A store under test, and what it lives in.
pub struct Stand {
    pub store: Arc<dyn JobStore>,
    _guard: Option<tempfile::TempDir>,
}

pub async fn memory() -> Stand {
    Stand { store: Arc::new(MemoryStore::new()), _guard: None }
}

pub async fn sqlite() -> Stand {
    let folder = tempfile::tempdir().unwrap();
    let store = open_sqlite(&folder).await;
    Stand { store: Arc::new(store), _guard: Some(folder) }
}

async fn open_sqlite(folder: &tempfile::TempDir) -> beacon_jobs::store::sqlite::SqliteStore {
    let store = beacon_jobs::store::sqlite::SqliteStore::open(folder.path().join("jobs.db")).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// A schema of its own on the server of the test run.
pub async fn on_postgres() -> Stand {
    Stand { store: Arc::new(postgres::store(&postgres::schema()).await), _guard: None }
}

/// Expands a test body, a function of a `Stand`, to one test a store.
#[macro_export]
macro_rules! on_each_store {
    ($($name:ident),+ $(,)?) => {
        mod on_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::support::memory().await).await; })+
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::support::sqlite().await).await; })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::support::on_postgres().await).await; })+
        }
    };
}

pub fn quick_options() -> RunnerOptions {
    let mut options = RunnerOptions::default();
    options.poll = Duration::from_millis(50);
    options.settle_limit = Duration::from_secs(5);
    options
}

pub fn runner(jobs: &Jobs) -> RunnerBuilder {
    JobRunner::builder(jobs).options(quick_options())
}

pub fn one(executor: &str) -> JobSpec {
    JobSpec::new([ExecutionSpec::new(executor, json!(null))])
}

pub fn many(executor: &str, count: usize) -> JobSpec {
    JobSpec::new((0..count).map(|n| ExecutionSpec::new(executor, json!(n))))
}

pub fn by_alice() -> CancelRequest {
    CancelRequest::new(Actor::Owner("alice".to_owned()))
}

pub async fn submit(jobs: &Jobs, spec: JobSpec) -> JobId {
    jobs.submit("alice", spec).await.unwrap().id
}

pub async fn detail(jobs: &Jobs, id: &JobId) -> JobDetail {
    jobs.get(id, ExecutionPage::ALL).await.unwrap().unwrap()
}

/// Waits until every stop of the job is settled, and reads it.
pub async fn settled(jobs: &Jobs, id: &JobId) -> JobDetail {
    let settled = jobs.settled(id, LONG).await.unwrap();
    let detail = detail(jobs, id).await;
    assert!(matches!(settled, Settled::Yes(_)), "not settled: {settled:?} {detail:#?}");
    detail
}

/// Waits until `fits` says so of the job.
pub async fn until(jobs: &Jobs, id: &JobId, fits: impl Fn(&JobDetail) -> bool) -> JobDetail {
    let mut signals = jobs.store().signals();
    let waiting = async {
        loop {
            let now = detail(jobs, id).await;
            if fits(&now) {
                return now;
            }
            let _ = tokio::time::timeout(Duration::from_millis(50), signals.next()).await;
        }
    };
    match tokio::time::timeout(LONG, waiting).await {
        Ok(detail) => detail,
        Err(_) => panic!("never so: {:#?}", detail(jobs, id).await),
    }
}
