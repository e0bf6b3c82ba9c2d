//! Job contexts alone, without a store or a runner.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::future_not_send,
    reason = "a test's panic is its verdict, and it waits for the real machine"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use beacon_jobs::JobId;
use beacon_jobs::cancel::CancelReason;
use beacon_jobs::context::{AlreadyRegistered, JobContextManager};
use time::OffsetDateTime;

fn id(name: &str) -> JobId {
    JobId::new(name).unwrap()
}

fn alice() -> CancelReason {
    CancelReason::Requested { by: "alice".to_owned(), reason: Some("wrong model".to_owned()) }
}

#[test]
fn a_stale_guard_never_removes_a_newer_registration() {
    let manager = JobContextManager::new();
    let old = manager.register(id("job")).unwrap();
    assert!(manager.unregister(&id("job")));
    let new = manager.register(id("job")).unwrap();
    drop(old);
    assert!(manager.is_running(&id("job")));
    assert!(manager.cancel(&id("job"), alice()));
    assert!(new.is_cancelled());
    drop(new);
    assert_eq!(manager.count(), 0);
}

/// The same as a race, thousands of times: a guard is dropped while the id is registered anew.
#[test]
fn a_stale_guard_dropped_while_the_id_is_registered_anew_removes_nothing() {
    let manager = JobContextManager::new();
    for _ in 0..5_000 {
        let old = manager.register(id("job")).unwrap();
        assert!(manager.unregister(&id("job")));
        let barrier = Barrier::new(2);
        let new = std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                drop(old);
            });
            barrier.wait();
            manager.register(id("job")).unwrap()
        });
        assert!(manager.is_running(&id("job")), "the new registration is gone");
        drop(new);
        assert_eq!(manager.count(), 0);
    }
}

#[test]
fn an_id_is_registered_once_at_a_time() {
    let manager = JobContextManager::new();
    for _ in 0..1_000 {
        let barrier = Barrier::new(4);
        let won = AtomicUsize::new(0);
        let contexts: Vec<_> = std::thread::scope(|scope| {
            let register = || {
                barrier.wait();
                let registered = manager.register(id("job"));
                won.fetch_add(usize::from(registered.is_ok()), Ordering::SeqCst);
                registered
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(register)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(won.load(Ordering::SeqCst), 1);
        assert!(contexts.iter().filter_map(|c| c.as_ref().err()).all(|e| *e == AlreadyRegistered(id("job"))));
    }
    assert_eq!(manager.count(), 0);
}

#[tokio::test]
async fn the_first_reason_stays_and_reaches_all_who_wait() {
    let manager = JobContextManager::new();
    let context = manager.register(id("job")).unwrap();
    let child = context.token().child_token();
    assert!(!manager.cancel(&id("other"), alice()));
    assert!(manager.cancel(&id("job"), alice()));
    assert!(manager.cancel(&id("job"), CancelReason::Shutdown));
    assert!(!context.cancel(CancelReason::LeaseLost));
    assert_eq!(context.cancelled().await, alice());
    assert_eq!(context.reason(), Some(alice()));
    child.cancelled().await;
    assert!(!manager.is_running(&id("job")), "it has ended");
    assert_eq!(manager.count(), 1, "and is still registered");
}

#[tokio::test]
async fn a_token_handed_out_cancels_only_what_was_made_from_it() {
    let manager = JobContextManager::new();
    let context = manager.register(id("job")).unwrap();
    let token = context.token();
    let below = token.child_token();
    token.cancel();
    assert!(below.is_cancelled());
    assert!(!context.is_cancelled());
    assert!(!context.token().is_cancelled());
}

#[test]
fn dropping_a_context_cancels_nothing() {
    let manager = JobContextManager::new();
    let context = manager.register(id("job")).unwrap();
    let token = context.token();
    drop(context);
    assert!(!token.is_cancelled());
    assert!(!manager.cancel(&id("job"), alice()));
}

#[tokio::test]
async fn an_unregistered_context_lives_on_out_of_reach() {
    let manager = JobContextManager::new();
    let context = manager.register(id("job")).unwrap();
    assert!(manager.unregister(&id("job")));
    assert!(!manager.unregister(&id("job")));
    assert!(!manager.cancel(&id("job"), alice()));
    assert!(!context.is_cancelled());
    context.cancel(alice());
    assert_eq!(context.cancelled().await, alice());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_context_and_the_earliest_wins() {
    let manager = JobContextManager::new();
    let context = manager.register(id("job")).unwrap();
    let now = OffsetDateTime::now_utc();
    context.set_deadline(now + Duration::from_secs(3_600));
    context.set_deadline(now + Duration::from_secs(60));
    assert_eq!(context.cancelled().await, CancelReason::Deadline);

    let other = manager.register(id("other")).unwrap();
    other.set_deadline(now + Duration::from_secs(60));
    other.cancel(alice());
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(other.cancelled().await, alice(), "a deadline does not replace a reason");
}

#[tokio::test]
async fn a_deadline_leaves_no_task_behind() {
    let manager = JobContextManager::new();
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let context = manager.register(id("job")).unwrap();
    for seconds in [3_600, 1_800] {
        context.set_deadline(OffsetDateTime::now_utc() + Duration::from_secs(seconds));
        while metrics.num_alive_tasks() > before + 1 {
            tokio::task::yield_now().await;
        }
    }
    drop(context);
    while metrics.num_alive_tasks() > before {
        tokio::task::yield_now().await;
    }
}

#[test]
fn clones_of_a_manager_are_one_manager() {
    let manager = JobContextManager::new();
    let other = manager.clone();
    let context = Arc::new(manager.register(id("job")).unwrap());
    assert!(other.cancel(&id("job"), alice()));
    assert!(context.is_cancelled());
    assert_eq!(other.count(), 1);
}
