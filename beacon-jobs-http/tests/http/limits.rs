use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::job::JobStatus;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{Ask, World};

fn list_of_10_000() -> Value {
    let execution = |n: u32| {
        json!({
            "executor": "work", "lane": format!("lane-{}", n % 100),
            "labels": { "region": "us-east", "model": "llama3.2-1b", "question": format!("q{n}") },
            "input": { "command": ["sh", "-c", "sleep 30"] },
        })
    };
    json!({ "executions": (0..10_000).map(execution).collect::<Vec<_>>() })
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_sending_is_told_so_and_one_that_is_slow_is_heard() {
    let world = World::new();
    let id = world.submit(1).await;
    let stalls = || stream::iter([Ok::<_, Infallible>("{\"reason\": ")]).chain(stream::pending());
    for (name, status) in [("alice", 408), ("mallory", 401)] {
        let request = Ask::cancel(&id).by(name).request().map(|_| Body::from_stream(stalls()));
        let reply = world.router.clone().oneshot(request).await.unwrap();
        assert_eq!(reply.status().as_u16(), status);
    }
    assert_eq!(world.detail(&id).await.job.status, JobStatus::Queued);
    let slow = stream::iter("{\"reason\": \"slow\"}".chars()).then(async |letter| {
        SystemClock.sleep(Duration::from_secs(29)).await;
        Ok::<_, Infallible>(letter.to_string())
    });
    let ask = Ask::cancel(&id).header("content-type", "application/json");
    let request = ask.request().map(|_| Body::from_stream(slow));
    assert_eq!(world.router.clone().oneshot(request).await.unwrap().status(), 200);
    assert_eq!(world.detail(&id).await.job.cancellation.unwrap().reason.as_deref(), Some("slow"));
}

#[tokio::test]
async fn an_input_of_900_kib_passes() {
    let world = World::new();
    let input = "x".repeat(900 * 1024);
    let job = json!({ "executions": [{ "executor": "work", "input": input }] });
    let accepted = world.send(Ask::post("/api/v1/jobs").json(&job)).await.ok(201);
    assert_eq!(accepted["status"], "queued");
}

#[tokio::test]
async fn a_list_of_10_000_executions_is_over_the_default_limit_and_passes_a_higher_one() {
    let job = list_of_10_000();
    assert!(job.to_string().len() > 1024 * 1024);
    let world = World::new();
    let ask = Ask::post("/api/v1/jobs").json(&job);
    let problem = world.send(ask.clone()).await.problem(413, "body_too_large");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("--max-body") && detail.contains("1048576"), "{detail}");
    assert!(world.send(Ask::get("/api/v1/jobs")).await.ok(200)["jobs"].as_array().unwrap().is_empty());

    let wide = World::with(|builder| builder.max_body(4 * 1024 * 1024));
    let id = wide.send(ask).await.ok(201)["id"].as_str().unwrap().to_owned();
    assert_eq!(wide.send(Ask::get(format!("/api/v1/jobs/{id}"))).await.ok(200)["progress"]["total"], 10_000);
}

#[tokio::test]
async fn a_matrix_of_10_000_executions_passes_and_is_cancelled_whole() {
    let words = |prefix: &str, count: u32| (0..count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
    let job = json!({
        "matrix": { "models": words("m", 10), "regions": words("r", 10), "questions": words("q", 100) },
        "template": { "executor": "work", "input": { "ask": "{{model}} {{question}}" } },
    });
    let world = World::new();
    let id =
        world.send(Ask::post("/api/v1/jobs").json(&job)).await.ok(201)["id"].as_str().unwrap().to_owned();
    let answer = world.send(Ask::cancel(&id)).await.ok(200);
    assert_eq!(answer["executions_cancelled"], 10_000);
    assert_eq!(answer["stops"]["not_needed"], 10_000);
}
