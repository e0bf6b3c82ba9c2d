//! 503: the store is away (nothing was changed), or its answer was lost (ask again).

use beacon_jobs::cancel::CancelReason;
use serde_json::json;

use crate::support::{Ask, Fault, World};

#[tokio::test]
async fn a_store_that_is_away_is_503_and_changes_nothing() {
    let world = World::new();
    let id = world.submit(2).await;
    let _context = world.jobs.contexts().register(id.clone()).unwrap();
    let before = world.snapshot(&id).await;
    world.faults.set(Fault::Away);
    let job = json!({ "executions": [{ "executor": "work" }] });
    for ask in [
        Ask::cancel(&id),
        Ask::post("/api/v1/jobs").json(&job),
        Ask::get("/api/v1/jobs"),
        Ask::get(format!("/api/v1/jobs/{id}")),
        Ask::get("/readyz"),
    ] {
        let problem = world.send(ask.clone()).await.problem(503, "store_unavailable");
        assert!(!problem.to_string().contains("secret-place"), "where the store lies is told: {problem}");
    }
    let problem = world.send(Ask::cancel(&id)).await.problem(503, "store_unavailable");
    assert_eq!(problem["job_id"], json!(id));
    assert_eq!(world.snapshot(&id).await, before);
    world.faults.set(Fault::None);
    assert_eq!(world.send(Ask::cancel(&id)).await.ok(200)["already_cancelled"], false);
}

#[tokio::test]
async fn a_lost_answer_to_a_cancel_is_503_and_the_same_request_gives_the_truth() {
    let world = World::new();
    let id = world.submit(2).await;
    let context = world.jobs.contexts().register(id.clone()).unwrap();
    let cancel = Ask::cancel(&id).json(&json!({ "reason": "wrong" }));
    world.faults.set(Fault::ReplyLost);
    let problem = world.send(cancel.clone()).await.problem(503, "outcome_unknown");
    assert_eq!(problem["job_id"], json!(id));
    assert!(!problem.to_string().contains("secret-place"), "{problem}");

    world.faults.set(Fault::None);
    let answer = world.send(cancel).await.ok(200);
    assert_eq!(answer["already_cancelled"], true);
    assert_eq!(answer["executions_cancelled"], 2);
    assert_eq!(answer["context_cancelled"], false);
    let reason = CancelReason::Requested { by: "alice".to_owned(), reason: Some("wrong".to_owned()) };
    assert_eq!(context.reason(), Some(reason), "the context that the lost answer left alive has ended");
}

#[tokio::test]
async fn a_lost_answer_to_a_submission_is_503_and_the_same_request_gives_the_job() {
    let world = World::new();
    let job = json!({ "executions": [{ "executor": "work" }] });
    let submit = Ask::post("/api/v1/jobs").json(&job).header("idempotency-key", "k");
    world.faults.set(Fault::ReplyLost);
    let problem = world.send(submit.clone()).await.problem(503, "outcome_unknown");
    world.faults.set(Fault::None);
    let answer = world.send(submit).await.ok(200);
    assert_eq!(answer["id"], problem["job_id"]);
    let all = world.send(Ask::get("/api/v1/jobs")).await.ok(200);
    assert_eq!(all["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_store_cannot_read_is_500_without_its_words() {
    let world = World::new();
    let id = world.submit(1).await;
    world.faults.set(Fault::Corrupt("row 7 of secret-place holds rubbish"));
    for ask in [Ask::cancel(&id), Ask::get(format!("/api/v1/jobs/{id}"))] {
        let problem = world.send(ask).await.problem(500, "internal");
        assert!(!problem.to_string().contains("secret-place"), "{problem}");
    }
}
