//! Of several reasons to refuse a request the first of the written order is given.

use serde_json::json;

use crate::support::{Ask, Hand, World};

#[tokio::test]
async fn a_cancel_with_everything_wrong_is_refused_in_the_written_order() {
    let world = World::with(|builder| builder.max_body(1024));
    let hand = Hand::join(&world.store).await;
    let finished = world.submit(1).await;
    hand.complete(&hand.claim().await).await;
    let of = |job: &str| format!("/api/v1/jobs/{job}/cancel?wait=99");

    let ask = Ask::cancel("").to(of("no-such-job")).nameless().raw("{".repeat(2000));
    world.send(ask.clone()).await.problem(401, "unauthenticated");
    let ask = ask.by("bob");
    world.send(ask.clone()).await.problem(413, "body_too_large");
    let ask = ask.raw("{");
    world.send(ask.clone()).await.problem(415, "unsupported_media_type");
    let ask = ask.header("content-type", "application/json");
    world.send(ask.clone()).await.problem(400, "malformed_body");
    let ask = ask.raw("{}");
    world.send(ask.clone()).await.problem(422, "invalid_request");
    let long =
        ask.clone().to("/api/v1/jobs/no%20job/cancel").raw(format!("{{\"reason\":\"{}\"}}", "x".repeat(501)));
    world.send(long).await.problem(422, "invalid_request");
    let ask = ask.to("/api/v1/jobs/no-such-job/cancel");
    world.send(ask.clone()).await.problem(404, "job_not_found");
    let ask = ask.to(format!("/api/v1/jobs/{finished}/cancel"));
    world.send(ask.clone()).await.problem(403, "forbidden");
    world.send(ask.by("alice")).await.problem(409, "already_finished");
}

#[tokio::test]
async fn a_submission_with_everything_wrong_is_refused_in_the_written_order() {
    let world = World::with(|builder| builder.max_body(1024));
    let taken = json!({ "id": "taken", "executions": [{ "executor": "work" }] });
    world.send(Ask::post("/api/v1/jobs").json(&taken)).await.ok(201);

    let ask = Ask::post("/api/v1/jobs").nameless().raw("{".repeat(2000));
    world.send(ask.clone()).await.problem(401, "unauthenticated");
    let ask = ask.by("bob");
    world.send(ask.clone()).await.problem(413, "body_too_large");
    let ask = ask.raw("{").header("idempotency-key", "");
    world.send(ask.clone()).await.problem(415, "unsupported_media_type");
    let ask = ask.header("content-type", "application/json");
    world.send(ask.clone()).await.problem(400, "malformed_body");
    let forbidden = json!({ "id": "taken", "executions": [{ "executor": "process" }] });
    let ask = ask.raw(forbidden.to_string());
    world.send(ask).await.problem(422, "invalid_request");
    let ask = Ask::post("/api/v1/jobs").by("bob").json(&forbidden);
    world.send(ask).await.problem(403, "executor_forbidden");
    let ask = Ask::post("/api/v1/jobs").by("bob").json(&taken);
    world.send(ask).await.problem(409, "conflict");
}

#[tokio::test]
async fn a_look_at_a_job_is_refused_in_the_written_order() {
    let world = World::new();
    let id = world.submit(1).await;
    let ask = Ask::get("/api/v1/jobs/no-such-job?exec_limit=x").nameless();
    world.send(ask.clone()).await.problem(401, "unauthenticated");
    let ask = ask.by("bob");
    world.send(ask.clone()).await.problem(422, "invalid_request");
    world.send(ask.clone().to("/api/v1/jobs/no-such-job")).await.problem(404, "job_not_found");
    world.send(ask.to(format!("/api/v1/jobs/{id}"))).await.problem(403, "forbidden");
}
