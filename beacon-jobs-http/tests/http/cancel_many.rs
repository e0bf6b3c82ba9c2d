//! Many jobs cancelled by one request.

use beacon_jobs::JobId;
use beacon_jobs::job::{ExecutionSpec, JobSpec, JobStatus};
use serde_json::{Value, json};

use crate::support::stores::{Pair, on_each_store};
use crate::support::{Ask, Fault, Hand, World, work};

on_each_store!(
    those_that_fit_are_cancelled_and_no_other,
    named_jobs_are_each_answered_for,
    a_dry_run_tells_the_same_and_changes_nothing,
    more_jobs_than_share_a_commit_are_all_cancelled,
);

fn ask(body: &Value) -> Ask {
    Ask::post("/api/v1/jobs/cancel").json(body)
}

fn world(pair: &Pair) -> World {
    World::over(std::sync::Arc::clone(&pair.one), |builder| builder)
}

async fn labelled(world: &World, owner: &str, id: &str, suite: &str) -> JobId {
    let spec = work(2).with_id(id.parse().unwrap()).with_label("suite", suite);
    world.jobs.submit(owner, spec).await.unwrap().id
}

fn ids(answer: &Value, list: &str) -> Vec<String> {
    let jobs = answer[list].as_array().unwrap();
    let mut ids: Vec<_> = jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

async fn status(world: &World, id: &str) -> JobStatus {
    world.detail(&id.parse().unwrap()).await.job.status
}

async fn those_that_fit_are_cancelled_and_no_other(pair: Pair) {
    let world = world(&pair);
    labelled(&world, "alice", "runs", "bias").await;
    let hand = Hand::join(&world.store).await;
    let job = hand.claim().await;
    let begun = hand.start(&job, 0).await;
    hand.run(&begun).await;
    let context = world.jobs.contexts().register(job.id.clone()).unwrap();
    labelled(&world, "alice", "waits", "bias").await;
    labelled(&world, "alice", "other", "speed").await;
    labelled(&world, "bob", "bobs", "bias").await;

    let filter = json!({ "filter": { "status": "queued", "labels": { "suite": "bias" } } });
    let answer = world.send(ask(&filter)).await.ok(200);
    assert_eq!((ids(&answer, "jobs"), &answer["skipped"]), (vec!["waits".to_owned()], &json!([])));
    assert!(!context.is_cancelled());

    let body =
        json!({ "filter": { "labels": { "suite": "bias" } }, "reason": "enough", "mode": "immediate" });
    let answer = world.send(ask(&body)).await.ok(200);
    let stops = json!({ "total": 2, "not_needed": 1, "requested": 1, "acknowledged": 0, "confirmed": 0, "unconfirmed": 0 });
    assert_eq!(
        answer,
        json!({
            "cancelled": 1, "skipped": [],
            "jobs": [{
                "id": "runs", "previous_status": "running", "context_cancelled": true, "executions_cancelled": 2,
                "stops": stops,
            }],
        })
    );
    assert!(context.is_cancelled());
    let record = world.detail(&"runs".parse().unwrap()).await.job.cancellation.unwrap();
    assert_eq!((record.cancelled_by.as_str(), record.reason.as_deref()), ("alice", Some("enough")));
    for name in ["other", "bobs"] {
        assert_eq!(status(&world, name).await, JobStatus::Queued, "{name}");
    }
    let answer = world.send(ask(&json!({ "filter": { "status": "queued" } })).by("root")).await.ok(200);
    assert_eq!(ids(&answer, "jobs"), ["bobs", "other"], "an administrator means all jobs");
}

async fn named_jobs_are_each_answered_for(pair: Pair) {
    let world = world(&pair);
    let hand = Hand::join(&world.store).await;
    labelled(&world, "alice", "done", "a").await;
    hand.complete(&hand.claim().await).await;
    labelled(&world, "alice", "gone", "a").await;
    let job = hand.claim().await;
    hand.start(&job, 0).await;
    world.send(Ask::cancel("gone").json(&json!({ "grace_seconds": 600 }))).await.ok(200);
    labelled(&world, "alice", "open", "a").await;
    labelled(&world, "bob", "bobs", "a").await;
    let named = json!(["open", "open", "gone", "done", "bobs", "none"]);

    let answer = world.send(ask(&json!({ "filter": { "ids": named }, "mode": "immediate" }))).await.ok(200);
    assert_eq!((ids(&answer, "jobs"), &answer["cancelled"]), (vec!["open".to_owned()], &json!(1)));
    assert_eq!(
        answer["skipped"],
        json!([
            { "id": "gone", "why": "already_cancelled", "escalated": true },
            { "id": "done", "why": "already_finished", "status": "completed" },
            { "id": "bobs", "why": "forbidden" },
            { "id": "none", "why": "not_found" },
        ])
    );
    assert_eq!(status(&world, "bobs").await, JobStatus::Queued);

    labelled(&world, "alice", "b", "b").await;
    let filter = json!({ "filter": { "ids": ["b", "bobs", "none"], "labels": { "suite": "a" } } });
    let answer = world.send(ask(&filter)).await.ok(200);
    let whys: Vec<_> = answer["skipped"].as_array().unwrap().iter().map(|job| job["why"].as_str()).collect();
    assert_eq!(whys, [Some("no_match"), Some("forbidden"), Some("not_found")]);
    assert_eq!(answer["cancelled"], 0);
    assert_eq!(world.send(ask(&json!({ "filter": { "ids": [] } }))).await.ok(200)["cancelled"], 0);
}

async fn a_dry_run_tells_the_same_and_changes_nothing(pair: Pair) {
    let world = world(&pair);
    for name in ["one", "two"] {
        labelled(&world, "alice", name, "bias").await;
    }
    labelled(&world, "bob", "bobs", "bias").await;
    let hand = Hand::join(&world.store).await;
    hand.complete(&hand.claim().await).await;
    let before =
        [world.snapshot(&"one".parse().unwrap()).await, world.snapshot(&"two".parse().unwrap()).await];
    for filter in [json!({ "labels": { "suite": "bias" } }), json!({ "ids": ["two", "one", "bobs", "none"] })]
    {
        let dry = world.send(ask(&json!({ "filter": filter, "dry_run": true }))).await.ok(200);
        assert_eq!((&dry["dry_run"], &dry["cancelled"]), (&json!(true), &json!(1)), "{dry}");
        assert_eq!(
            (&dry["jobs"][0]["id"], &dry["jobs"][0]["executions_cancelled"]),
            (&json!("two"), &json!(2))
        );
        if filter.get("ids").is_some() {
            let whys: Vec<_> =
                dry["skipped"].as_array().unwrap().iter().map(|job| job["why"].as_str()).collect();
            assert_eq!(whys, [Some("already_finished"), Some("forbidden"), Some("not_found")]);
        }
    }
    let after =
        [world.snapshot(&"one".parse().unwrap()).await, world.snapshot(&"two".parse().unwrap()).await];
    assert_eq!(after, before);
}

async fn more_jobs_than_share_a_commit_are_all_cancelled(pair: Pair) {
    let world = world(&pair);
    let submit = |n: usize| {
        let jobs = world.jobs.clone();
        let spec = JobSpec::new([ExecutionSpec::new("work", json!(n))]).with_label("many", "yes");
        async move { jobs.submit("alice", spec).await.unwrap() }
    };
    for _ in 0..11 {
        futures_util::future::join_all((0..100).map(submit)).await;
    }
    let filter = json!({ "filter": { "labels": { "many": "yes" } } });
    let answer = world.send(ask(&filter)).await.ok(200);
    assert_eq!((&answer["cancelled"], answer.get("more")), (&json!(1_100), None));
    assert_eq!(world.send(ask(&filter)).await.ok(200)["cancelled"], 0);
}

#[tokio::test]
async fn bad_input_is_refused_in_the_written_order_and_changes_nothing() {
    let world = World::with(|builder| builder.max_body(256 * 1024));
    let id = world.submit(1).await;
    let before = world.snapshot(&id).await;
    let good = json!({ "filter": { "ids": [id] } });
    world.send(ask(&good).nameless()).await.problem(401, "unauthenticated");
    let post = Ask::post("/api/v1/jobs/cancel");
    let spaces = " ".repeat(300 * 1024);
    world.send(post.clone().raw(spaces)).await.problem(413, "body_too_large");
    world.send(post.clone().raw(good.to_string())).await.problem(415, "unsupported_media_type");
    world.send(post.clone()).await.problem(415, "unsupported_media_type");
    let json_typed = post.header("content-type", "application/json");
    for body in ["", "{", "{}{}"] {
        world.send(json_typed.clone().raw(body)).await.problem(400, "malformed_body");
    }
    for body in ["[]", "null", "7"] {
        world.send(json_typed.clone().raw(body)).await.problem(422, "invalid_request");
    }
    let many: Vec<String> = (0..10_000).map(|n| format!("job-{n}")).collect();
    let too_many: Vec<&String> = many.iter().take(1_001).collect();
    let wild = "x".repeat(300);
    for (body, field) in [
        (json!({}), "filter"),
        (json!({ "filter": null }), "filter"),
        (json!({ "filter": [] }), "filter"),
        (json!({ "filter": {} }), "filter"),
        (json!({ "filter": { "labels": {} } }), "filter"),
        (json!({ "filter": { "ids": id } }), "filter.ids"),
        (json!({ "filter": { "ids": many } }), "filter.ids"),
        (json!({ "filter": { "ids": too_many } }), "filter.ids"),
        (json!({ "filter": { "ids": [id, 7] } }), "filter.ids[1]"),
        (json!({ "filter": { "ids": [id, "a b"] } }), "filter.ids[1]"),
        (json!({ "filter": { "ids": [wild] } }), "filter.ids[0]"),
        (json!({ "filter": { "status": "completed" } }), "filter.status"),
        (json!({ "filter": { "status": ["queued"] } }), "filter.status"),
        (json!({ "filter": { "status": "Queued" } }), "filter.status"),
        (json!({ "filter": { "labels": ["suite"] } }), "filter.labels"),
        (json!({ "filter": { "labels": { "suite": 7 } } }), "filter.labels"),
        (json!({ "filter": { "status": "queued", "owner": "bob" } }), "filter.owner"),
        (json!({ "filter": { "ids": [id] }, "why": "typo" }), "why"),
        (json!({ "filter": { "ids": [id] }, "dry_run": "yes" }), "dry_run"),
        (json!({ "filter": { "ids": [id] }, "mode": "brutal" }), "mode"),
        (json!({ "filter": { "ids": [id] }, "reason": "x".repeat(501) }), "reason"),
        (json!({ "ids": [id] }), "filter"),
    ] {
        let problem = world.send(ask(&body)).await.problem(422, "invalid_request");
        assert_eq!(problem["field"], field);
        assert!(problem["error"].as_str().unwrap().len() < 300, "{problem}");
    }
    let problem = world.send(ask(&good).to("/api/v1/jobs/cancel?wait=1")).await;
    assert_eq!(problem.problem(422, "invalid_request")["field"], "wait");
    assert_eq!(world.snapshot(&id).await, before);
}

#[tokio::test]
async fn a_store_that_is_away_changes_nothing_and_a_lost_reply_is_told() {
    let world = World::new();
    let id = world.submit(1).await;
    let body = json!({ "filter": { "ids": [id] } });
    world.faults.set(Fault::Away);
    world.send(ask(&body)).await.problem(503, "store_unavailable");
    world.faults.set(Fault::ReplyLost);
    world.send(ask(&body)).await.problem(503, "outcome_unknown");
    world.faults.set(Fault::None);
    let answer = world.send(ask(&body)).await.ok(200);
    assert_eq!(answer["skipped"][0]["why"], "already_cancelled", "{answer}");
}

#[tokio::test]
async fn a_stranger_cancels_no_many_whatever_the_policy() {
    use beacon_jobs_http::CancelPolicy;

    for policy in [CancelPolicy::WhenPresent, CancelPolicy::LegacyOpen] {
        let world = World::with(|builder| builder.cancel_policy(policy));
        let id = world.submit(1).await;
        let body = json!({ "filter": { "ids": [id] } });
        world.send(ask(&body).nameless()).await.problem(401, "unauthenticated");
        let answer = world.send(ask(&body).by("bob")).await.ok(200);
        assert_eq!(answer["skipped"][0]["why"], "forbidden");
    }
}

#[tokio::test]
async fn a_job_may_have_the_name_of_the_route() {
    let world = World::new();
    let id = world.jobs.submit("alice", work(1).with_id("cancel".parse().unwrap())).await.unwrap().id;
    assert_eq!(world.send(Ask::get("/api/v1/jobs/cancel")).await.ok(200)["job"]["id"], "cancel");
    world.send(Ask::get("/api/v1/jobs/cancel").by("bob")).await.problem(403, "forbidden");
    world.send(Ask::cancel(&id)).await.ok(200);
    world
        .send(Ask::new(axum::http::Method::PUT, "/api/v1/jobs/cancel"))
        .await
        .problem(405, "method_not_allowed");
}
