//! Limits of how often somebody may ask.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use serde_json::json;
use tower::ServiceExt;

use crate::support::{Ask, World};

const LIMIT: u32 = 5;

fn limited() -> World {
    World::with(|api| api.rate_limit(NonZeroU32::new(LIMIT)))
}

async fn from(world: &World, address: &str, ask: Ask) -> StatusCode {
    let mut request = ask.request();
    request.extensions_mut().insert(ConnectInfo(address.parse::<SocketAddr>().unwrap()));
    world.router.clone().oneshot(request).await.unwrap().status()
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_ask_again_and_others_are_heard() {
    let world = limited();
    for _ in 0..LIMIT {
        world.send(Ask::get("/api/v1/jobs").by("alice")).await.ok(200);
    }
    let refused = world.send(Ask::get("/api/v1/jobs").by("alice")).await;
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{refused:?}");
    refused.problem(429, "too_many_requests");
    world.send(Ask::get("/api/v1/jobs").by("bob")).await.ok(200);
}

#[tokio::test]
async fn a_cancel_is_heard_however_often_its_caller_has_asked() {
    let world = limited();
    let id = world.submit(1).await;
    for _ in 0..=LIMIT {
        world.send(Ask::get("/api/v1/jobs").by("alice")).await;
        from(&world, "192.0.2.1:1", Ask::get("/api/v1/jobs").by("alice")).await;
    }
    for _ in 0..2 * LIMIT {
        assert_eq!(from(&world, "192.0.2.1:1", Ask::cancel(&id).by("alice")).await, StatusCode::OK);
    }
    let many =
        || Ask::post("/api/v1/jobs/cancel").by("alice").json(&json!({ "filter": { "ids": [id.as_str()] } }));
    assert_eq!(from(&world, "192.0.2.1:1", many()).await, StatusCode::OK);
}

#[tokio::test]
async fn an_address_is_counted_whoever_it_claims_to_be_and_a_network_of_ipv6_as_one() {
    let world = limited();
    let open = || Ask::get("/api/v1/openapi.json").nameless();
    for (address, neighbour, other) in [
        ("192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"),
        ("[::ffff:192.0.2.3]:1", "192.0.2.3:1", "192.0.2.4:1"),
        ("[2001:db8::1]:1", "[2001:db8::ffff:2]:1", "[2001:db8:0:1::1]:1"),
    ] {
        for _ in 0..LIMIT {
            assert_eq!(from(&world, address, open()).await, StatusCode::OK);
        }
        assert_eq!(from(&world, neighbour, open()).await, StatusCode::TOO_MANY_REQUESTS, "{neighbour}");
        assert_eq!(from(&world, neighbour, Ask::get("/healthz").nameless()).await, StatusCode::OK);
        assert_eq!(from(&world, other, open()).await, StatusCode::OK, "{other}");
    }
}

#[tokio::test]
async fn without_a_limit_nobody_is_counted() {
    let world = World::new();
    for _ in 0..200 {
        assert_eq!(from(&world, "192.0.2.1:1", Ask::get("/api/v1/jobs").by("alice")).await, StatusCode::OK);
    }
}
