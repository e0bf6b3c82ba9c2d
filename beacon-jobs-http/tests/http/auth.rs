use async_trait::async_trait;
use axum::http::request::Parts;
use beacon_jobs_http::auth::{AuthRefusal, Authenticator, Principal};
use beacon_jobs_http::{BearerTokens, CancelPolicy};
use serde_json::json;

use crate::support::{Ask, World, token};

#[tokio::test]
async fn only_a_whole_bearer_token_given_once_lets_in() {
    let world = World::new();
    let ask = Ask::get("/api/v1/jobs").nameless();
    let alice = token("alice");
    for value in [format!("Bearer {alice}"), format!("bearer {alice}"), format!("BEARER   {alice}")] {
        world.send(ask.clone().header("authorization", value)).await.ok(200);
    }
    for value in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        alice.clone(),
        format!("Basic {alice}"),
        format!("Bearer{alice}"),
        format!("Bearer {}", &alice[1..]),
        format!("Bearer {}", &alice[..alice.len() - 1]),
        format!("Bearer {alice}x"),
        format!("Bearer {}", alice.to_uppercase()),
        format!("Bearer {alice} {alice}"),
        "Bearer \u{f6}".to_owned(),
    ] {
        world.send(ask.clone().header("authorization", value)).await.problem(401, "unauthenticated");
    }
    let value = format!("Bearer {alice}");
    let twice = ask.header("authorization", value.clone()).header("authorization", value);
    world.send(twice).await.problem(401, "unauthenticated");
}

#[test]
fn a_token_of_another_form_is_refused_without_being_repeated() {
    let long = "x".repeat(4097);
    for token in ["", "two words", "tab\there", "schl\u{fc}ssel", long.as_str()] {
        let error = BearerTokens::new().with_token(token, Principal::owner("a")).unwrap_err();
        assert_eq!(error.field(), Some("token"));
        assert!(token.is_empty() || !format!("{error} {error:?}").contains(token));
    }
    let twice = BearerTokens::new()
        .with_token("same-token", Principal::owner("a"))
        .and_then(|tokens| tokens.with_token("same-token", Principal::admin("b")));
    assert!(!format!("{:?}", twice.unwrap_err()).contains("same-token"));
}

#[derive(Debug)]
struct OutOfOrder;

#[async_trait]
impl Authenticator for OutOfOrder {
    async fn authenticate(&self, _: &Parts) -> Result<Principal, AuthRefusal> {
        Err(AuthRefusal::Unavailable { why: "directory secret-place is down".to_owned() })
    }
}

#[tokio::test]
async fn an_authenticator_that_cannot_tell_is_503_and_lets_nobody_in() {
    let world = World::with(|builder| builder.authenticator(OutOfOrder));
    let id = world.submit(1).await;
    let before = world.snapshot(&id).await;
    for ask in [Ask::get("/api/v1/jobs"), Ask::cancel(&id)] {
        let problem = world.send(ask).await.problem(503, "authentication_unavailable");
        assert!(!problem.to_string().contains("secret-place"), "{problem}");
    }
    assert_eq!(world.snapshot(&id).await, before);
}

#[tokio::test]
async fn with_when_present_a_stranger_cancels_and_a_known_caller_only_its_own() {
    let world = World::with(|builder| builder.cancel_policy(CancelPolicy::WhenPresent));
    let id = world.submit(1).await;
    world.send(Ask::cancel(&id).by("bob")).await.problem(403, "forbidden");
    world.send(Ask::cancel(&id).by("mallory")).await.problem(401, "unauthenticated");
    world.send(Ask::get("/api/v1/jobs").nameless()).await.problem(401, "unauthenticated");
    let answer = world.send(Ask::cancel(&id).nameless()).await.ok(200);
    assert_eq!(answer["cancelled_by"], "anonymous");
}

#[tokio::test]
async fn with_legacy_open_everybody_cancels_under_the_name_that_is_known() {
    let world = World::with(|builder| builder.cancel_policy(CancelPolicy::LegacyOpen));
    for (ask, name) in [
        (Ask::cancel("j").by("bob"), "bob"),
        (Ask::cancel("j").by("mallory"), "anonymous"),
        (Ask::cancel("j").nameless(), "anonymous"),
    ] {
        let id = world.submit(1).await;
        let ask = ask.to(format!("/api/v1/jobs/{id}/cancel"));
        assert_eq!(world.send(ask).await.ok(200)["cancelled_by"], name);
    }
    let id = world.submit(1).await;
    world.send(Ask::get(format!("/api/v1/jobs/{id}")).by("bob")).await.problem(403, "forbidden");
    assert_eq!(json!(world.detail(&id).await.job.status), "queued");
}
