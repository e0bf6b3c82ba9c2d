//! Each refusal of the cancel route, with its problem, and with nothing changed by it.

use beacon_jobs::JobId;
use beacon_jobs::job::JobStatus;
use serde_json::{Value, json};

use crate::support::{Ask, Hand, World};

/// Sends a request that must be refused, and checks that nothing was changed.
async fn refused(world: &World, id: &JobId, ask: Ask, status: u16, code: &str) -> Value {
    let before = world.snapshot(id).await;
    let problem = world.send(ask).await.problem(status, code);
    assert_eq!(world.snapshot(id).await, before, "a refused request changed something");
    problem
}

#[tokio::test]
async fn body_that_is_not_json_is_400() {
    let world = World::new();
    let (id, _context) = world.running().await;
    for body in ["{", "not json", "{\"reason\":\"a\"} {}", "\u{feff}{}"] {
        let ask = Ask::cancel(&id).header("content-type", "application/json").raw(body);
        let problem = refused(&world, &id, ask, 400, "malformed_body").await;
        assert_eq!(problem["job_id"], json!(id), "{body}");
    }
    let latin = Ask::cancel(&id).header("content-type", "application/json").raw(*b"{\"reason\":\"\xe4\"}");
    refused(&world, &id, latin, 400, "malformed_body").await;
}

#[tokio::test]
async fn no_valid_credential_is_401() {
    let world = World::new();
    let (id, _context) = world.running().await;
    refused(&world, &id, Ask::cancel(&id).nameless(), 401, "unauthenticated").await;
    refused(&world, &id, Ask::cancel(&id).by("mallory"), 401, "unauthenticated").await;
}

#[tokio::test]
async fn another_owners_job_is_403() {
    let world = World::new();
    let (id, _context) = world.running().await;
    let problem = refused(&world, &id, Ask::cancel(&id).by("bob"), 403, "forbidden").await;
    assert_eq!(problem["job_id"], json!(id));
    assert!(!problem.to_string().contains("alice"), "the owner is not told: {problem}");
}

#[tokio::test]
async fn an_unknown_id_is_404_also_one_that_no_job_can_have() {
    let world = World::new();
    let (id, _context) = world.running().await;
    let problem = refused(&world, &id, Ask::cancel("no-such-job"), 404, "job_not_found").await;
    assert_eq!(problem["job_id"], "no-such-job");
    let long = "x".repeat(129);
    for name in ["a%20b", "%ff", "%2e%2e%2fetc", "%00", long.as_str()] {
        let problem = refused(&world, &id, Ask::cancel(name), 404, "job_not_found").await;
        assert_eq!(problem.get("job_id"), None, "{name}");
    }
}

