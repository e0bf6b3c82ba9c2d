//! `wait`: answered once every stop is settled, or when the time is up. On a paused clock, so that
//! a wait of 60 s takes no time and its length can be seen.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::executor::function::FunctionExecutor;
use beacon_jobs::runner::JobRunner;
use beacon_jobs::store::MemoryStore;
use serde_json::json;

use crate::support::{Ask, Fault, Hand, LONG, TokioClock, World};

fn paused() -> (World, Arc<TokioClock>) {
    let clock = Arc::new(TokioClock::new());
    let store = Arc::new(MemoryStore::with_clock(Arc::clone(&clock) as _));
    let world = World::behind(store, |jobs| jobs.clock(Arc::clone(&clock) as _), |builder| builder);
    (world, clock)
}

fn wait(id: &beacon_jobs::JobId, seconds: u32) -> Ask {
    Ask::cancel(id).to(format!("/api/v1/jobs/{id}/cancel?wait={seconds}"))
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_every_stop_is_confirmed() {
    let (world, clock) = paused();
    let (started, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let forever = FunctionExecutor::new("work", move |_call| {
        let started = started.clone();
        async move {
            let _ = started.send(());
            std::future::pending().await
        }
    });
    let runner = JobRunner::builder(&world.jobs).executor(forever.clone()).start().await.unwrap();
    let id = world.submit(3).await;
    for _ in 0..3 {
        seen.recv().await.unwrap();
    }
    let before = clock.elapsed();
    let answer = world.send(wait(&id, 60).json(&json!({ "mode": "immediate" }))).await.ok(200);
    assert_eq!(answer["context_cancelled"], true);
    assert_eq!(answer["stops"]["confirmed"], 3, "{answer}");
    assert!(clock.elapsed() - before < Duration::from_secs(60), "it did not wait for the limit");
    assert_eq!(forever.running(), 0, "confirmed means ended");
    runner.shutdown(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_limit_with_the_truth_of_then() {
    let (world, clock) = paused();
    let (id, hand, job) = world.claimed(3).await;
    let heard = hand.start(&job, 0).await;
    hand.start(&job, 1).await;
    let before = clock.elapsed();
    let (answer, ()) = tokio::join!(world.send(wait(&id, 60)), async {
        while world.detail(&id).await.job.cancellation.is_none() {
            tokio::task::yield_now().await;
        }
        hand.acknowledge(&heard).await;
    });
    let waited = clock.elapsed() - before;
    assert!((60..62).contains(&waited.as_secs()), "waited {waited:?}");
    assert_eq!(
        answer.ok(200)["stops"],
        json!({ "total": 3, "not_needed": 1, "requested": 1, "acknowledged": 1, "confirmed": 0, "unconfirmed": 0 })
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_wait_the_answer_comes_at_once() {
    let (world, clock) = paused();
    let hand = Hand::join(&world.store).await;
    for query in ["", "?wait=0"] {
        let id = world.submit(1).await;
        let job = hand.claim().await;
        hand.start(&job, 0).await;
        let before = clock.elapsed();
        let ask = Ask::cancel(&id).to(format!("/api/v1/jobs/{id}/cancel{query}"));
        assert_eq!(world.send(ask).await.ok(200)["stops"]["requested"], 1);
        assert_eq!(clock.elapsed(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_nothing_ends_at_once() {
    let (world, clock) = paused();
    let id = world.submit(2).await;
    let before = clock.elapsed();
    assert_eq!(world.send(wait(&id, 60)).await.ok(200)["stops"]["not_needed"], 2);
    assert_eq!(clock.elapsed(), before);
}

#[tokio::test(start_paused = true)]
async fn a_second_cancel_can_wait_too() {
    let (world, _clock) = paused();
    let (id, hand, job) = world.claimed(1).await;
    let begun = hand.start(&job, 0).await;
    world.send(Ask::cancel(&id)).await.ok(200);
    let (answer, ()) = tokio::join!(world.send(wait(&id, 60)), async {
        tokio::task::yield_now().await;
        hand.confirm(&begun).await;
    });
    let answer = answer.ok(200);
    assert_eq!((&answer["already_cancelled"], &answer["stops"]["confirmed"]), (&json!(true), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_during_the_wait_does_not_take_the_cancel_back() {
    let (world, _clock) = paused();
    let (id, hand, job) = world.claimed(1).await;
    hand.start(&job, 0).await;
    world.faults.set(Fault::BlindReads);
    let answer = world.send(wait(&id, 60)).await.ok(200);
    assert_eq!((&answer["ok"], &answer["stops"]["requested"]), (&json!(true), &json!(1)));
}
