use serde_json::json;

use crate::support::stores::{Pair, on_each_store};
use crate::support::{Ask, World};

on_each_store!(the_record_says_who_did_what_when_and_why);

async fn the_record_says_who_did_what_when_and_why(pair: Pair) {
    let world = World::over(pair.one, |builder| builder);
    let (id, hand, job) = world.claimed(1).await;
    hand.start(&job, 0).await;
    let ask = Ask::get(format!("/api/v1/jobs/{id}/audit"));
    world
        .send(Ask::cancel(&id).json(&json!({ "reason": "wrong model", "grace_seconds": 600 })))
        .await
        .ok(200);
    world
        .send(Ask::cancel(&id).by("root").json(&json!({ "reason": "now", "mode": "immediate" })))
        .await
        .ok(200);
    let answer = world.send(ask).await.ok(200);
    assert_eq!(answer["job_id"], json!(id));
    let audit = answer["audit"].as_array().unwrap();
    let told: Vec<_> =
        audit.iter().map(|entry| [&entry["actor"], &entry["action"], &entry["reason"]]).collect();
    assert_eq!(
        json!(told),
        json!([
            ["alice", "submitted", null],
            ["alice", "cancelled", "wrong model"],
            ["root", "escalated", "now"]
        ])
    );
    assert!(audit.iter().map(|entry| entry["at"].as_str().unwrap()).is_sorted());
    assert_eq!(audit[1]["detail"]["executions_cancelled"], 1);
}

#[tokio::test]
async fn the_record_is_shown_to_the_owner_and_administrators_only() {
    let world = World::new();
    let id = world.submit(1).await;
    let ask = Ask::get(format!("/api/v1/jobs/{id}/audit"));
    world.send(ask.clone()).await.ok(200);
    world.send(ask.clone().by("root")).await.ok(200);
    world.send(ask.clone().by("bob")).await.problem(403, "forbidden");
    world.send(ask.clone().nameless()).await.problem(401, "unauthenticated");
    world.send(Ask::get("/api/v1/jobs/none/audit")).await.problem(404, "job_not_found");
    let problem = world.send(ask.to(format!("/api/v1/jobs/{id}/audit?limit=1"))).await;
    assert_eq!(problem.problem(422, "invalid_request")["field"], "limit");
}
