use beacon_jobs::cancel::CancelReason;
use beacon_jobs::job::{AuditAction, ExecutionStatus, JobStatus};
use serde_json::json;

use crate::support::{Ask, World};

#[tokio::test]
async fn the_answer_says_what_was_changed_and_nothing_else() {
    let world = World::new();
    let (id, hand, job) = world.claimed(6).await;
    let context = world.jobs.contexts().register(id.clone()).unwrap();
    let done = hand.start(&job, 0).await;
    hand.run(&done).await;
    hand.finish(&done, json!("kept")).await;
    hand.start(&job, 1).await;
    let running = hand.start(&job, 2).await;
    hand.run(&running).await;
    let before = world.detail(&id).await;

    let answer = world.send(Ask::cancel(&id).json(&json!({ "reason": "wrong model" }))).await.ok(200);

    let after = world.detail(&id).await;
    let changed = before.executions.iter().zip(&after.executions).filter(|(was, is)| was != is).count();
    assert_eq!(changed, 5);
    let record = after.job.cancellation.as_ref().unwrap();
    let at = record.cancelled_at.format(&time::format_description::well_known::Rfc3339).unwrap();
    assert_eq!(
        answer,
        json!({
            "ok": true, "job_id": id, "previous_status": "running", "new_status": "cancelled",
            "context_cancelled": true, "executions_cancelled": changed, "cancelled_at": at,
            "cancelled_by": "alice", "reason": "wrong model", "already_cancelled": false,
            "stops": { "total": 5, "not_needed": 3, "requested": 2, "acknowledged": 0, "confirmed": 0, "unconfirmed": 0 },
        })
    );
    assert_eq!(after.job.status, JobStatus::Cancelled);
    assert_eq!(after.executions[0].status, ExecutionStatus::Completed);
    let reason = CancelReason::Requested { by: "alice".to_owned(), reason: Some("wrong model".to_owned()) };
    assert_eq!(context.reason(), Some(reason));
    let actions: Vec<_> = world.jobs.audit(&id).await.unwrap().iter().map(|entry| entry.action).collect();
    assert_eq!(actions, [AuditAction::Submitted, AuditAction::Cancelled]);
}

#[tokio::test]
async fn a_queued_job_is_cancelled_and_needs_no_stop() {
    let world = World::new();
    let id = world.submit(3).await;
    let answer = world.send(Ask::cancel(&id)).await.ok(200);
    assert_eq!(answer["previous_status"], "queued");
    assert_eq!(answer["context_cancelled"], false);
    assert_eq!(answer["executions_cancelled"], 3);
    assert_eq!(answer["reason"], json!(null));
    assert_eq!(answer["stops"]["not_needed"], 3);
}

#[tokio::test]
async fn a_second_cancel_repeats_the_first_record_with_the_stops_of_now() {
    let world = World::new();
    let (id, hand, job) = world.claimed(2).await;
    let _context = world.jobs.contexts().register(id.clone()).unwrap();
    let begun = hand.start(&job, 0).await;
    hand.run(&begun).await;
    let first = world.send(Ask::cancel(&id).json(&json!({ "reason": "first" }))).await.ok(200);
    hand.confirm(&begun).await;

    let second = world.send(Ask::cancel(&id).by("root").json(&json!({ "reason": "second" }))).await.ok(200);

    let mut expected = first.clone();
    expected["already_cancelled"] = json!(true);
    expected["context_cancelled"] = json!(false);
    expected["stops"]["requested"] = json!(0);
    expected["stops"]["confirmed"] = json!(1);
    assert_eq!(second, expected);
    assert_eq!(
        world.jobs.audit(&id).await.unwrap().len(),
        2,
        "a cancel that changes nothing is not recorded"
    );
}

