//! The examples of authenticators let in whom they should.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's panic is its verdict")]

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use beacon_jobs::Jobs;
use beacon_jobs::job::{ExecutionSpec, JobSpec};
use beacon_jobs::store::MemoryStore;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};
use tower::ServiceExt;

#[path = "../api_key/main.rs"]
#[allow(dead_code, missing_docs, unreachable_pub, reason = "it is a program")]
mod api_key;
#[path = "../jwt/main.rs"]
#[allow(dead_code, missing_docs, unreachable_pub, reason = "it is a program")]
mod jwt;

/// The status of a look at alice's job.
async fn look(router: &Router, name: &str, value: &str) -> u16 {
    let request = Request::get("/api/v1/jobs/alices").header(name, value).body(Body::empty()).unwrap();
    router.clone().oneshot(request).await.unwrap().status().as_u16()
}

async fn jobs() -> Jobs {
    let jobs = Jobs::new(MemoryStore::new());
    let spec = JobSpec::new([ExecutionSpec::new("work", json!(null))]).with_id("alices".parse().unwrap());
    jobs.submit("alice", spec).await.unwrap();
    jobs
}

#[tokio::test]
async fn an_api_key_is_that_of_its_customer() {
    let keys = api_key::ApiKeys::default().with("key-of-alice", "alice").with("key-of-bob", "bob");
    let router = api_key::service(&jobs().await, keys).unwrap();
    assert_eq!(look(&router, "x-api-key", "key-of-alice").await, 200);
    assert_eq!(look(&router, "x-api-key", "key-of-bob").await, 403);
    for (name, value) in [("x-api-key", "key-of-alic"), ("x-api-key", ""), ("authorization", "key-of-alice")]
    {
        assert_eq!(look(&router, name, value).await, 401, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_web_token_is_believed_if_all_of_it_is_right() {
    let secret = b"a-secret-for-the-test-0123456789";
    let router = jwt::service(&jobs().await, jwt::Jwt::new(secret, "identity", "jobs").unwrap()).unwrap();
    let hour = get_current_timestamp() + 3600;
    let good = json!({ "iss": "identity", "aud": "jobs", "sub": "alice", "exp": hour });
    let token = |claims: &Value, algorithm: Algorithm, secret: &[u8]| {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret).unwrap()).unwrap()
    };
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        format!("Bearer {}", token(&claims, Algorithm::HS256, secret))
    };
    for (value, expected) in [
        (with("sub", json!("alice")), 200),
        (with("sub", json!("bob")), 403),
        (with("jobs_admin", json!(true)), 200),
        (with("iss", json!("somebody")), 401),
        (with("aud", json!("mail")), 401),
        (with("exp", json!(get_current_timestamp() - 60)), 401),
        (with("exp", json!(null)), 401),
        (format!("Bearer {}", token(&good, Algorithm::HS256, b"another-secret")), 401),
        (format!("Bearer {}", token(&good, Algorithm::HS512, secret)), 401),
        (token(&good, Algorithm::HS256, secret), 401),
    ] {
        assert_eq!(look(&router, "authorization", &value).await, expected, "{value}");
    }
    // A token that says of itself that it needs no signature.
    let none = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJpZGVudGl0eSJ9.";
    assert_eq!(look(&router, "authorization", &format!("Bearer {none}")).await, 401);
}
