use beacon_jobs::job::{ExecutionSpec, JobSpec};
use serde_json::{Value, json};

use crate::support::{Ask, Hand, World};

async fn show(world: &World, id: impl std::fmt::Display, query: &str) -> Value {
    world.send(Ask::get(format!("/api/v1/jobs/{id}{query}"))).await.ok(200)
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn a_job_is_shown_with_its_rules_rows_and_cancel() {
    let world = World::new();
    let spec = JobSpec::new([
        ExecutionSpec::new("work", json!({ "n": 0 })).with_label("region", "us"),
        ExecutionSpec::new("work", json!({ "n": 1 })).with_lane("l"),
        ExecutionSpec::new("work", json!({ "n": 2 })),
    ])
    .with_id("j1".parse().unwrap())
    .with_label("suite", "bias")
    .with_max_attempts(3);
    world.jobs.submit("alice", spec).await.unwrap();
    let fresh = show(&world, "j1", "").await;
    assert_eq!(fresh["job"]["waiting_for"], json!(["work"]));
    assert_eq!(fresh["job"]["started_at"], json!(null));
    assert_eq!(fresh["cancellation"], json!(null));
    assert_eq!(fresh["executions"][0]["stop"], json!(null));

    let hand = Hand::join(&world.store).await;
    let job = hand.claim().await;
    let done = hand.start(&job, 0).await;
    hand.run(&done).await;
    hand.finish(&done, json!({ "answer": 42 })).await;
    let late = hand.start(&job, 1).await;
    hand.run(&late).await;
    world.send(Ask::cancel("j1").json(&json!({ "reason": "enough" }))).await.ok(200);
    hand.finish(&late, json!("too late")).await;
    hand.confirm(&late).await;

    let shown = show(&world, "j1", "").await;
    assert_eq!(keys(&shown), ["cancellation", "executions", "job", "progress", "status", "stops"]);
    assert_eq!(
        keys(&shown["job"]),
        ["created_at", "finished_at", "id", "labels", "owner", "spec", "started_at", "waiting_for"]
    );
    assert_eq!(shown["status"], "cancelled");
    assert_eq!(shown["job"]["labels"], json!({ "suite": "bias" }));
    assert_eq!(shown["job"]["spec"]["max_attempts"], 3);
    assert_eq!(shown["job"]["spec"].get("executions"), None);
    assert_eq!(shown["job"]["waiting_for"], json!([]));
    assert_eq!(
        shown["progress"],
        json!({ "total": 3, "completed": 1, "failed": 0, "cancelled": 2, "running": 0, "queued": 0 })
    );
    let cancellation = &shown["cancellation"];
    assert_eq!(cancellation["cancelled_by"], "alice");
    assert_eq!(cancellation["reason"], "enough");
    assert_eq!(cancellation["previous_status"], "running");
    assert_eq!(cancellation["executions_cancelled"], 2);

    let rows = shown["executions"].as_array().unwrap();
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(
            keys(row),
            [
                "attempt",
                "error",
                "executor",
                "finished_at",
                "id",
                "labels",
                "late_output",
                "output",
                "progress",
                "started_at",
                "status",
                "stop"
            ]
        );
        assert_eq!(row["id"], index.to_string());
        assert_eq!(row["executor"], "work");
    }
    assert_eq!(rows[0]["labels"], json!({ "region": "us" }));
    assert_eq!((&rows[0]["status"], &rows[0]["output"]), (&json!("completed"), &json!({ "answer": 42 })));
    assert_eq!(rows[0]["stop"], json!(null), "what ended by itself needs no stop");
    assert_eq!((&rows[1]["status"], &rows[1]["output"]), (&json!("cancelled"), &json!(null)));
    assert_eq!(rows[1]["late_output"], "too late");
    let stop = &rows[1]["stop"];
    assert_eq!(keys(stop), ["confirmed_at", "evidence", "requested_at", "state", "why"]);
    assert_eq!((&stop["state"], &stop["why"]), (&json!("confirmed"), &json!(null)));
    assert_eq!(stop["evidence"]["gone"], true);
    assert!(stop["confirmed_at"].as_str() >= stop["requested_at"].as_str());
    assert_eq!((&rows[2]["status"], &rows[2]["attempt"]), (&json!("cancelled"), &json!(0)));
    assert_eq!(rows[2]["stop"], json!(null), "what never began needs no stop");
}

#[tokio::test]
async fn executions_come_in_pages() {
    let world = World::new();
    let id = world.submit(1_100).await;
    let span = |shown: &Value| {
        let rows = shown["executions"].as_array().unwrap().clone();
        (rows.len(), rows.first().map(|row| row["id"].clone()), rows.last().map(|row| row["id"].clone()))
    };
    let some = |id: u32| Some(json!(id.to_string()));
    assert_eq!(span(&show(&world, &id, "").await), (100, some(0), some(99)));
    assert_eq!(span(&show(&world, &id, "?exec_limit=1000").await), (1000, some(0), some(999)));
    assert_eq!(span(&show(&world, &id, "?exec_limit=7&exec_offset=1095").await), (5, some(1095), some(1099)));
    assert_eq!(span(&show(&world, &id, "?exec_limit=0").await), (0, None, None));
    assert_eq!(span(&show(&world, &id, "?exec_offset=4294967295").await), (0, None, None));
    for (query, field) in [
        ("exec_limit=1001", "exec_limit"),
        ("exec_limit=-1", "exec_limit"),
        ("exec_offset=4294967296", "exec_offset"),
        ("include=executions", "include"),
    ] {
        let ask = Ask::get(format!("/api/v1/jobs/{id}?{query}"));
        assert_eq!(world.send(ask).await.problem(422, "invalid_request")["field"], field);
    }
}

#[tokio::test]
async fn a_job_is_shown_to_its_owner_and_administrators_only() {
    let world = World::new();
    let id = world.submit(1).await;
    let ask = Ask::get(format!("/api/v1/jobs/{id}"));
    world.send(ask.clone()).await.ok(200);
    world.send(ask.clone().by("root")).await.ok(200);
    assert_eq!(world.send(ask.clone().by("bob")).await.problem(403, "forbidden")["job_id"], json!(id));
    world.send(ask.nameless()).await.problem(401, "unauthenticated");
    world.send(Ask::get("/api/v1/jobs/none").by("bob")).await.problem(404, "job_not_found");
    world.send(Ask::get("/api/v1/jobs/a%20b")).await.problem(404, "job_not_found");
}

#[tokio::test]
async fn a_failed_execution_says_why() {
    use beacon_jobs::store::FinishJob;
    let world = World::new();
    let (id, hand, job) = world.claimed(1).await;
    hand.start(&job, 0).await;
    let timed_out = FinishJob { fence: job.fence, job: job.id.clone(), timed_out: true };
    world.store.finish_job(&timed_out).await.unwrap();
    let shown = show(&world, &id, "").await;
    assert_eq!(shown["status"], "failed");
    let row = &shown["executions"][0];
    assert_eq!(row["error"]["kind"], "timeout");
    assert!(row["error"]["message"].is_string());
    assert_eq!(row["stop"]["state"], "requested");
}
