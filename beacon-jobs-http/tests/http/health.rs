use serde_json::json;

use crate::support::{Ask, Fault, World};

#[tokio::test]
async fn health_needs_no_credential_and_readiness_follows_the_store() {
    let world = World::new();
    let live = Ask::get("/healthz").nameless();
    let ready = Ask::get("/readyz").nameless();
    assert_eq!(world.send(live.clone()).await.ok(200), json!({ "status": "ok" }));
    assert_eq!(world.send(ready.clone()).await.ok(200), json!({ "status": "ready" }));
    world.faults.set(Fault::Away);
    world.send(ready.clone()).await.problem(503, "store_unavailable");
    world.send(live).await.ok(200);
    world.faults.set(Fault::None);
    world.send(ready).await.ok(200);
}

#[tokio::test]
async fn the_request_id_is_echoed_or_made() {
    let world = World::new();
    let ask = Ask::get("/api/v1/jobs");
    let reply = world.send(ask.clone().header("x-request-id", "trace:1.a_b-C")).await;
    assert_eq!(reply.header("x-request-id"), "trace:1.a_b-C");
    let long = "x".repeat(129);
    for unfit in ["", "a b", "<script>", "a\tb", "s\u{f6}", long.as_str()] {
        let reply = world.send(ask.clone().header("x-request-id", unfit)).await;
        let made = reply.header("x-request-id");
        assert!(made.len() == 36 && made != unfit, "{unfit:?} became {made:?}");
    }
    let first = world.send(ask.clone()).await.header("x-request-id").to_owned();
    let second = world.send(ask.nameless()).await;
    assert_ne!(second.header("x-request-id"), first);
    second.problem(401, "unauthenticated");
    let elsewhere = world.send(Ask::get("/api/v1/nothing").header("x-request-id", "lost")).await;
    assert_eq!(elsewhere.header("x-request-id"), "lost");
}