#[tokio::test]
async fn a_finished_job_is_409_with_its_status() {
    let world = World::new();
    let hand = Hand::join(&world.store).await;
    let completed = world.submit(2).await;
    hand.complete(&hand.claim().await).await;
    let failed = world.submit(1).await;
    let job = hand.claim().await;
    let timed_out = beacon_jobs::store::FinishJob { fence: job.fence, job: job.id.clone(), timed_out: true };
    world.store.finish_job(&timed_out).await.unwrap();
    for (id, status) in [(completed, JobStatus::Completed), (failed, JobStatus::Failed)] {
        assert_eq!(world.detail(&id).await.job.status, status);
        let problem = refused(&world, &id, Ask::cancel(&id), 409, "already_finished").await;
        assert_eq!(problem["job_status"], status.as_str());
        assert_eq!(problem["job_id"], json!(id));
        assert!(problem["detail"].as_str().unwrap().contains(status.as_str()), "{problem}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_names_the_setting() {
    let world = World::with(|builder| builder.max_body(2048));
    let (id, _context) = world.running().await;
    let spaces = " ".repeat(2048);
    let fits = Ask::cancel("no-such-job")
        .header("content-type", "application/json")
        .raw(format!("{}{{}}", &spaces[2..]));
    refused(&world, &id, fits, 404, "job_not_found").await;
    let ask = Ask::cancel(&id).header("content-type", "application/json").raw(format!("{spaces}{{}}"));
    let problem = refused(&world, &id, ask, 413, "body_too_large").await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("--max-body") && detail.contains("max_body") && detail.contains("2048"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_body_that_is_not_said_to_be_json_is_415() {
    let world = World::new();
    let (id, _context) = world.running().await;
    refused(&world, &id, Ask::cancel(&id).raw("{}"), 415, "unsupported_media_type").await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json", ""] {
        let ask = Ask::cancel(&id).header("content-type", content_type).raw("{}");
        refused(&world, &id, ask, 415, "unsupported_media_type").await;
    }
    for content_type in
        ["application/json", "Application/JSON; charset=UTF-8", "application/merge-patch+json"]
    {
        let ask = Ask::cancel("no-such-job").header("content-type", content_type).raw("{}");
        refused(&world, &id, ask, 404, "job_not_found").await;
    }
}

#[tokio::test]
async fn what_is_not_allowed_is_422_and_named() {
    let world = World::new();
    let (id, _context) = world.running().await;
    let long = "x".repeat(501);
    for (body, field) in [
        (json!({ "reason": long }), "reason"),
        (json!({ "reason": 7 }), "reason"),
        (json!({ "mode": "brutal" }), "mode"),
        (json!({ "mode": true }), "mode"),
        (json!({ "grace_seconds": 601 }), "grace_seconds"),
        (json!({ "grace_seconds": -1 }), "grace_seconds"),
        (json!({ "grace_seconds": 1.5 }), "grace_seconds"),
        (json!({ "grace_seconds": "10" }), "grace_seconds"),
        (json!({ "why": "typo" }), "why"),
        (json!({ "why": null }), "why"),
        (json!({ "Reason": "typo" }), "Reason"),
    ] {
        let problem = refused(&world, &id, Ask::cancel(&id).json(&body), 422, "invalid_request").await;
        assert_eq!(problem["field"], field, "{body}");
        assert!(problem["error"].as_str().unwrap().starts_with(&format!("{field}: ")), "{problem}");
        assert_eq!(problem["job_id"], json!(id));
    }
    for body in [json!([]), json!(null), json!("now"), json!(1)] {
        refused(&world, &id, Ask::cancel(&id).json(&body), 422, "invalid_request").await;
    }
    for (query, field) in [
        ("wait=61", "wait"),
        ("wait=-1", "wait"),
        ("wait=1.5", "wait"),
        ("wait=", "wait"),
        ("wait", "wait"),
        ("wait=soon", "wait"),
        ("wait=1&wait=1", "wait"),
        ("wait=0&dry_run=true", "dry_run"),
    ] {
        let ask = Ask::cancel(&id).to(format!("/api/v1/jobs/{id}/cancel?{query}"));
        let problem = refused(&world, &id, ask, 422, "invalid_request").await;
        assert_eq!(problem["field"], field, "{query}");
    }
}

#[tokio::test]
async fn an_unknown_field_with_a_wild_name_stays_one_short_line() {
    let world = World::new();
    let (id, _context) = world.running().await;
    let wild = format!("a\nb\u{1b}[31m{}", "x".repeat(10_000));
    let problem =
        refused(&world, &id, Ask::cancel(&id).json(&json!({ wild: 1 })), 422, "invalid_request").await;
    let error = problem["error"].as_str().unwrap();
    assert!(error.len() < 300 && !error.contains(char::is_control), "{error}");
}

#[tokio::test]
async fn another_method_is_405_and_another_route_404_as_problems() {
    let world = World::new();
    let (id, _context) = world.running().await;
    let path = format!("/api/v1/jobs/{id}/cancel");
    let reply = world.send(Ask::get(path)).await;
    assert_eq!(reply.header("allow"), "POST");
    reply.problem(405, "method_not_allowed");
    world.send(Ask::get("/api/v1/jbos")).await.problem(404, "route_not_found");
    assert!(world.jobs.contexts().is_running(&id));
}
