use beacon_jobs::job::JobSpec;
use serde_json::{Value, json};

use crate::support::{Ask, Hand, World, work};

async fn list(world: &World, who: &str, query: &str) -> Value {
    world.send(Ask::get(format!("/api/v1/jobs{query}")).by(who)).await.ok(200)
}

fn ids(page: &Value) -> Vec<&str> {
    page["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect()
}

async fn submit(world: &World, owner: &str, id: &str, labels: &[(&str, &str)]) {
    let named = work(1).with_id(id.parse().unwrap());
    let spec = labels.iter().fold(named, |spec: JobSpec, (key, value)| spec.with_label(*key, *value));
    world.jobs.submit(owner, spec).await.unwrap();
}

#[tokio::test]
async fn everyone_sees_its_own_jobs_newest_first_and_an_administrator_all() {
    let world = World::new();
    submit(&world, "alice", "a1", &[]).await;
    submit(&world, "bob", "b1", &[]).await;
    submit(&world, "alice", "a2", &[]).await;
    assert_eq!(ids(&list(&world, "alice", "").await), ["a2", "a1"]);
    assert_eq!(ids(&list(&world, "bob", "").await), ["b1"]);
    assert_eq!(ids(&list(&world, "root", "").await), ["a2", "b1", "a1"]);
    world.send(Ask::get("/api/v1/jobs").nameless()).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_row_says_what_the_job_is_and_how_far_it_has_come() {
    let world = World::new();
    submit(&world, "alice", "a1", &[("suite", "bias")]).await;
    let page = list(&world, "alice", "").await;
    assert_eq!(page["next_cursor"], json!(null));
    let row = &page["jobs"][0];
    assert_eq!(row["status"], "queued");
    assert_eq!(row["owner"], "alice");
    assert_eq!(row["labels"], json!({ "suite": "bias" }));
    assert_eq!(
        row["progress"],
        json!({ "total": 1, "completed": 0, "failed": 0, "cancelled": 0, "running": 0, "queued": 1 })
    );
    assert!(row["created_at"].as_str().unwrap().ends_with('Z'), "{row}");
    assert_eq!(row["waiting_for"], json!(["work"]), "no live node has that executor");
    let _hand = Hand::join(&world.store).await;
    assert_eq!(list(&world, "alice", "").await["jobs"][0]["waiting_for"], json!([]));
}

#[tokio::test]
async fn filters_hold_together() {
    let world = World::new();
    submit(&world, "alice", "a1", &[("suite", "bias"), ("run", "1")]).await;
    submit(&world, "alice", "a2", &[("suite", "bias"), ("run", "2")]).await;
    submit(&world, "alice", "a3", &[("suite", "speed"), ("url", "http://x")]).await;
    world.send(Ask::cancel("a1")).await.ok(200);
    assert_eq!(ids(&list(&world, "alice", "?label=suite:bias").await), ["a2", "a1"]);
    assert_eq!(ids(&list(&world, "alice", "?label=suite:bias&label=run:2").await), ["a2"]);
    assert_eq!(ids(&list(&world, "alice", "?label=suite:bias&status=cancelled").await), ["a1"]);
    assert_eq!(ids(&list(&world, "alice", "?label=url%3Ahttp://x").await), ["a3"]);
    assert_eq!(ids(&list(&world, "alice", "?label=suite:nothing").await), [""; 0]);
    assert_eq!(ids(&list(&world, "bob", "?label=suite:bias").await), [""; 0]);
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap_or_a_repeat() {
    let world = World::new();
    for n in 0..7 {
        submit(&world, "alice", &format!("a{n}"), &[]).await;
        submit(&world, "bob", &format!("b{n}"), &[]).await;
    }
    let mut seen = Vec::new();
    let mut query = "?limit=3".to_owned();
    loop {
        let page = list(&world, "alice", &query).await;
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        assert_eq!(ids(&page).len(), 3);
        query = format!("?limit=3&cursor={cursor}");
    }
    assert_eq!(seen, ["a6", "a5", "a4", "a3", "a2", "a1", "a0"]);
}

#[tokio::test]
async fn the_limit_is_fifty_unless_another_is_asked_for() {
    let world = World::new();
    for n in 0..201 {
        submit(&world, "alice", &format!("a{n}"), &[]).await;
    }
    assert_eq!(ids(&list(&world, "alice", "").await).len(), 50);
    assert_eq!(ids(&list(&world, "alice", "?limit=1").await).len(), 1);
    assert_eq!(ids(&list(&world, "alice", "?limit=200").await).len(), 200);
}

#[tokio::test]
async fn what_is_not_allowed_is_422_and_named() {
    let world = World::new();
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("status=done", "status"),
        ("status=", "status"),
        ("status=queued&status=running", "status"),
        ("label=suite", "label"),
        ("label=suite:a&label=suite:b", "label"),
        ("cursor=elsewhere", "cursor"),
        ("owner=bob", "owner"),
    ] {
        let problem =
            world.send(Ask::get(format!("/api/v1/jobs?{query}"))).await.problem(422, "invalid_request");
        assert_eq!(problem["field"], field, "{query}: {problem}");
    }
}
