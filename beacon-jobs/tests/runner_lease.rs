//! Leases that run out: H8, H13, and promises 3, 5 and 6 for a node that was frozen.

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

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::host::ProcessIdentity;
use support::prelude::*;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

on_each_store!(
    a_node_that_lost_its_lease_comes_back_and_goes_on,
    nothing_is_begun_while_the_lease_may_be_over,
    the_clocks_of_nodes_and_store_may_differ,
    h8_work_that_a_thawed_node_begins_after_its_confirmation_is_found_and_ended,
);

/// H13: its old task still holds the context of the job that it is given again.
async fn a_node_that_lost_its_lease_comes_back_and_goes_on(stand: Stand) {
    let provider = Provider::default();
    let lose = Arc::new(Mutex::new(None::<beacon_jobs::IncarnationId>));
    let joins = Arc::new(AtomicUsize::new(0));
    let hook: Hook = {
        let (lose, store, joins) = (Arc::clone(&lose), Arc::clone(&stand.store), Arc::clone(&joins));
        Box::new(move |name, before| {
            joins.fetch_add(usize::from(name == "join" && before), Ordering::SeqCst);
            let lost = if name == "heartbeat" && before { lose.lock().unwrap().take() } else { None };
            let store = Arc::clone(&store);
            Box::pin(async move {
                if let Some(lost) = lost {
                    store.end_node(lost, NodeEnd::Abandoned).await.unwrap();
                }
                Ok(())
            })
        })
    };
    let jobs = Jobs::new(Probe::new(&stand.store, hook));
    let mut options = quick_options();
    options.lease = Duration::from_secs(1);
    let runner = runner(&jobs).options(options).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, one("remote")).await;
    let first = provider.wait_alive(1).await[0];
    let before = runner.incarnation().unwrap();
    // A request of another job is under way when the lease is lost.
    provider.hold(Point::Create);
    let other = submit(&jobs, one("remote")).await;
    provider.reached(Point::Create).await;
    *lose.lock().unwrap() = Some(before);
    while runner.incarnation() == Some(before) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(quick_options().poll * 6).await;
    assert_eq!(joins.load(Ordering::SeqCst), 1, "it entered anew before the old work had settled");
    provider.release();
    provider.wait("new attempts", |state| (state.count("begin") == 3).then_some(())).await;
    assert!(!provider.wait_alive(2).await.contains(&first));
    assert_ne!(runner.incarnation(), Some(before));
    provider.finish_all();
    for id in [id, other] {
        let end = settled(&jobs, &id).await;
        assert_eq!((end.job.status, end.stops.confirmed), (JobStatus::Completed, 1));
    }
    runner.shutdown(LONG).await;
    assert_eq!(jobs.contexts().count(), 0);
}

/// As after a freeze: the node does not know whether it still lives, and waits until the store says so.
async fn nothing_is_begun_while_the_lease_may_be_over(stand: Stand) {
    const LEASE: Duration = Duration::from_secs(1);
    let provider = Provider::default();
    let beats = Arc::new(Semaphore::new(0));
    let jobs = Jobs::new(Probe::gated(&stand.store, "heartbeat", &beats));
    let mut options = quick_options();
    options.lease = LEASE;
    let runner = runner(&jobs).options(options).executor(Remote::two_step(&provider)).start().await.unwrap();
    provider.hold(Point::AfterSave);
    let id = submit(&jobs, one("remote")).await;
    provider.reached(Point::AfterSave).await;
    // In the store it lives on.
    stand.store.heartbeat(runner.incarnation().unwrap(), Duration::from_secs(3_600)).await.unwrap();
    tokio::time::sleep(LEASE).await;
    provider.release();
    tokio::time::sleep(LEASE / 2).await;
    assert_eq!(provider.count("begin"), 0, "it cannot know that it is still alive");
    beats.add_permits(1);
    provider.wait_alive(1).await;
    provider.finish_all();
    assert_eq!(settled(&jobs, &id).await.job.status, JobStatus::Completed);
    runner.shutdown(LONG).await;
}

