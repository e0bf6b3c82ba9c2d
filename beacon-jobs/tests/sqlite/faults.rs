//! What goes wrong with the file: the caller is told the truth, nothing is lost, and it works again.

use std::time::Duration;

use beacon_jobs::cancel::CancelOutcome;
use beacon_jobs::job::JobStatus;
use beacon_jobs::store::sqlite::{SqliteStore, SqliteStoreOptions};
use beacon_jobs::store::{ExecutionPage, HostBound, JobStore, SaveOutcome, TakeStops};
use beacon_jobs::{ErrorKind, RandomIds};
use serde_json::{Value, json};
use sqlx::Executor;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};

use crate::bed::{Bed, DOUBLE, assert_says, id, lock, save, settle, spawn_all, submission, with_input};

const LEASE: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_full_disk_loses_nothing() {
    // The limit is one of the connection, so the store is given a pool that has it.
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("beacon.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("max_page_count", "200");
    let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
    let store = SqliteStore::from_pool(pool).await.unwrap();
    let bed = Bed::on(folder, store).await;
    let (job, fence) = bed.running("early", 2).await;
    let attempt = bed.start(fence, &job, 0).await;
    let mut other = bed.other().await;
    // 600 KiB that take the space away.
    other.execute("CREATE TABLE filler AS SELECT zeroblob(600000) AS filler").await.unwrap();

    let large = with_input("large", 20, &json!("x".repeat(20_000)));
    let full = ["beacon.db", "full"];
    assert_says(bed.store.submit(&large).await, ErrorKind::Unavailable, &full);
    assert!(bed.store.get(&id("large"), ExecutionPage::NONE).await.unwrap().is_none());
    let handle = save(fence, &job, 0, attempt, &"h".repeat(400_000));
    assert_says(bed.store.save_handles(std::slice::from_ref(&handle)).await, ErrorKind::Unavailable, &full);
    let detail = bed.store.get(&job, ExecutionPage::ALL).await.unwrap().unwrap();
    assert_eq!(detail.job.status, JobStatus::Running);

    other.execute("DROP TABLE filler").await.unwrap();
    assert_eq!(bed.store.save_handles(&[handle]).await.unwrap(), [SaveOutcome::Granted]);
    bed.submit("later", 1).await;
    let CancelOutcome::Cancelled { opened, .. } = bed.cancel(&job).await.unwrap() else { panic!() };
    assert_eq!(opened.len(), 1);
}

#[tokio::test]
async fn a_locked_file_is_waited_for_and_then_unavailable() {
    let bed = Bed::with(SqliteStoreOptions::new().with_busy_timeout(Duration::from_millis(50))).await;
    let (job, fence) = bed.running("one", 1).await;
    let mut other = lock(&bed).await;
    let locked = ["beacon.db", "locked"];
    assert_says(bed.cancel(&job).await, ErrorKind::Unavailable, &locked);
    assert_says(bed.store.submit(&submission("two", 1)).await, ErrorKind::Unavailable, &locked);
    assert_says(bed.store.check().await, ErrorKind::Unavailable, &locked);
    let detail = bed.store.get(&job, ExecutionPage::NONE).await.unwrap().unwrap();
    assert_eq!(detail.job.status, JobStatus::Running, "reading goes on");
    other.execute("ROLLBACK").await.unwrap();
    bed.store.check().await.unwrap();
    bed.start(fence, &job, 0).await;
    let CancelOutcome::Cancelled { .. } = bed.cancel(&job).await.unwrap() else { panic!() };
    assert_eq!(bed.status(&id("two")).await, None);
}

/// Of all calls that wait while the file is locked none waits longer than the first: they do not
/// each wait for the lock in turn.
#[tokio::test]
async fn all_that_wait_for_the_lock_are_answered_together() {
    let bed = Bed::with(SqliteStoreOptions::new().with_busy_timeout(Duration::from_millis(300))).await;
    let mut other = lock(&bed).await;
    let heartbeats = spawn_all((0..30).map(|_| {
        let (store, node) = (bed.store.clone(), bed.node);
        async move { store.heartbeat(node, LEASE).await }
    }));
    let mut failed = 0;
    for heartbeat in heartbeats {
        assert_says(heartbeat.await.unwrap(), ErrorKind::Unavailable, &["locked"]);
        failed += 1;
        if failed == 1 {
            // Who waited his turn for the lock would now get it.
            other.execute("ROLLBACK").await.unwrap();
        }
    }
}

#[tokio::test]
async fn one_poisoned_call_does_not_fail_its_neighbours() {
    let bed = Bed::new().await;
    let (job, fence) = bed.running("one", 10).await;
    let mut attempts = Vec::new();
    for index in 0..10 {
        attempts.push(bed.start(fence, &job, index).await);
    }
    let mut other = bed.other().await;
    other
        .execute(
            "CREATE TRIGGER poison BEFORE UPDATE ON beacon_attempts WHEN new.handle LIKE '%poison%' \
             BEGIN SELECT RAISE(ABORT, 'poisoned'); END",
        )
        .await
        .unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    // The writer waits for the lock with the heartbeat, so that all saves come in one batch.
    let (store, node) = (bed.store.clone(), bed.node);
    let first = tokio::spawn(async move { store.heartbeat(node, LEASE).await });
    settle().await;
    let saves = spawn_all(attempts.iter().enumerate().map(|(index, attempt)| {
        let call = if index == 4 { "poison" } else { "fine" };
        let (store, save) = (bed.store.clone(), save(fence, &job, index as u32, *attempt, call));
        async move { store.save_handles(&[save]).await }
    }));
    settle().await;
    other.execute("ROLLBACK").await.unwrap();
    first.await.unwrap().unwrap();
    for (index, save) in saves.into_iter().enumerate() {
        match save.await.unwrap() {
            Err(error) if index == 4 => assert_says::<()>(Err(error), ErrorKind::Corrupt, &["poisoned"]),
            outcome => assert_eq!(outcome.unwrap(), [SaveOutcome::Granted], "call {index}"),
        }
    }
    let detail = bed.store.get(&job, ExecutionPage::ALL).await.unwrap().unwrap();
    assert_eq!(detail.job.progress.running, 10);
    bed.start_again_after_poison(fence, &job).await;
}

impl Bed {
    async fn start_again_after_poison(&self, fence: beacon_jobs::store::Fence, job: &beacon_jobs::JobId) {
        let attempt = beacon_jobs::AttemptId::mint(&RandomIds);
        let finished = self.store.finish(&[crate::bed::finish(fence, job, 0, attempt)]).await;
        finished.expect("the writer goes on");
    }
}

#[tokio::test]
async fn damaged_rows_are_corrupt_and_stop_nobody_else() {
    let bed = Bed::new().await;
    let (job, fence) = bed.running("one", 2).await;
    let attempts = [bed.start(fence, &job, 0).await, bed.start(fence, &job, 1).await];
    let saves = [save(fence, &job, 0, attempts[0], "a"), save(fence, &job, 1, attempts[1], "b")];
    bed.store.save_handles(&saves).await.unwrap();
    let mut other = bed.other().await;
    other.execute("UPDATE beacon_attempts SET handle = '{' WHERE execution % 2 = 0").await.unwrap();
    assert_says(bed.store.save_handles(&saves[..1]).await, ErrorKind::Corrupt, &["handle", "cannot be read"]);
    assert_eq!(bed.store.save_handles(&saves[1..]).await.unwrap(), [SaveOutcome::Granted]);
    // A cancel must not depend on it.
    let CancelOutcome::Cancelled { record, opened, stops } = bed.cancel(&job).await.unwrap() else {
        panic!()
    };
    assert_eq!(record.executions_cancelled, 2);
    assert_eq!(opened.iter().map(|item| item.attempt).collect::<Vec<_>>(), attempts[1..]);
    assert_eq!(stops.open, 2);
    let take = TakeStops {
        incarnation: bed.node,
        executors: vec![DOUBLE.into()],
        host_bound: HostBound::default(),
        hold: Duration::from_secs(1),
        limit: 10,
    };
    let taken = bed.store.take_stops(&take).await.unwrap();
    assert_eq!(taken.iter().map(|item| item.attempt).collect::<Vec<_>>(), attempts[1..]);
    other.execute("UPDATE beacon_jobs SET status = 'lost'").await.unwrap();
    assert_says(bed.cancel(&job).await, ErrorKind::Corrupt, &["status", "cannot be read"]);
}

#[tokio::test]
async fn json_that_could_not_be_read_back_is_refused() {
    let bed = Bed::new().await;
    let (job, fence) = bed.running("one", 1).await;
    let attempt = bed.start(fence, &job, 0).await;
    let deep = (0..200).fold(Value::Null, |inner, _| json!([inner]));
    let mut finish = crate::bed::finish(fence, &job, 0, attempt);
    finish.result = beacon_jobs::store::ExecutionResult::Completed(deep.clone());
    let refused = bed.store.finish(&[finish]).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::InvalidInput, Some("output")));
    let refused = bed.store.submit(&with_input("deep", 1, &deep)).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::InvalidInput, Some("executions[0].input")));
    assert_eq!(bed.status(&job).await, Some(JobStatus::Running));
}
