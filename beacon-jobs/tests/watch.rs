//! Watching a job: each change is seen, from any process, by one reader for all who watch.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::future_not_send,
    reason = "a test's panic is its verdict, and it waits for the real machine"
)]

#[macro_use]
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use beacon_jobs::conformance::{HookedStore, StoreAnswer, StoreCall, StoreHooks};
use beacon_jobs::job::JobOutline;
use beacon_jobs::store::{MemoryStore, Signals};
use beacon_jobs::{Error, ErrorKind, JobId, JobWatch, Result};
use support::prelude::*;

on_each_store!(
    a_watch_follows_a_job_to_its_end_and_ends_with_it,
    a_watch_of_a_cancelled_job_ends_with_its_last_stop,
    what_another_door_does_is_seen,
    who_joins_is_told_how_it_is_now,
    a_job_that_does_not_exist_is_not_watched,
);

async fn next(watch: &mut JobWatch) -> Option<Arc<JobOutline>> {
    let next = tokio::time::timeout(LONG, watch.next());
    next.await.expect("nothing came").unwrap()
}

/// What came until the watch ended.
async fn rest(watch: &mut JobWatch) -> Vec<Arc<JobOutline>> {
    let mut seen = Vec::new();
    while let Some(outline) = next(watch).await {
        seen.push(outline);
    }
    seen
}

async fn unwatched(jobs: &Jobs) {
    let unwatched = async {
        while jobs.watched() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, unwatched).await.expect("a reader stays");
}

async fn a_watch_follows_a_job_to_its_end_and_ends_with_it(stand: Stand) {
    let jobs = Jobs::builder(Arc::clone(&stand.store)).poll(Duration::from_millis(50)).build();
    let id = submit(&jobs, many("work", 20)).await;
    let mut watch = jobs.watch(&id);
    let first = next(&mut watch).await.unwrap();
    assert_eq!((first.job.status, first.executions.len()), (JobStatus::Queued, 20));
    let work = FunctionExecutor::new("work", |_| async { Ok(json!("done")) });
    let runner = runner(&jobs).executor(work).start().await.unwrap();
    let seen = rest(&mut watch).await;
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "the same was seen twice");
    let completed: Vec<_> = seen.iter().map(|outline| outline.job.progress.completed).collect();
    assert!(completed.is_sorted(), "{completed:?}");
    let last = seen.last().unwrap();
    assert_eq!((last.job.status, last.is_over()), (JobStatus::Completed, true));
    assert_eq!(**last, JobOutline::from(detail(&jobs, &id).await));
    assert!(next(&mut watch).await.is_none(), "it ends once");
    unwatched(&jobs).await;
    assert_eq!(rest(&mut jobs.watch(&id)).await.len(), 1, "what is over is seen once");
    runner.shutdown(LONG).await;
}

async fn a_watch_of_a_cancelled_job_ends_with_its_last_stop(stand: Stand) {
    let jobs = Jobs::builder(Arc::clone(&stand.store)).poll(Duration::from_millis(50)).build();
    let forever = FunctionExecutor::new("work", |_| std::future::pending());
    let runner = runner(&jobs).executor(forever).start().await.unwrap();
    let id = submit(&jobs, many("work", 3)).await;
    until(&jobs, &id, |detail| detail.job.progress.running == 3).await;
    let mut watch = jobs.watch(&id);
    assert_eq!(next(&mut watch).await.unwrap().job.status, JobStatus::Running);
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    let last = rest(&mut watch).await.pop().unwrap();
    assert_eq!((last.job.status, last.stops.confirmed, last.stops.open), (JobStatus::Cancelled, 3, 0));
    runner.shutdown(LONG).await;
}

async fn what_another_door_does_is_seen(stand: Stand) {
    let here = Jobs::builder(Arc::clone(&stand.store)).poll(Duration::from_millis(50)).build();
    let there = Jobs::new(Arc::clone(&stand.store));
    let id = submit(&here, one("work")).await;
    let mut watch = here.watch(&id);
    next(&mut watch).await.unwrap();
    there.cancel(&id, &by_alice()).await.unwrap();
    assert_eq!(rest(&mut watch).await.pop().unwrap().job.status, JobStatus::Cancelled);
}

