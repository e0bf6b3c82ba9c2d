use beacon_jobs::JobId;
use beacon_jobs::store::JobFilter;
use serde_json::{Value, json};

use crate::support::{Ask, Reply, World};

fn body() -> Value {
    json!({
        "labels": { "suite": "bias" },
        "max_attempts": 2,
        "executions": [{ "executor": "work", "lane": "us", "labels": { "region": "us" }, "input": { "a": 1, "b": [2] } }],
    })
}

async fn submit(world: &World, ask: Ask) -> Reply {
    world.send(ask.to("/api/v1/jobs")).await
}

fn post(body: &Value) -> Ask {
    Ask::post("/api/v1/jobs").json(body)
}

async fn count(world: &World) -> usize {
    world.jobs.list(&JobFilter::default()).await.unwrap().jobs.len()
}

#[tokio::test]
async fn a_job_is_taken_in_and_found_where_the_answer_says() {
    let world = World::new();
    let reply = submit(&world, post(&body())).await;
    let location = reply.header("location").to_owned();
    let accepted = reply.ok(201);
    assert_eq!(accepted["status"], "queued");
    assert_eq!(accepted.as_object().unwrap().len(), 2, "{accepted}");
    let id = accepted["id"].as_str().unwrap();
    assert_eq!(location, format!("/api/v1/jobs/{id}"));
    let shown = world.send(Ask::get(location)).await.ok(200);
    assert_eq!(shown["job"]["id"], id);
    assert_eq!(shown["job"]["owner"], "alice");
    assert_eq!(shown["executions"][0]["labels"]["region"], "us");
}

#[tokio::test]
async fn the_location_follows_the_place_where_the_router_is_mounted() {
    let world = World::new();
    let host = axum::Router::new().nest("/compute", world.api.router());
    let reply = crate::support::send(&host, post(&body()).to("/compute/api/v1/jobs")).await;
    let location = reply.header("location").to_owned();
    assert!(location.starts_with("/compute/api/v1/jobs/"), "{location}");
    crate::support::send(&host, Ask::get(location)).await.ok(200);
}

#[tokio::test]
async fn the_same_key_and_an_equal_body_is_the_first_job() {
    let world = World::new();
    let first = submit(&world, post(&body()).header("idempotency-key", "k1")).await.ok(201);
    let reordered = r#"{"executions":[{"input":{"b":[2],"a":1},"labels":{"region":"us"},"lane":"us","executor":"work"}],
        "max_attempts":2,"min_success_rate":1.0,"labels":{"suite":"bias"}}"#;
    let again = Ask::post("").header("content-type", "application/json").raw(reordered);
    let reply = submit(&world, again.header("idempotency-key", "k1")).await;
    assert!(!reply.headers.contains_key("location"));
    assert_eq!(reply.ok(200), first);
    assert_eq!(count(&world).await, 1);

    let id: JobId = first["id"].as_str().unwrap().parse().unwrap();
    world.send(Ask::cancel(&id)).await.ok(200);
    let later = submit(&world, post(&body()).header("idempotency-key", "k1")).await.ok(200);
    assert_eq!(later["status"], "cancelled", "the status is that of now");
}

#[tokio::test]
async fn the_same_key_with_another_body_is_409_and_changes_nothing() {
    let world = World::new();
    let first = submit(&world, post(&body()).header("idempotency-key", "k1")).await.ok(201);
    let mut other = body();
    other["max_attempts"] = json!(3);
    let problem = submit(&world, post(&other).header("idempotency-key", "k1")).await.problem(409, "conflict");
    assert_eq!(problem["job_id"], first["id"]);
    assert!(problem["detail"].as_str().unwrap().contains("Idempotency-Key"), "{problem}");
    let mut named = body();
    named["id"] = json!("another");
    let problem = submit(&world, post(&named).header("idempotency-key", "k1")).await.problem(409, "conflict");
    assert_eq!(problem["job_id"], first["id"], "an id that was asked for is never passed over: {problem}");
    assert_eq!(count(&world).await, 1);
}

#[tokio::test]
async fn a_key_belongs_to_its_owner() {
    let world = World::new();
    let hers = submit(&world, post(&body()).header("idempotency-key", "k1")).await.ok(201);
    let his = submit(&world, post(&body()).by("bob").header("idempotency-key", "k1")).await.ok(201);
    assert_ne!(hers["id"], his["id"]);
}

