//! The host program's pool, and calls inside its transactions.

use beacon_jobs::ErrorKind;
use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::job::JobStatus;
use beacon_jobs::store::postgres::PostgresStoreOptions;
use beacon_jobs::store::{CloseStop, JobStore, Signal, Submitted};
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::bed::{Bed, assert_says, connect, id, request, submission};
use crate::server;

async fn on_pool(pool: &PgPool) -> Bed {
    let schema = server::schema();
    let options = PostgresStoreOptions::new().with_schema(&schema).unwrap();
    let store = options.from_pool(pool.clone()).await.unwrap();
    store.migrate().await.unwrap();
    Bed::enter(store, schema).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_taken_in_with_the_hosts_own_change_or_not_at_all() {
    let pool = PgPoolOptions::new().max_connections(3).connect(&server::url()).await.unwrap();
    let bed = on_pool(&pool).await;
    let mut transaction = pool.begin().await.unwrap();
    bed.execute(&mut transaction, "CREATE TABLE @.orders (job TEXT)").await;
    let pending = bed.store.submit_in(&mut transaction, &submission("kept", 2)).await.unwrap();
    assert_eq!(*pending.outcome(), Submitted::Created(id("kept")));
    assert_eq!(bed.status(&id("kept")).await, None, "not before the commit");
    transaction.commit().await.unwrap();
    let mut signals = bed.store.signals();
    pending.committed(&bed.store);
    while signals.next().await != Signal::Queued {}
    assert_eq!(bed.status(&id("kept")).await, Some(JobStatus::Queued));

    let mut transaction = pool.begin().await.unwrap();
    let pending = bed.store.submit_in(&mut transaction, &submission("dropped", 1)).await.unwrap();
    drop(pending);
    transaction.rollback().await.unwrap();
    assert_eq!(bed.status(&id("dropped")).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_holds_from_the_hosts_commit_on() {
    let pool = PgPoolOptions::new().max_connections(3).connect(&server::url()).await.unwrap();
    let bed = on_pool(&pool).await;
    let (job, fence) = bed.running("job", 2).await;
    bed.start(fence, &job, 0).await;
    let mut transaction = pool.begin().await.unwrap();
    let pending = bed.store.cancel_in(&mut transaction, &job, &request()).await.unwrap();
    assert!(matches!(pending.outcome(), CancelOutcome::Cancelled { opened, .. } if opened.len() == 1));
    transaction.rollback().await.unwrap();
    assert_eq!(bed.status(&job).await, Some(JobStatus::Running));
    assert!(bed.store.take_stops(&bed.stops()).await.unwrap().is_empty());

    let mut transaction = pool.begin().await.unwrap();
    let stranger = CancelRequest::new(Actor::Owner("mallory".into()));
    let refused = bed.store.cancel_in(&mut transaction, &job, &stranger).await.unwrap();
    assert_eq!(*refused.outcome(), CancelOutcome::NotYours);
    let pending = bed.store.cancel_in(&mut transaction, &job, &request()).await.unwrap();
    transaction.commit().await.unwrap();
    let mut signals = bed.store.signals();
    assert!(matches!(pending.committed(&bed.store), CancelOutcome::Cancelled { .. }));
    while signals.next().await != Signal::Cancelled(job.clone()) {}
    assert_eq!(bed.status(&job).await, Some(JobStatus::Cancelled));
    assert_eq!(bed.store.take_stops(&bed.stops()).await.unwrap().len(), 1);
}

/// A transaction that has fixed its view before another node changed the job does not cancel by what
/// it saw then.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_an_older_view_is_refused() {
    let pool = PgPoolOptions::new().max_connections(3).connect(&server::url()).await.unwrap();
    let bed = on_pool(&pool).await;
    let (job, fence) = bed.running("job", 1).await;
    let mut transaction = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    bed.number(&mut transaction, "SELECT count(*) FROM @.beacon_jobs").await;
    let end = beacon_jobs::store::FinishJob { fence, job: job.clone(), timed_out: true };
    bed.store.finish_job(&end).await.unwrap();
    let refused = bed.store.cancel_in(&mut transaction, &job, &request()).await;
    assert_says(refused.map(|pending| pending.outcome().clone()), ErrorKind::Unavailable, &["in the way"]);
}

/// A call that is dropped leaves no transaction of ours in the host's pool.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_leaves_nothing_open_in_the_hosts_pool() {
    let pool = PgPoolOptions::new().max_connections(1).connect(&server::url()).await.unwrap();
    let bed = on_pool(&pool).await;
    let (job, fence) = bed.running("job", 1).await;
    let attempt = bed.start(fence, &job, 0).await;
    bed.cancel(&job).await.unwrap();
    let mut other = connect().await;
    bed.execute(&mut other, "BEGIN; SELECT FROM @.beacon_attempts FOR UPDATE").await;
    let (store, close) = (bed.store.clone(), CloseStop { attempt, by: "root".into(), reason: "why".into() });
    let closed = tokio::spawn(async move { store.close_stop(&close).await });
    let mut watcher = connect().await;
    bed.until_waiting(&mut watcher, 1).await;
    closed.abort();
    assert!(closed.await.unwrap_err().is_cancelled());
    bed.execute(&mut other, "ROLLBACK").await;
    // What the dropped call had begun and never ends would keep the attempt locked.
    let lock = "BEGIN; SET LOCAL lock_timeout = '20s'; SELECT FROM @.beacon_attempts FOR UPDATE; ROLLBACK";
    bed.execute(&mut other, lock).await;
    assert_eq!(bed.status(&job).await, Some(JobStatus::Cancelled));
    assert_eq!(bed.store.take_stops(&bed.stops()).await.unwrap().len(), 1);
    bed.store.close().await;
    assert!(!pool.is_closed());
}