#[tokio::test]
async fn a_harsher_second_cancel_shortens_the_grace_and_is_on_record() {
    let world = World::new();
    let (id, hand, job) = world.claimed(1).await;
    hand.start(&job, 0).await;
    let gently = json!({ "mode": "graceful", "grace_seconds": 600 });
    let first = world.send(Ask::cancel(&id).json(&gently)).await.ok(200);
    assert_eq!(first.get("escalated"), None);

    let again = world.send(Ask::cancel(&id).json(&gently)).await.ok(200);
    assert_eq!(again.get("escalated"), None, "the same grace is not harsher");
    let harsher = world.send(Ask::cancel(&id).by("root").json(&json!({ "mode": "immediate" }))).await.ok(200);
    assert_eq!(harsher["escalated"], true);
    assert_eq!(harsher["already_cancelled"], true);
    assert_eq!(harsher["cancelled_by"], "alice", "the first record stays");

    let audit = world.jobs.audit(&id).await.unwrap();
    assert_eq!(audit.len(), 3);
    assert_eq!((audit[2].actor.as_str(), audit[2].action), ("root", AuditAction::Escalated));
}

#[tokio::test]
async fn an_earlier_end_of_grace_is_harsher_too() {
    let world = World::new();
    let (id, hand, job) = world.claimed(1).await;
    hand.start(&job, 0).await;
    world.send(Ask::cancel(&id).json(&json!({ "grace_seconds": 600 }))).await.ok(200);
    let harsher = world.send(Ask::cancel(&id).json(&json!({ "grace_seconds": 0 }))).await.ok(200);
    assert_eq!(harsher["escalated"], true);
}

#[tokio::test]
async fn the_default_is_graceful_with_ten_seconds() {
    let world = World::new();
    let (id, hand, job) = world.claimed(1).await;
    hand.start(&job, 0).await;
    world
        .send(Ask::cancel(&id).json(&json!({ "mode": null, "grace_seconds": null, "reason": null })))
        .await
        .ok(200);
    let eleven = world.send(Ask::cancel(&id).json(&json!({ "grace_seconds": 11 }))).await.ok(200);
    assert_eq!(eleven.get("escalated"), None, "11 s from now is later than 10 s from a moment ago");
    let nine = world.send(Ask::cancel(&id).json(&json!({ "grace_seconds": 9 }))).await.ok(200);
    assert_eq!(nine["escalated"], true);
}

#[tokio::test]
async fn an_empty_body_of_any_type_is_an_empty_request() {
    let world = World::new();
    for content_type in [None, Some("application/json; charset=utf-8"), Some("text/plain"), Some("nonsense")]
    {
        let id = world.submit(1).await;
        let mut ask = Ask::cancel(&id);
        if let Some(content_type) = content_type {
            ask = ask.header("content-type", content_type);
        }
        let answer = world.send(ask).await.ok(200);
        assert_eq!(answer["already_cancelled"], false, "{content_type:?}");
    }
}

#[tokio::test]
async fn an_administrator_cancels_for_everybody_under_its_own_name() {
    let world = World::new();
    let id = world.submit(1).await;
    let answer = world.send(Ask::cancel(&id).by("root")).await.ok(200);
    assert_eq!(answer["cancelled_by"], "root");
}

#[tokio::test]
async fn a_reason_of_five_hundred_characters_is_kept_whole() {
    let world = World::new();
    let id = world.submit(1).await;
    let reason = "ü".repeat(500);
    let answer = world.send(Ask::cancel(&id).json(&json!({ "reason": reason }))).await.ok(200);
    assert_eq!(answer["reason"], reason);
}

#[tokio::test]
async fn a_cancel_goes_on_when_the_client_hangs_up() {
    use crate::support::{Fault, send};
    use std::sync::Arc;
    use tokio::sync::Notify;

    let world = World::new();
    let id = world.submit(1).await;
    let context = world.jobs.contexts().register(id.clone()).unwrap();
    let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    world.faults.set(Fault::Slow { reached: Arc::clone(&reached), go: Arc::clone(&go) });
    tokio::select! {
        _ = send(&world.router, Ask::cancel(&id)) => panic!("answered before the store did"),
        () = reached.notified() => {}
    }
    go.notify_one();
    let ended = tokio::time::timeout(crate::support::LONG, context.cancelled()).await;
    assert_eq!(ended, Ok(CancelReason::requested("alice")));
}
