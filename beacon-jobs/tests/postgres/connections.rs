//! Connections that are busy, killed or cut: the caller is told the truth, and it works again.

use std::time::Duration;

use beacon_jobs::cancel::CancelOutcome;
use beacon_jobs::job::JobStatus;
use beacon_jobs::store::postgres::PostgresStoreOptions;
use beacon_jobs::store::{ExecutionPage, Heartbeat, JobStore, SaveOutcome, StartOutcome};
use beacon_jobs::{AttemptId, ErrorKind, RandomIds};
use tokio::task::JoinSet;

use crate::bed::{Bed, HOUR, LONG, assert_says, connect, id, save, start, submission, until};
use crate::proxy::Proxy;
use crate::server;

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_and_a_heartbeat_do_not_wait_for_busy_connections() {
    let bed = Bed::with(|options| options.with_max_connections(3).with_acquire_timeout(LONG)).await;
    let (blocked, fence) = bed.running("blocked", 8).await;
    let (job, _) = bed.running("job", 1).await;
    let mut other = connect().await;
    bed.execute(&mut other, "BEGIN; SELECT FROM @.beacon_jobs WHERE id = 'blocked' FOR UPDATE").await;
    let mut waiting = JoinSet::new();
    for index in 0..8 {
        let (store, start) = (bed.store.clone(), start(fence, &blocked, index));
        waiting.spawn(async move { store.start(&[start]).await.unwrap() });
        let (store, end) = (bed.store.clone(), crate::bed::finish_job(fence, &blocked));
        waiting.spawn(async move { store.finish_job(&end).await.map(|_| Vec::new()).unwrap() });
    }
    let mut watcher = connect().await;
    bed.until_waiting(&mut watcher, 3).await;
    // All three are taken: an ordinary call would wait for the lock to go.
    assert!(matches!(bed.cancel(&job).await.unwrap(), CancelOutcome::Cancelled { .. }));
    assert_eq!(bed.store.heartbeat(bed.node, HOUR).await.unwrap(), Heartbeat::Alive);
    bed.store.check().await.unwrap();
    bed.execute(&mut other, "ROLLBACK").await;
    while let Some(done) = waiting.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connection_is_replaced_before_anything_is_lost() {
    let bed = Bed::with(|options| options.with_max_connections(2)).await;
    let (job, fence) = bed.running("job", 2).await;
    let mut other = connect().await;
    for index in 0..2 {
        // Every connection of the store dies while it is idle.
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
            WHERE pid <> pg_backend_pid() AND query LIKE '%@.%'";
        let kill = kill.replace("@.", bed.schema());
        assert!(bed.number(&mut other, &kill).await > 0);
        until(async || bed.number(&mut other, &kill).await == 0).await;
        bed.start(fence, &job, index).await;
        assert_eq!(bed.status(&job).await, Some(JobStatus::Running));
    }
    assert!(matches!(bed.cancel(&job).await.unwrap(), CancelOutcome::Cancelled { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_backend_is_killed_twice_has_changed_nothing() {
    let bed = Bed::new().await;
    let (job, fence) = bed.running("job", 1).await;
    let mut other = connect().await;
    bed.execute(&mut other, "BEGIN; SELECT FROM @.beacon_jobs FOR UPDATE").await;
    let mut watcher = connect().await;
    let (store, start) = (bed.store.clone(), start(fence, &job, 0));
    let started = tokio::spawn(async move { store.start(&[start]).await });
    let (store, name) = (bed.store.clone(), job.clone());
    let cancelled = tokio::spawn(async move { store.cancel(&name, &crate::bed::request()).await });
    // Each is tried again once, on another connection.
    bed.kill_waiting(&mut watcher, 4).await;
    assert_says(started.await.unwrap(), ErrorKind::Unavailable, &["connection was ended"]);
    assert_says(cancelled.await.unwrap(), ErrorKind::Unavailable, &["connection was ended"]);
    bed.execute(&mut other, "ROLLBACK").await;
    let detail = bed.store.get(&job, ExecutionPage::ALL).await.unwrap().unwrap();
    assert_eq!((detail.job.status, detail.executions[0].attempt), (JobStatus::Running, 0));
    bed.start(fence, &job, 0).await;
}

/// The commit stands and its answer is lost: the store asks again by itself, and tells each caller
/// what its own call did.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_again() {
    let proxy = Proxy::new("lost-").await;
    let options =
        PostgresStoreOptions::new().with_schema(server::schema()).unwrap().with_notifications(false);
    let store = options.open_with(proxy.options.clone()).await.unwrap();
    store.migrate().await.unwrap();
    assert!(!format!("{store:?} {store}").contains("hunter2"));
    let bed = Bed::enter(store, "unused").await;
    let (job, fence) = bed.running("lost-job", 1).await;
    let start = start(fence, &job, 0);
    // The statements are known to the server by now: what is lost is the answer to their execution.
    bed.store.start(std::slice::from_ref(&start)).await.unwrap();
    let nobody = AttemptId::mint(&RandomIds);
    bed.store.save_handles(&[save(fence, &job, 0, nobody, "none")]).await.unwrap();
    assert_eq!(bed.cancel(&id("lost-nobody")).await.unwrap(), CancelOutcome::NotFound);
    proxy.cut(1);
    let started = bed.store.start(std::slice::from_ref(&start)).await.unwrap();
    assert_eq!((started, proxy.left()), (vec![StartOutcome::Started { number: 1 }], 0));
    proxy.cut(1);
    let saved = bed.store.save_handles(&[save(fence, &job, 0, start.attempt, "one")]).await.unwrap();
    assert_eq!((saved, proxy.left()), (vec![SaveOutcome::Granted], 0));
    proxy.cut(1);
    let CancelOutcome::Cancelled { record, opened, stops } = bed.cancel(&job).await.unwrap() else {
        panic!("the call that committed is told so")
    };
    assert_eq!((proxy.left(), record.executions_cancelled, opened.len(), stops.open), (0, 1, 1, 1));
    let audit = bed.store.audit(&job).await.unwrap();
    assert_eq!(audit.len(), 2, "submitted and cancelled once: {audit:?}");
    assert!(matches!(bed.cancel(&job).await.unwrap(), CancelOutcome::AlreadyCancelled { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stays_lost_is_an_unknown_outcome() {
    let proxy = Proxy::new("lost-").await;
    let options =
        PostgresStoreOptions::new().with_schema(server::schema()).unwrap().with_notifications(false);
    let store = options.open_with(proxy.options.clone()).await.unwrap();
    store.migrate().await.unwrap();
    let bed = Bed::enter(store, "unused").await;
    let (job, _) = bed.running("lost-job", 1).await;
    assert_eq!(bed.cancel(&id("lost-nobody")).await.unwrap(), CancelOutcome::NotFound);
    proxy.cut(2);
    assert_says(bed.cancel(&job).await, ErrorKind::OutcomeUnknown, &["postgres", "ask again"]);
    assert_eq!(proxy.left(), 0);
    assert!(
        matches!(bed.cancel(&job).await.unwrap(), CancelOutcome::AlreadyCancelled { .. }),
        "that is the truth"
    );
    // What would act again is not repeated.
    bed.store.submit(&submission("lost-first", 1)).await.unwrap();
    proxy.cut(1);
    assert_says(
        bed.store.submit(&submission("lost-second", 1)).await,
        ErrorKind::OutcomeUnknown,
        &["ask again"],
    );
    assert_eq!(bed.status(&id("lost-second")).await, Some(JobStatus::Queued));
    proxy.close();
    bed.store.close().await;
    assert_says(bed.cancel(&job).await, ErrorKind::Unavailable, &["closed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_given_up_by_the_server() {
    let bed = Bed::with(|options| options.with_statement_timeout(Duration::from_millis(300))).await;
    let (job, fence) = bed.running("job", 1).await;
    let mut other = connect().await;
    bed.execute(&mut other, "BEGIN; SELECT FROM @.beacon_jobs FOR UPDATE").await;
    assert_says(bed.cancel(&job).await, ErrorKind::Unavailable, &["took too long"]);
    assert_says(bed.store.start(&[start(fence, &job, 0)]).await, ErrorKind::Unavailable, &["took too long"]);
    bed.execute(&mut other, "ROLLBACK").await;
    assert_eq!(bed.status(&job).await, Some(JobStatus::Running));
    bed.start(fence, &job, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_in_time_is_unavailable() {
    let set = |options: PostgresStoreOptions| {
        options.with_max_connections(1).with_acquire_timeout(Duration::from_millis(100))
    };
    let bed = Bed::with(set).await;
    let (job, fence) = bed.running("job", 1).await;
    let mut other = connect().await;
    bed.execute(&mut other, "BEGIN; SELECT FROM @.beacon_jobs FOR UPDATE").await;
    let (store, start) = (bed.store.clone(), start(fence, &job, 0));
    let started = tokio::spawn(async move { store.start(&[start]).await.unwrap() });
    let mut watcher = connect().await;
    bed.until_waiting(&mut watcher, 1).await;
    let read = bed.store.get(&job, ExecutionPage::NONE).await;
    assert_says(read, ErrorKind::Unavailable, &["no connection"]);
    bed.execute(&mut other, "ROLLBACK").await;
    assert_eq!(started.await.unwrap(), [StartOutcome::Started { number: 1 }]);
}
