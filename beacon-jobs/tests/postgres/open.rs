//! Opening a store, and its schema.

use beacon_jobs::stop::SealedBy;
use beacon_jobs::store::postgres::{PostgresStore, PostgresStoreOptions};
use beacon_jobs::store::{ExecutionPage, JobStore, Seal};
use beacon_jobs::{AttemptId, ErrorKind, RandomIds};
use sqlx::postgres::PgConnectOptions;

use crate::bed::{Bed, assert_says, connect, id, request, submission};
use crate::server;

fn options() -> PostgresStoreOptions {
    PostgresStoreOptions::new().with_schema(server::schema()).unwrap()
}

#[tokio::test]
async fn a_store_that_is_not_migrated_says_so() {
    let store = options().open(&server::url()).await.unwrap();
    let words = ["migrate()"];
    assert_says(store.check().await, ErrorKind::Misconfigured, &words);
    assert_says(store.submit(&submission("one", 1)).await, ErrorKind::Misconfigured, &words);
    assert_says(store.cancel(&id("one"), &request()).await, ErrorKind::Misconfigured, &words);
    store.migrate().await.unwrap();
    store.check().await.unwrap();
    store.migrate().await.unwrap();
    store.submit(&submission("one", 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_programs_may_migrate_at_once() {
    let schema = server::schema();
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let options = PostgresStoreOptions::new().with_schema(&schema).unwrap();
        starts.spawn(async move {
            let store = options.open(&server::url()).await.unwrap();
            store.migrate().await.unwrap();
            store.check().await.unwrap();
        });
    }
    while let Some(started) = starts.join_next().await {
        started.unwrap();
    }
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_left_alone() {
    let bed = Bed::new().await;
    let mut other = connect().await;
    let newer = "INSERT INTO @._beacon_jobs_migrations VALUES (9999, 'newer', '')";
    bed.execute(&mut other, newer).await;
    assert_says(bed.store.migrate().await, ErrorKind::Misconfigured, &["newer version", "9999"]);
}

#[tokio::test]
async fn stores_of_different_schemas_know_nothing_of_each_other() {
    let (one, two) = (Bed::new().await, Bed::new().await);
    let job = one.submit("job", 1).await;
    assert_eq!(two.status(&job).await, None);
    two.submit("job", 1).await;
}

#[tokio::test]
async fn a_server_that_does_not_sync_its_commits_is_refused() {
    let lax: PgConnectOptions = server::url().parse().unwrap();
    let lax = lax.options([("synchronous_commit", "off")]);
    let words = ["synchronous_commit", "off", "set it on"];
    assert_says(options().open_with(lax.clone()).await, ErrorKind::Misconfigured, &words);
    let pool = sqlx::postgres::PgPoolOptions::new().connect_lazy_with(lax);
    assert_says(options().from_pool(pool).await, ErrorKind::Misconfigured, &words);
    // Only what the host's pool does to its connections.
    let pool = sqlx::postgres::PgPoolOptions::new().after_connect(|connection, _| {
        Box::pin(async move {
            sqlx::Executor::execute(connection, "SET synchronous_commit = off").await?;
            Ok(())
        })
    });
    let pool = pool.connect(&server::url()).await.unwrap();
    assert_says(options().from_pool(pool).await, ErrorKind::Misconfigured, &words);
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_never_the_password() {
    let nobody = options().open("postgres://me:hunter2@127.0.0.1:1/db").await;
    assert_says(nobody, ErrorKind::Unavailable, &["127.0.0.1:1/db", "cannot be made"]);
    let url = options().open("postgres://me:hunter2@127.0.0.1:port/db").await;
    assert_says(url, ErrorKind::Misconfigured, &["not a legal postgres:// URL"]);
    let missing = server::url().replace("/postgres?", "/no_such_database?");
    assert_says(options().open(&missing).await, ErrorKind::Misconfigured, &["no_such_database"]);
    for schema in ["", "9a", "Upper", "quote\"", "a.b", &"x".repeat(41)] {
        let refused = PostgresStoreOptions::new().with_schema(schema).unwrap_err();
        assert_eq!((refused.kind(), refused.field()), (ErrorKind::InvalidInput, Some("schema")));
    }
    let options = format!("{:?}", PostgresStoreOptions::new());
    assert!(options.contains("beacon_jobs"), "{options}");
}

#[test]
fn a_call_outside_of_a_runtime_is_an_error() {
    use std::task::{Context, Poll, Waker};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bed = runtime.block_on(Bed::new());
    let (attempt, by) = (AttemptId::mint(&RandomIds), SealedBy::Time);
    let seals = [Seal { attempt, by }];
    let mut call = bed.store.seal(&seals);
    let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Err(error)) = polled else { panic!("{polled:?}") };
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    drop(call);
    // A store outlives the runtime that opened it.
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // What belonged to the old one is found lost by a read, which may be repeated.
        assert_eq!(bed.store.get(&id("later"), ExecutionPage::NONE).await.unwrap(), None);
        // Another connection of it may be found by a write, whose outcome is unknown then: it is asked again.
        let submission = submission("later", 1);
        while let Err(error) = bed.store.submit(&submission).await {
            assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
        }
        while let Err(error) = bed.cancel(&id("later")).await {
            assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
        }
    });
}

#[tokio::test]
async fn names_that_could_not_be_told_apart_are_refused() {
    let bed = Bed::new().await;
    let mut job = submission("one", 1);
    job.owner = "alice\0".into();
    let refused = bed.store.submit(&job).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::InvalidInput, Some("owner")));
    let request = request().with_reason("a NUL \0 in free text");
    let job = bed.submit("two", 1).await;
    bed.store.cancel(&job, &request).await.unwrap();
    let _: PostgresStore = bed.store;
}
