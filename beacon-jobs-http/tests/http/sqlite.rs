//! The real store, while its file is locked by somebody else, and when it is gone.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::store::sqlite::{SqliteStore, SqliteStoreOptions};
use beacon_jobs::store::{ExecutionPage, JobStore};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor, SqliteConnection};
use tempfile::TempDir;

use crate::support::{Ask, World};

struct File {
    folder: TempDir,
    store: SqliteStore,
}

impl File {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        store.migrate().await.unwrap();
        Self { folder, store }
    }

    fn world(&self) -> World {
        World::over(Arc::new(self.store.clone()), |builder| builder)
    }

    /// Another program's connection.
    async fn intruder(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.folder.path().join("jobs.db")).connect().await.unwrap()
    }
}

async fn open(folder: &TempDir) -> SqliteStore {
    let options = SqliteStoreOptions::new().with_busy_timeout(Duration::from_millis(50));
    options.open(folder.path().join("jobs.db")).await.unwrap()
}

/// Whether this process has a file in the folder open.
fn is_open(folder: &Path) -> bool {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).any(|file| file.starts_with(folder))
}

#[tokio::test]
async fn while_the_file_is_locked_a_cancel_is_503_and_afterwards_it_holds() {
    let file = File::new().await;
    let world = file.world();
    let (id, context) = world.running().await;
    let before = world.snapshot(&id).await;

    let mut intruder = file.intruder().await;
    intruder.execute("BEGIN EXCLUSIVE").await.unwrap();
    let problem = world.send(Ask::cancel(&id)).await.problem(503, "store_unavailable");
    assert_eq!(problem["job_id"], json!(id));
    assert!(!problem.to_string().contains("jobs.db"), "where the file lies is told: {problem}");
    let job = json!({ "executions": [{ "executor": "work" }] });
    world.send(Ask::post("/api/v1/jobs").json(&job)).await.problem(503, "store_unavailable");
    world.send(Ask::get("/readyz")).await.problem(503, "store_unavailable");
    intruder.execute("ROLLBACK").await.unwrap();

    assert_eq!(world.snapshot(&id).await, before, "a refused request changed something");
    assert!(!context.is_cancelled());
    world.send(Ask::get("/readyz")).await.ok(200);
    let answer = world.send(Ask::cancel(&id)).await.ok(200);
    assert_eq!((&answer["already_cancelled"], &answer["executions_cancelled"]), (&json!(false), &json!(2)));
    assert!(context.is_cancelled());
}

#[tokio::test]
async fn when_the_file_is_gone_a_cancel_is_503_and_nothing_is_signalled() {
    let file = File::new().await;
    let world = file.world();
    let (id, context) = world.running().await;
    let away = file.folder.path().with_extension("away");
    fs::rename(file.folder.path(), &away).unwrap();
    for replaced in [false, true] {
        if replaced {
            let other = File::new().await;
            other.store.close().await;
            fs::rename(other.folder.keep(), file.folder.path()).unwrap();
        }
        world.send(Ask::cancel(&id)).await.problem(503, "store_unavailable");
        world.send(Ask::get("/readyz")).await.problem(503, "store_unavailable");
        assert!(!context.is_cancelled());
    }

    // Threads of their own close what was given up, and take away the log of whatever file has its name then.
    file.store.close().await;
    while is_open(&away) || is_open(file.folder.path()) {
        SystemClock.sleep(Duration::from_millis(5)).await;
    }
    fs::remove_dir_all(file.folder.path()).unwrap();
    fs::rename(&away, file.folder.path()).unwrap();
    let again = open(&file.folder).await;
    let detail = again.get(&id, ExecutionPage::ALL).await.unwrap().unwrap();
    assert_eq!(json!(detail.job.status), "running", "the refused cancel is nowhere");
    assert_eq!(again.audit(&id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn when_the_store_is_closed_a_cancel_is_503_and_the_file_has_none() {
    let file = File::new().await;
    let world = file.world();
    let (id, context) = world.running().await;
    file.store.close().await;
    world.send(Ask::cancel(&id)).await.problem(503, "store_unavailable");
    world.send(Ask::get(format!("/api/v1/jobs/{id}"))).await.problem(503, "store_unavailable");
    world.send(Ask::get("/readyz")).await.problem(503, "store_unavailable");
    assert!(!context.is_cancelled());
    let again = open(&file.folder).await;
    let detail = again.get(&id, ExecutionPage::ALL).await.unwrap().unwrap();
    assert_eq!(json!(detail.job.status), "running");
    assert_eq!(again.audit(&id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_cancel_is_in_the_file_once_it_is_answered() {
    let file = File::new().await;
    let world = file.world();
    let (id, _context) = world.running().await;
    let answer = world.send(Ask::cancel(&id).json(&json!({ "reason": "enough" }))).await.ok(200);
    let elsewhere = open(&file.folder).await;
    let detail = elsewhere.get(&id, ExecutionPage::NONE).await.unwrap().unwrap();
    assert_eq!(json!(detail.job.progress.cancelled), answer["executions_cancelled"]);
    assert_eq!(json!(detail.job.cancellation.unwrap().reason), "enough");
}
