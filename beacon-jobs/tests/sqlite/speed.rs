//! What the SQLite store costs, as ratios to a floor taken in the same run. Nothing is asserted.
//!
//! `cargo test --release -p beacon-jobs --test sqlite speed -- --ignored --nocapture --test-threads 1`
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "this measures, and prints what it measured"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::host::ProcessIdentity;
use beacon_jobs::job::{ExecutionSpec, JobSpec};
use beacon_jobs::stop::Handle;
use beacon_jobs::store::sqlite::SqliteStore;
use beacon_jobs::store::{
    Claim, ExecutionPage, ExecutionResult, Fence, FinishExecution, JobStore, Joined, NodeIdentity,
    SaveHandle, StartExecution, Submission,
};
use beacon_jobs::{AttemptId, IncarnationId, JobId, RandomIds};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor};

struct Bed {
    store: SqliteStore,
    node: IncarnationId,
    floor: Floor,
    _folder: tempfile::TempDir,
}

/// A connection like the store's, on a file like the store's.
struct Floor {
    connection: SqliteConnection,
    value: i64,
}

impl Floor {
    async fn commit(&mut self, rows: i64) {
        self.value += 1;
        self.connection.execute("BEGIN IMMEDIATE").await.unwrap();
        sqlx::query("UPDATE floor SET status = $1, finished_at = $2 WHERE key < $3")
            .bind(format!("{:9}", self.value))
            .bind(self.value)
            .bind(rows)
            .execute(&mut self.connection)
            .await
            .unwrap();
        self.connection.execute("COMMIT").await.unwrap();
    }
}

impl Bed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("beacon.db")).await.unwrap();
        store.migrate().await.unwrap();
        let node = IncarnationId::mint(&RandomIds);
        let identity = NodeIdentity {
            incarnation: node,
            name: "speed".into(),
            process: ProcessIdentity::current(),
            executors: vec!["double".into()],
        };
        assert_eq!(store.join(&identity, Duration::from_secs(3600)).await.unwrap(), Joined::Joined);
        let mut connection = SqliteConnectOptions::new()
            .filename(folder.path().join("floor.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .connect()
            .await
            .unwrap();
        connection
            .execute(
                "CREATE TABLE floor (key INTEGER PRIMARY KEY, status TEXT, attempts INTEGER, counted INTEGER, \
                   started_at INTEGER, finished_at INTEGER); \
                 WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) \
                 INSERT INTO floor SELECT i, 'queued', 0, 0, NULL, NULL FROM n",
            )
            .await
            .unwrap();
        Self { store, node, floor: Floor { connection, value: 0 }, _folder: folder }
    }

    async fn submit(&self, name: &str, executions: usize) -> JobId {
        let spec = JobSpec::new(
            (0..executions)
                .map(|index| ExecutionSpec::new("double", json!({ "prompt": "what is it", "n": index }))),
        );
        let id = JobId::new(name).unwrap();
        let submission = Submission {
            id: id.clone(),
            owner: "alice".into(),
            idempotency_key: None,
            digest: spec.digest().unwrap(),
            spec,
        };
        self.store.submit(&submission).await.unwrap();
        id
    }

    async fn claim(&self) -> Fence {
        let claim =
            Claim { incarnation: self.node, executors: vec!["double".into()], running: vec![], limit: 1 };
        self.store.claim(&claim).await.unwrap()[0].fence
    }

    async fn running(&self, name: &str, executions: usize, started: usize) -> JobId {
        let job = self.submit(name, executions).await;
        let fence = self.claim().await;
        let indexes: Vec<u32> = (0..started as u32).collect();
        for chunk in indexes.chunks(500) {
            let starts: Vec<_> = chunk
                .iter()
                .map(|&index| StartExecution {
                    fence,
                    job: job.clone(),
                    index,
                    attempt: AttemptId::mint(&RandomIds),
                })
                .collect();
            self.store.start(&starts).await.unwrap();
            let saves: Vec<_> = starts
                .iter()
                .map(|start| SaveHandle {
                    fence,
                    job: job.clone(),
                    index: start.index,
                    attempt: start.attempt,
                    handle: Handle::new(json!({ "call": start.attempt.to_string(), "app": "bias" })),
                })
                .collect();
            self.store.save_handles(&saves).await.unwrap();
        }
        job
    }
}

/// Prints medians, and the least times: on a busy machine those are the steadier.
fn ratio(name: &str, mut measured: Vec<Duration>, mut floor: Vec<Duration>) {
    measured.sort();
    floor.sort();
    let at = |times: &[Duration], share: usize| times[(times.len() - 1) * share / 100];
    let part = |share| {
        let (measured, floor) = (at(&measured, share), at(&floor, share));
        format!("{measured:.0?} to {floor:.0?} = {:.2}", measured.as_secs_f64() / floor.as_secs_f64())
    };
    let mean = |times: &[Duration]| times.iter().sum::<Duration>() / times.len() as u32;
    let means = (mean(&measured), mean(&floor));
    println!(
        "{name}: p50 {}, p10 {}, least {}, mean {:.2}",
        part(50),
        part(10),
        part(0),
        means.0.as_secs_f64() / means.1.as_secs_f64()
    );
}

fn cancel_request() -> CancelRequest {
    CancelRequest::new(Actor::Owner("alice".into()))
}