/// The first node is frozen with a begin request on its way. The second seals by time and confirms;
/// then the request arrives.
async fn h8_work_that_a_thawed_node_begins_after_its_confirmation_is_found_and_ended(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let mut options = quick_options();
    options.max_stop_pause = Duration::from_millis(50);
    let first = runner(&jobs).options(options.clone()).executor(Remote::two_step(&provider)).start();
    let first = first.await.unwrap();
    provider.hold(Point::Begin);
    let id = submit(&jobs, one("remote")).await;
    provider.reached(Point::Begin).await;
    let incarnation = first.incarnation().unwrap();
    let attempt = provider.wait("the inert object", |state| state.first()).await;
    // Nothing more can be learnt of it. Dropped, it writes nothing more.
    stand.store.end_node(incarnation, NodeEnd::Abandoned).await.unwrap();
    drop(first);

    let jobs = Jobs::new(Arc::clone(&stand.store));
    let second = runner(&jobs).options(options).executor(Remote::two_step(&provider)).start().await.unwrap();
    let confirmed = until(&jobs, &id, |detail| detail.stops.confirmed == 1).await;
    let stop = confirmed.executions[0].stop.as_ref().unwrap();
    assert_eq!(stop.evidence.as_ref().unwrap()["sealed_by"], "time", "it says what it rests on");
    assert_eq!((stop.state, confirmed.stops.open), (StopState::Confirmed, 0));

    // The request arrives though its sender is still frozen.
    provider.set(attempt, Work::Alive);
    provider.wait("its end", |state| (state.work(attempt) == Some(Work::Stopped)).then_some(())).await;
    // Now that thaws too, and sends it anew.
    provider.release();
    provider
        .wait("the next attempt alone", |state| {
            let alive = state.alive();
            (alive.len() == 1 && alive[0] != attempt).then_some(())
        })
        .await;
    provider.finish_all();
    assert_eq!(settled(&jobs, &id).await.job.status, JobStatus::Completed);
    assert_eq!(detail(&jobs, &id).await.stops.confirmed, 1);
    second.shutdown(LONG).await;
}

/// The machine's clock, two hours ahead.
#[derive(Debug)]
struct Ahead;

#[async_trait::async_trait]
impl Clock for Ahead {
    fn now(&self) -> OffsetDateTime {
        SystemClock.now() + Duration::from_secs(7_200)
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime()
    }

    async fn sleep(&self, duration: Duration) {
        SystemClock.sleep(duration).await;
    }
}

/// Nothing is overdue by a clock that is ahead: not a job's time, not a grace, not the time after
/// which a lost node's requests cannot be on their way any more.
async fn the_clocks_of_nodes_and_store_may_differ(stand: Stand) {
    const HOUR: u64 = 3_600;
    let provider = Provider::default();
    let mut remote = Remote::two_step(&provider);
    remote.capabilities.start_deadline = Duration::from_secs(HOUR);
    remote.capabilities.resume = true;
    let jobs = Jobs::builder(Arc::clone(&stand.store)).clock(Arc::new(Ahead)).build();
    let mut spec = one("remote");
    spec.timeout_seconds = Some(HOUR);
    spec.executions[0].timeout_seconds = Some(HOUR);
    let id = submit(&jobs, spec).await;
    let lost = LostNode::begin(&stand.store, ProcessIdentity::current()).await;
    provider.set(lost.attempt, Work::Alive);
    lost.abandon(&stand.store).await;

    let runner = runner(&jobs).executor(remote).start().await.unwrap();
    provider.wait("a watcher", |state| (state.count("attach") == 1).then_some(())).await;
    provider.stubborn(true);
    jobs.cancel(&id, &by_alice().with_grace(Duration::from_secs(600))).await.unwrap();
    until(&jobs, &id, |detail| detail.stops.acknowledged == 1).await;
    assert_eq!(runner.running_attempts(), 1, "its grace runs");
    provider.stubborn(false);
    provider.wait("a stop", |state| (state.work(lost.attempt) == Some(Work::Stopped)).then_some(())).await;
    tokio::time::sleep(quick_options().poll * 6).await;
    let stops = detail(&jobs, &id).await.stops;
    assert_eq!((stops.confirmed, stops.open), (0, 1), "a begin request of the lost node may still arrive");
    runner.shutdown(LONG).await;
}
