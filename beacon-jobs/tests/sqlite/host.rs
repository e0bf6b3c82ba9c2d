//! Calls inside a transaction of the host program.

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::job::JobStatus;
use beacon_jobs::store::sqlite::SqliteStore;
use beacon_jobs::store::{ExecutionPage, JobStore, Signal, Submitted};
use beacon_jobs::{ErrorKind, JobId};
use sqlx::Executor;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};

use crate::bed::{Bed, assert_says, id, request, submission};

async fn host() -> (Bed, SqlitePool) {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("beacon.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(3).connect_with(options).await.unwrap();
    pool.execute("CREATE TABLE orders (name TEXT)").await.unwrap();
    let store = SqliteStore::from_pool(pool.clone()).await.unwrap();
    (Bed::on(folder, store).await, pool)
}

async fn orders(pool: &SqlitePool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(pool).await.unwrap()
}

async fn is_known(bed: &Bed, job: &JobId) -> bool {
    bed.store.get(job, ExecutionPage::NONE).await.unwrap().is_some()
}

#[tokio::test]
async fn a_submit_holds_from_the_hosts_commit_on() {
    let (bed, pool) = host().await;
    let mut signals = bed.store.signals();
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    transaction.execute("INSERT INTO orders VALUES ('one')").await.unwrap();
    let pending = bed.store.submit_in(&mut transaction, &submission("one", 3)).await.unwrap();
    assert_eq!(pending.outcome(), &Submitted::Created(id("one")));
    assert!(!is_known(&bed, &id("one")).await, "seen before the commit");
    transaction.commit().await.unwrap();
    assert_eq!(pending.committed(&bed.store), Submitted::Created(id("one")));
    assert_eq!(signals.next().await, Signal::Queued);
    let detail = bed.store.get(&id("one"), ExecutionPage::ALL).await.unwrap().unwrap();
    assert_eq!((detail.job.status, detail.executions.len()), (JobStatus::Queued, 3));
    assert_eq!(orders(&pool).await, 1);
}

#[tokio::test]
async fn a_submit_that_the_host_rolls_back_leaves_nothing() {
    let (bed, pool) = host().await;
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let pending = bed.store.submit_in(&mut transaction, &submission("one", 3)).await.unwrap();
    transaction.rollback().await.unwrap();
    drop(pending);
    assert!(!is_known(&bed, &id("one")).await);
    let mut other = bed.other().await;
    for table in ["jobs", "specs", "executions", "audit"] {
        let sql = format!("SELECT count(*) FROM beacon_{table}");
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut other).await.unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    assert_eq!(bed.store.submit(&submission("one", 3)).await.unwrap(), Submitted::Created(id("one")));
}

#[tokio::test]
async fn a_cancel_holds_from_the_hosts_commit_on() {
    let (bed, pool) = host().await;
    let (job, fence) = bed.running("one", 3).await;
    let attempt = bed.start(fence, &job, 0).await;
    let mut signals = bed.store.signals();

    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let pending = bed.store.cancel_in(&mut transaction, &job, &request()).await.unwrap();
    assert!(matches!(pending.outcome(), CancelOutcome::Cancelled { .. }));
    transaction.rollback().await.unwrap();
    drop(pending);
    assert_eq!(bed.status(&job).await, Some(JobStatus::Running), "the host has rolled back");

    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let pending = bed.store.cancel_in(&mut transaction, &job, &request()).await.unwrap();
    assert_eq!(bed.status(&job).await, Some(JobStatus::Running), "the host has not committed");
    transaction.commit().await.unwrap();
    assert_eq!(bed.status(&job).await, Some(JobStatus::Cancelled));
    let CancelOutcome::Cancelled { record, opened, .. } = pending.committed(&bed.store) else { panic!() };
    assert_eq!(signals.next().await, Signal::Cancelled(job.clone()));
    assert_eq!(record.executions_cancelled, 3);
    assert_eq!(opened.iter().map(|item| item.attempt).collect::<Vec<_>>(), [attempt]);
}

#[tokio::test]
async fn a_refused_call_leaves_the_hosts_transaction_as_it_was() {
    let (bed, pool) = host().await;
    let job = bed.submit("one", 1).await;
    bed.other()
        .await
        .execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON beacon_audit WHEN new.action = 'submitted' \
             BEGIN SELECT RAISE(ABORT, 'not today'); END",
        )
        .await
        .unwrap();
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    transaction.execute("INSERT INTO orders VALUES ('one')").await.unwrap();
    // The last statement of the submit fails, after the job and its executions were written.
    let refused = bed.store.submit_in(&mut transaction, &submission("two", 5)).await;
    assert_says(refused.map(|_| ()), ErrorKind::Corrupt, &["not today"]);
    let eve = CancelRequest::new(Actor::Owner("eve".into()));
    let pending = bed.store.cancel_in(&mut transaction, &job, &eve).await.unwrap();
    assert_eq!(pending.committed(&bed.store), CancelOutcome::NotYours);
    transaction.execute("INSERT INTO orders VALUES ('two')").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(orders(&pool).await, 2);
    assert!(!is_known(&bed, &id("two")).await);
    assert_eq!(bed.status(&job).await, Some(JobStatus::Queued));
}

#[tokio::test]
async fn a_transaction_that_read_before_another_write_is_refused() {
    let (bed, pool) = host().await;
    let job = bed.submit("one", 1).await;
    let mut transaction = pool.begin().await.unwrap();
    let _: i64 =
        sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&mut *transaction).await.unwrap();
    bed.submit("two", 1).await;
    let refused = bed.store.cancel_in(&mut transaction, &job, &request()).await;
    assert_says(refused.map(|_| ()), ErrorKind::Unavailable, &["locked"]);
    transaction.rollback().await.unwrap();
    assert_eq!(bed.status(&job).await, Some(JobStatus::Queued));
}

#[tokio::test]
async fn closing_the_store_leaves_the_hosts_pool_open() {
    let (bed, pool) = host().await;
    bed.store.close().await;
    assert_says(bed.store.check().await, ErrorKind::Unavailable, &["closed"]);
    assert_eq!(orders(&pool).await, 0);
}