async fn transitions(store: &SqliteStore, fence: Fence, job: &JobId, index: u32) -> [Duration; 3] {
    let attempt = AttemptId::mint(&RandomIds);
    let (job, times) = (job.clone(), Instant::now());
    store.start(&[StartExecution { fence, job: job.clone(), index, attempt }]).await.unwrap();
    let started = times.elapsed();
    let handle = Handle::new(json!({ "call": attempt.to_string(), "app": "bias" }));
    store.save_handles(&[SaveHandle { fence, job: job.clone(), index, attempt, handle }]).await.unwrap();
    let saved = times.elapsed();
    let result = ExecutionResult::Completed(json!({ "answer": 42, "score": 0.5 }));
    store.finish(&[FinishExecution { fence, job, index, attempt, result, sealed: true }]).await.unwrap();
    [started, saved - started, times.elapsed() - saved]
}

async fn lone(name: &str) {
    let mut bed = Bed::new().await;
    let job = bed.submit("lone", 10_000).await;
    let fence = bed.claim().await;
    let mut floor = Vec::new();
    let mut times: [Vec<Duration>; 3] = Default::default();
    for index in 0..1500 {
        let begun = Instant::now();
        bed.floor.commit(1).await;
        floor.push(begun.elapsed());
        for (times, time) in times.iter_mut().zip(transitions(&bed.store, fence, &job, index).await) {
            times.push(time);
        }
    }
    for (times, transition) in times.into_iter().zip(["start", "save", "finish"]) {
        ratio(&format!("{transition}, lone, {name}"), times, floor.clone());
    }
}

#[test]
#[ignore = "measures"]
fn a_lone_caller() {
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    one.block_on(lone("one thread"));
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    many.block_on(lone("a thread beside two workers"));
    many.block_on(async { tokio::spawn(lone("a task on two workers")).await.unwrap() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn ten_thousand_executions() {
    let Bed { store, node, mut floor, _folder } = Bed::new().await;
    let floor = tokio::spawn(async move {
        let begun = Instant::now();
        for _ in 0..3000 {
            floor.commit(1).await;
        }
        (begun.elapsed() * 10, floor)
    });
    let (one_each, floor) = floor.await.unwrap();
    let bed = Bed { store, node, floor, _folder };
    for callers in [1_usize, 8, 64, 256] {
        let job = bed.submit(&format!("many-{callers}"), 10_000).await;
        let fence = bed.claim().await;
        let share = if callers == 1 { 1000 } else { 10_000 };
        let before = bed.store.commits();
        let begun = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let (store, job) = (bed.store.clone(), job.clone());
                tokio::spawn(async move {
                    for index in (caller..share).step_by(callers) {
                        transitions(&store, fence, &job, index as u32).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let took = begun.elapsed() * (10_000 / share) as u32;
        let commits = bed.store.commits() - before;
        println!(
            "{callers} callers: {took:?} against {one_each:?} of one commit each: {:.1} times as fast, \
             {:.1} transitions a commit",
            one_each.as_secs_f64() / took.as_secs_f64(),
            3.0 * share as f64 / commits as f64
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn a_cancel_of_a_small_job() {
    let mut bed = Bed::new().await;
    for started in [0, 12] {
        let (mut times, mut floor) = (Vec::new(), Vec::new());
        for round in 0..300 {
            let job = bed.running(&format!("small-{started}-{round}"), 12, started).await;
            let begun = Instant::now();
            bed.floor.commit(1).await;
            floor.push(begun.elapsed());
            let begun = Instant::now();
            bed.store.cancel(&job, &cancel_request()).await.unwrap();
            times.push(begun.elapsed());
        }
        ratio(
            &format!("cancel of 12 executions, {started} of them under way, against a commit"),
            times,
            floor,
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn a_cancel_of_a_large_job() {
    let mut bed = Bed::new().await;
    for (executions, started) in [(100, 0), (100, 100), (10_000, 0), (10_000, 500), (10_000, 10_000)] {
        let (mut times, mut floor) = (Vec::new(), Vec::new());
        for round in 0..if executions == 100 { 300 } else { 30 } {
            let job =
                bed.running(&format!("large-{executions}-{started}-{round}"), executions, started).await;
            let begun = Instant::now();
            bed.floor.commit(executions as i64).await;
            floor.push(begun.elapsed());
            let begun = Instant::now();
            let outcome = bed.store.cancel(&job, &cancel_request()).await.unwrap();
            times.push(begun.elapsed());
            let CancelOutcome::Cancelled { record, opened, .. } = outcome else { panic!("{outcome:?}") };
            let most = started.min(CancelOutcome::MOST_OPENED as usize);
            assert_eq!((record.executions_cancelled, opened.len()), (executions as u64, most));
        }
        ratio(
            &format!(
                "cancel of {executions} executions, {started} of them under way, against an UPDATE of as many"
            ),
            times,
            floor,
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn reading_a_large_job() {
    let bed = Bed::new().await;
    let begun = Instant::now();
    let job = bed.running("read", 10_000, 10_000).await;
    println!("submit, claim, start and save of 10 000: {:?}", begun.elapsed());
    let store = Arc::new(bed.store.clone());
    for page in [ExecutionPage::NONE, ExecutionPage { offset: 5000, limit: 100 }, ExecutionPage::ALL] {
        let begun = Instant::now();
        store.get(&job, page).await.unwrap().unwrap();
        println!("get of {page:?}: {:?}", begun.elapsed());
    }
    let begun = Instant::now();
    store.list(&Default::default()).await.unwrap();
    println!("list: {:?}", begun.elapsed());
}
