use axum::http::Method;
use beacon_jobs::store::MemoryStore;
use beacon_jobs::{ErrorKind, Jobs};
use beacon_jobs_http::{Api, CancelPolicy};

use crate::support::{Ask, World, tokens};

#[test]
fn an_api_without_an_authenticator_is_not_built() {
    let error = Api::builder(&Jobs::new(MemoryStore::new())).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("authenticator"), "{error}");
}

#[test]
fn settings_outside_of_their_range_are_named() {
    let builder = || Api::builder(&Jobs::new(MemoryStore::new())).authenticator(tokens());
    for bytes in [0, 1023, 1024 * 1024 * 1024 + 1] {
        assert_eq!(builder().max_body(bytes).build().unwrap_err().field(), Some("max_body"));
    }
    for origin in [
        "*",
        "null",
        "",
        "portal.example",
        "https://portal.example/",
        "https://portal.example/path",
        "https://user@portal.example",
        "https://*.portal.example",
        "https://Portal.example",
        "https://portal.example:443",
        "http://portal.example:80",
    ] {
        let error = builder().cors_origins([origin]).build().unwrap_err();
        assert!(error.to_string().starts_with("cors_origins"), "{origin}: {error}");
    }
    let good = ["https://portal.example", "http://127.0.0.1:3000", "http://[::1]:8080", "tauri://localhost"];
    builder().cors_origins(good).build().unwrap();
}

#[test]
fn policies_have_words() {
    for (policy, word) in [
        (CancelPolicy::Required, "required"),
        (CancelPolicy::WhenPresent, "when_present"),
        (CancelPolicy::LegacyOpen, "legacy_open"),
    ] {
        assert_eq!(word.parse::<CancelPolicy>().unwrap(), policy);
        assert_eq!(policy.to_string(), word);
    }
    let error = "open".parse::<CancelPolicy>().unwrap_err();
    assert!(error.to_string().contains("legacy_open"), "{error}");
}

fn preflight(origin: &str) -> Ask {
    Ask::new(Method::OPTIONS, "/api/v1/jobs")
        .nameless()
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,idempotency-key")
}

#[tokio::test]
async fn pages_of_listed_origins_alone_may_call() {
    let world =
        World::with(|builder| builder.cors_origins(["https://portal.example", "http://localhost:3000"]));
    for origin in ["https://portal.example", "http://localhost:3000"] {
        let reply = world.send(preflight(origin)).await;
        assert!(reply.status.is_success(), "{reply:?}");
        assert_eq!(reply.header("access-control-allow-origin"), origin);
        let allowed = reply.header("access-control-allow-headers");
        for name in ["authorization", "content-type", "idempotency-key", "x-request-id"] {
            assert!(allowed.contains(name), "{allowed}");
        }
        let refused = world.send(Ask::get("/api/v1/jobs").nameless().header("origin", origin)).await;
        assert_eq!(refused.header("access-control-allow-origin"), origin, "a page can read a refusal too");
        refused.problem(401, "unauthenticated");
    }
    for origin in ["https://evil.example", "https://portal.example.evil", "http://portal.example", "null"] {
        let reply = world.send(preflight(origin)).await;
        assert_eq!(reply.header("access-control-allow-origin"), "", "{origin}");
    }
}

#[tokio::test]
async fn without_a_list_no_page_may_call() {
    let world = World::new();
    let reply = world.send(preflight("https://portal.example")).await;
    assert_eq!(reply.header("access-control-allow-origin"), "");
    reply.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn the_router_merges_into_one_that_has_its_own_fallback() {
    let world = World::new();
    let host = axum::Router::new()
        .route("/", axum::routing::get(async || axum::Json("home")))
        .fallback(async || (axum::http::StatusCode::IM_A_TEAPOT, axum::Json("lost")))
        .merge(world.api.router());
    let teapot = crate::support::send(&host, Ask::get("/elsewhere")).await;
    assert_eq!((teapot.status.as_u16(), teapot.body.as_str()), (418, Some("lost")));
    crate::support::send(&host, Ask::get("/api/v1/elsewhere")).await.problem(404, "route_not_found");
    crate::support::send(&host, Ask::get("/api/v1/jobs")).await.ok(200);
}