#[tokio::test]
async fn the_same_id_is_the_same_job_only_for_its_owner_and_an_equal_spec() {
    let world = World::new();
    let mut named = body();
    named["id"] = json!("job:1.a_b-c");
    let first = submit(&world, post(&named)).await.ok(201);
    assert_eq!(first["id"], "job:1.a_b-c");
    assert_eq!(submit(&world, post(&named)).await.ok(200), first);
    let by_bob = submit(&world, post(&named).by("bob")).await.problem(409, "conflict");
    assert_eq!(by_bob["job_id"], "job:1.a_b-c");
    named["labels"] = json!({});
    submit(&world, post(&named)).await.problem(409, "conflict");
    assert_eq!(count(&world).await, 1);
}

#[tokio::test]
async fn keys_of_other_forms_are_refused() {
    let world = World::new();
    let long = "k".repeat(256);
    for key in ["", "sch\u{f6}n", long.as_str()] {
        let problem = submit(&world, post(&body()).header("idempotency-key", key))
            .await
            .problem(422, "invalid_request");
        assert_eq!(problem["field"], "Idempotency-Key");
    }
    let twice = post(&body()).header("idempotency-key", "a").header("idempotency-key", "b");
    submit(&world, twice).await.problem(422, "invalid_request");
    assert_eq!(count(&world).await, 0);
}

#[tokio::test]
async fn an_illegal_job_is_422_with_the_path_of_the_field() {
    let world = World::new();
    for (body, field) in [
        (json!({}), "executions"),
        (json!({ "executions": [] }), "executions"),
        (
            json!({ "executions": [{ "executor": "work" }, { "executor": "work", "timeout_seconds": 0 }] }),
            "executions[1].timeout_seconds",
        ),
        (json!({ "executions": [{ "executor": "work", "retries": 1 }] }), "executions[0].retries"),
        (json!({ "executions": [{ "executor": "work" }], "owner": "bob" }), "owner"),
        (json!({ "executions": [{ "executor": "work" }], "id": "a b" }), "id"),
        (json!([]), "job"),
    ] {
        let problem = submit(&world, post(&body)).await.problem(422, "invalid_request");
        assert_eq!(problem["field"], field, "{problem}");
    }
    assert_eq!(count(&world).await, 0);
}

#[tokio::test]
async fn an_empty_body_is_no_job() {
    let world = World::new();
    let empty = Ask::post("/api/v1/jobs");
    world.send(empty.clone()).await.problem(415, "unsupported_media_type");
    world.send(empty.header("content-type", "application/json")).await.problem(400, "malformed_body");
}

#[tokio::test]
async fn an_input_that_the_executor_here_cannot_run_is_422() {
    use async_trait::async_trait;
    use beacon_jobs::executor::{ExecuteError, ExecutionContext, Executor};
    use beacon_jobs::stop::{Handle, StopError, StopRequest, StopStatus};

    #[derive(Debug)]
    struct Picky;

    impl std::fmt::Display for Picky {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("picky")
        }
    }

    #[async_trait]
    impl Executor for Picky {
        fn name(&self) -> &str {
            "picky"
        }
        fn check_input(&self, _: &Value) -> beacon_jobs::Result<()> {
            Err(beacon_jobs::Error::invalid("input.taste", "must be sweet"))
        }
        async fn execute(&self, _: &ExecutionContext) -> Result<Value, ExecuteError> {
            Err(ExecuteError::failed("never"))
        }
        async fn stop(&self, _: &Handle, _: &StopRequest) -> Result<StopStatus, StopError> {
            Err(StopError::new("never"))
        }
    }

    let world = World::new();
    let runner = beacon_jobs::runner::JobRunner::builder(&world.jobs).executor(Picky).start().await.unwrap();
    let job = json!({ "executions": [{ "executor": "picky" }] });
    let problem = submit(&world, post(&job)).await.problem(422, "invalid_request");
    assert_eq!(problem["field"], "executions[0].input.taste");
    runner.shutdown(crate::support::LONG).await;
}

#[tokio::test]
async fn process_is_for_administrators_unless_it_is_opened() {
    let job = json!({ "executions": [{ "executor": "work" }, { "executor": "process", "input": { "command": ["true"] } }] });
    let matrix = json!({
        "matrix": { "models": ["m"], "regions": ["r"], "questions": ["q"] },
        "template": { "executor": "process", "input": { "command": ["true"] } },
    });
    let world = World::new();
    for job in [&job, &matrix] {
        let problem = submit(&world, post(job)).await.problem(403, "executor_forbidden");
        assert!(problem["detail"].as_str().unwrap().contains("process"), "{problem}");
        submit(&world, post(job).by("root")).await.ok(201);
    }
    assert_eq!(count(&world).await, 2);

    let open = World::with(|builder| builder.admin_only_executors(Vec::<String>::new()));
    submit(&open, post(&job)).await.ok(201);

    let other = World::with(|builder| builder.admin_only_executors(["work"]));
    submit(&other, post(&matrix)).await.ok(201);
    submit(&other, post(&job)).await.problem(403, "executor_forbidden");
}
