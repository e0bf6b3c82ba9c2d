//! Hints between nodes.

use std::time::Duration;

use beacon_jobs::store::{ExecutionResult, FinishExecution, JobStore, Signal, Signals};

use beacon_jobs::store::postgres::PostgresStoreOptions;
use sqlx::postgres::PgConnectOptions;

use crate::bed::{Bed, LONG, connect, finish, until};

async fn wait(signals: &mut Signals, wanted: &Signal) {
    let wait = async { while signals.next().await != *wanted {} };
    tokio::time::timeout(LONG, wait).await.unwrap_or_else(|_| panic!("no hint that {wanted:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_hears_of_what_one_does() {
    let bed = Bed::new().await;
    let other = bed.other().await;
    let mut signals = other.store.signals();
    assert!(!other.store.hears_all_nodes());
    // It listens now: whatever came before is to be read again.
    wait(&mut signals, &Signal::Missed).await;
    assert!(other.store.hears_all_nodes() && !bed.store.hears_all_nodes());
    let (job, fence) = bed.running("job", 2).await;
    wait(&mut signals, &Signal::Queued).await;
    let attempt = bed.start(fence, &job, 0).await;
    wait(&mut signals, &Signal::Job(job.clone())).await;
    let failure = beacon_jobs::job::Failure::new(beacon_jobs::job::FailureKind::Failed, "it failed");
    let result = ExecutionResult::Failed { failure, output: None, retry: false, counts: true };
    let failed = FinishExecution { result, ..finish(fence, &job, 0, attempt) };
    bed.store.finish(&[failed]).await.unwrap();
    wait(&mut signals, &Signal::StopsDue).await;
    bed.cancel(&job).await.unwrap();
    wait(&mut signals, &Signal::Cancelled(job)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_listener_says_that_it_missed_something_and_listens_again() {
    let bed = Bed::new().await;
    let other = bed.other().await;
    let mut signals = other.store.signals();
    wait(&mut signals, &Signal::Missed).await;
    let mut admin = connect().await;
    let kill = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%{}%'",
        bed.schema()
    );
    assert_eq!(bed.number(&mut admin, &kill).await, 1);
    wait(&mut signals, &Signal::Missed).await;
    let job = bed.submit("job", 1).await;
    bed.cancel(&job).await.unwrap();
    wait(&mut signals, &Signal::Cancelled(job)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_listener_is_lost_does_not_say_that_it_hears_all_nodes() {
    let bed = Bed::new().await;
    let mut admin = connect().await;
    // Somebody who can be kept out.
    let role = bed.schema();
    bed.execute(&mut admin, &format!("CREATE ROLE {role} LOGIN SUPERUSER")).await;
    let url: PgConnectOptions = crate::server::url().parse().unwrap();
    let options = PostgresStoreOptions::new().with_schema(bed.schema()).unwrap();
    let other = options.open_with(url.username(role)).await.unwrap();
    let mut signals = other.signals();
    wait(&mut signals, &Signal::Missed).await;
    assert!(other.hears_all_nodes());
    bed.execute(&mut admin, &format!("ALTER ROLE {role} NOLOGIN")).await;
    let kill = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%{}%'",
        bed.schema()
    );
    assert_eq!(bed.number(&mut admin, &kill).await, 1);
    until(async || !other.hears_all_nodes()).await;
    bed.execute(&mut admin, &format!("ALTER ROLE {role} LOGIN")).await;
    wait(&mut signals, &Signal::Missed).await;
    assert!(other.hears_all_nodes());
    other.close().await;
    until(async || !other.hears_all_nodes()).await;
    bed.execute(&mut admin, &format!("DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_writes_share_a_few_messages() {
    let bed = Bed::new().await;
    let mut listener = sqlx::postgres::PgListener::connect(&crate::server::url()).await.unwrap();
    listener.listen(&format!("beacon_jobs.{}", bed.schema())).await.unwrap();
    for number in 0..200 {
        bed.submit(&format!("job-{number}"), 1).await;
    }
    let claim = beacon_jobs::store::Claim { limit: 1_000, ..bed.wish() };
    assert_eq!(bed.store.claim(&claim).await.unwrap().len(), 200);
    bed.cancel(&bed.submit("last", 1).await).await.unwrap();
    let mut messages = 0;
    loop {
        let message = tokio::time::timeout(LONG, listener.recv()).await.unwrap().unwrap();
        messages += 1;
        if message.payload().contains("cancelled") {
            break;
        }
    }
    println!("200 submissions, a claim and a cancel: {messages} messages");
    assert!((2..100).contains(&messages), "{messages} messages");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_notifications_sends_and_hears_none() {
    let bed = Bed::with(|options| options.with_notifications(false)).await;
    let mut listener = sqlx::postgres::PgListener::connect(&crate::server::url()).await.unwrap();
    listener.listen(&format!("beacon_jobs.{}", bed.schema())).await.unwrap();
    let mut signals = bed.store.signals();
    let (job, fence) = bed.running("job", 1).await;
    bed.start(fence, &job, 0).await;
    bed.cancel(&job).await.unwrap();
    // Its own process is told all the same.
    wait(&mut signals, &Signal::Cancelled(job)).await;
    let other = bed.other().await;
    other.cancel(&other.submit("second", 1).await).await.unwrap();
    // The first message is the other store's.
    let mut seen = false;
    while !seen {
        let message = tokio::time::timeout(LONG, listener.recv()).await.unwrap().unwrap();
        assert!(!message.payload().contains("\"job\""), "{}", message.payload());
        seen = message.payload().contains("second");
    }
    let quiet = async {
        while !matches!(signals.next().await, Signal::Cancelled(job) if job.as_str() == "second") {}
    };
    assert!(tokio::time::timeout(Duration::from_millis(300), quiet).await.is_err(), "it does not listen");
    assert!(!bed.store.hears_all_nodes());
}