/// Whoever was told by one node, and goes on at another, is never told of how it was before.
async fn who_joins_is_told_how_it_is_now(stand: Stand) {
    let store = HookedStore::new(Arc::clone(&stand.store), Deaf);
    let jobs = Jobs::builder(store).poll(Duration::from_secs(3600)).build();
    let id = submit(&jobs, one("work")).await;
    let mut first = jobs.watch(&id);
    assert_eq!(next(&mut first).await.unwrap().job.status, JobStatus::Queued);
    let mut second = jobs.watch(&id);
    assert_eq!(next(&mut second).await.unwrap().job.status, JobStatus::Queued);
    stand.store.cancel(&id, &by_alice()).await.unwrap();
    let mut third = jobs.watch(&id);
    assert_eq!(next(&mut third).await.unwrap().job.status, JobStatus::Cancelled);
    assert_eq!(next(&mut first).await.unwrap().job.status, JobStatus::Cancelled);
}

/// Holds back the answer of the second read.
#[derive(Default)]
struct SlowSecond {
    reads: AtomicUsize,
    reached: tokio::sync::Notify,
    go: tokio::sync::Notify,
}

impl StoreHooks for SlowSecond {
    async fn after(&self, call: &StoreCall<'_>, _: Result<StoreAnswer<'_>, &Error>) -> Result<()> {
        if matches!(call, StoreCall::Outline(_)) && self.reads.fetch_add(1, Ordering::SeqCst) == 1 {
            self.reached.notify_one();
            self.go.notified().await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn who_joins_during_a_read_is_not_told_what_that_read_brings() {
    let memory = MemoryStore::new();
    let hooks = Arc::new(SlowSecond::default());
    let jobs = Jobs::new(HookedStore::new(memory.clone(), Arc::clone(&hooks)));
    let id = submit(&jobs, one("work")).await;
    let mut first = jobs.watch(&id);
    assert_eq!(next(&mut first).await.unwrap().job.waiting_for, ["work"]);
    // That the job waits for nothing any more is news, and old when it is told.
    let node = beacon_jobs::store::NodeIdentity {
        incarnation: beacon_jobs::IncarnationId::mint(&beacon_jobs::RandomIds),
        name: "node".to_owned(),
        process: beacon_jobs::host::ProcessIdentity::current(),
        executors: vec!["work".to_owned()],
    };
    memory.join(&node, LONG).await.unwrap();
    hooks.reached.notified().await;
    memory.cancel(&id, &by_alice()).await.unwrap();
    let mut second = jobs.watch(&id);
    hooks.go.notify_one();
    assert_eq!(next(&mut second).await.unwrap().job.status, JobStatus::Cancelled);
    assert_eq!(rest(&mut first).await.pop().unwrap().job.status, JobStatus::Cancelled);
}

/// Keeps all hints back.
struct Deaf;

impl StoreHooks for Deaf {
    fn signals(&self, _: Signals) -> Signals {
        Signals::none()
    }
}

async fn a_job_that_does_not_exist_is_not_watched(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let mut watch = jobs.watch(&JobId::new("nobody").unwrap());
    assert!(next(&mut watch).await.is_none());
    unwatched(&jobs).await;
}

/// Counts the reads of watchers, and fails them on demand.
#[derive(Default)]
struct Reads {
    count: AtomicUsize,
    fail: std::sync::Mutex<Option<ErrorKind>>,
}

impl StoreHooks for Reads {
    async fn before(&self, call: &StoreCall<'_>) -> Result<()> {
        if !matches!(call, StoreCall::Outline(_)) {
            return Ok(());
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        match *self.fail.lock().unwrap() {
            Some(kind) => Err(Error::new(kind, "on demand")),
            None => Ok(()),
        }
    }
}

fn counted(poll: Duration) -> (Jobs, Arc<Reads>) {
    let reads = Arc::new(Reads::default());
    let store = HookedStore::new(MemoryStore::new(), Arc::clone(&reads));
    (Jobs::builder(store).poll(poll).build(), reads)
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn a_thousand_watchers_cost_one_reader_and_nothing_once_they_are_gone() {
    let (jobs, reads) = counted(Duration::from_secs(3600));
    let id = submit(&jobs, many("work", 10)).await;
    let before = tasks();
    let mut watches: Vec<_> = (0..1_000).map(|_| jobs.watch(&id)).collect();
    for watch in &mut watches {
        next(watch).await.unwrap();
    }
    assert_eq!((jobs.watched(), tasks() - before, reads.count.load(Ordering::SeqCst)), (1, 1, 1));
    let half = watches.split_off(500);
    drop(half);
    jobs.cancel(&id, &by_alice()).await.unwrap();
    let first = next(&mut watches[0]).await.unwrap();
    for watch in &mut watches[1..] {
        assert!(Arc::ptr_eq(&first, &next(watch).await.unwrap()), "all see the very same");
    }
    assert_eq!(reads.count.load(Ordering::SeqCst), 2);
    drop(watches);
    unwatched(&jobs).await;
    assert_eq!((tasks(), Arc::strong_count(&first)), (before, 1));

    let open = submit(&jobs, one("work")).await;
    let mut watches: Vec<_> = (0..1_000).map(|_| jobs.watch(&open)).collect();
    next(&mut watches[0]).await.unwrap();
    let last = watches.pop();
    drop(watches);
    tokio::task::yield_now().await;
    assert_eq!(jobs.watched(), 1, "one still watches");
    drop(last);
    unwatched(&jobs).await;
    assert_eq!(tasks(), before);
    let after = reads.count.load(Ordering::SeqCst);
    jobs.cancel(&open, &by_alice()).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(reads.count.load(Ordering::SeqCst), after, "nobody watches, nothing is read");
}

#[tokio::test]
async fn a_watch_waits_while_the_store_is_away() {
    let (jobs, reads) = counted(Duration::from_millis(5));
    let id = submit(&jobs, one("work")).await;
    let mut watch = jobs.watch(&id);
    next(&mut watch).await.unwrap();
    *reads.fail.lock().unwrap() = Some(ErrorKind::Unavailable);
    jobs.cancel(&id, &by_alice()).await.unwrap();
    let seen = reads.count.load(Ordering::SeqCst);
    let asked_again = async {
        while reads.count.load(Ordering::SeqCst) < seen + 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        seen = watch.next() => panic!("{seen:?} of a store that is away"),
        () = asked_again => {}
    }
    *reads.fail.lock().unwrap() = None;
    assert_eq!(next(&mut watch).await.unwrap().job.status, JobStatus::Cancelled);
}

#[tokio::test]
async fn a_watch_fails_when_asking_again_does_not_help() {
    let (jobs, reads) = counted(Duration::from_millis(5));
    let id = submit(&jobs, one("work")).await;
    *reads.fail.lock().unwrap() = Some(ErrorKind::Corrupt);
    let mut watch = jobs.watch(&id);
    assert_eq!(watch.next().await.unwrap_err().kind(), ErrorKind::Corrupt);
    unwatched(&jobs).await;
    *reads.fail.lock().unwrap() = None;
    assert!(next(&mut watch).await.is_some(), "it may be asked again all the same");
}

#[test]
fn a_watch_outlives_the_runtime_of_its_reader() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (jobs, _reads) = counted(Duration::from_millis(5));
    let (first, second) = (runtime(), runtime());
    let (mut watch, id) = first.block_on(async {
        let id = submit(&jobs, one("work")).await;
        let mut watch = jobs.watch(&id);
        next(&mut watch).await.unwrap();
        (watch, id)
    });
    drop(first);
    let outside = jobs.watch(&id);
    second.block_on(async {
        jobs.cancel(&id, &by_alice()).await.unwrap();
        assert_eq!(rest(&mut watch).await.pop().unwrap().job.status, JobStatus::Cancelled);
        let mut outside = outside;
        assert_eq!(outside.next().await.unwrap_err().kind(), ErrorKind::Misconfigured);
    });
}
