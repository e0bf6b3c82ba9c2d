use serde_json::json;

use super::portal::{FLAGS, send, signed, spec, wrapped};
use super::{runner_for, show};
use crate::support::{Place, Runner, TOKEN, raw, refused, request, run};

#[tokio::test]
async fn the_api_answers_at_the_same_paths_whoever_shows_a_token() {
    let place = Place::new();
    let runner = runner_for(&place, &json!({ "command": ["true"] }), &[]).await;
    let job = json!({ "id": "native", "executions": [{ "executor": "process", "input": { "command": ["true"] } }] });
    assert_eq!(runner.submit(&place, &job).await, "native");
    send(&runner.url, "POST", "/api/v1/jobs/cross-region", &wrapped(&signed(&spec("bias-detection-1"))))
        .await;

    // A portal sees what came from portals alone.
    let list = send(&runner.url, "GET", "/api/v1/jobs", "").await.body;
    assert_eq!(
        (list["jobs"].as_array().unwrap().len(), &list["jobs"][0]["id"]),
        (1, &json!("bias-detection-1"))
    );
    show(&runner, "native").await.refused(404, "job not found");
    send(&runner.url, "GET", "/api/v1/jobs/native/executions/all", "").await.refused(404, "job not found");
    // The API sees all of it.
    let (_, list) = request(&runner.url, "GET", "/api/v1/jobs", Some(TOKEN), "").await.unwrap();
    assert_eq!((list["jobs"].as_array().unwrap().len(), list.get("next_cursor")), (2, Some(&json!(null))));
    let job = runner.reaches("bias-detection-1", "completed", |job| job["status"] == "completed").await;
    assert_eq!(job["job"]["spec"]["attachment"]["questions"], json!(["greatest_leader"]));
    assert_eq!(request(&runner.url, "GET", "/api/v1/jobs", Some("another"), "").await.unwrap().0, 401);
    let (status, head, _) = raw(&runner.url, "GET", "/", None, "").await.unwrap();
    assert!(status == 200 && head.contains("text/html"), "{head}");
    assert_eq!(request(&runner.url, "GET", "/healthz", None, "").await.unwrap().0, 200);
    assert_eq!(request(&runner.url, "POST", "/api/v1/auth/nonce", None, "").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_job_of_another_interface_is_not_a_portals_to_cancel() {
    let place = Place::new();
    let runner = runner_for(
        &place,
        &json!({ "command": ["true"] }),
        &["--no-runner", "--cancel-policy", "legacy_open"],
    )
    .await;
    let job = json!({ "id": "native", "executions": [{ "executor": "process", "input": { "command": ["true"] } }] });
    runner.submit(&place, &job).await;
    send(&runner.url, "POST", "/api/v1/jobs/native/cancel", "").await.refused(404, "job not found");
    assert_eq!(runner.show("native").await["status"], "queued");
}

#[tokio::test]
async fn without_the_flag_there_is_no_such_interface() {
    let place = Place::new();
    let runner = Runner::start(&place, &["--cancel-policy", "legacy_open"]).await;
    let answer = send(&runner.url, "POST", "/api/v1/jobs/cross-region", &wrapped(&signed(&spec("a")))).await;
    assert_eq!(answer.status, 405, "{answer:?}");
    assert_eq!(send(&runner.url, "GET", "/api/v1/jobs", "").await.status, 401);
    assert_eq!(send(&runner.url, "GET", "/health", "").await.status, 404);
}

#[tokio::test]
async fn flags_that_make_no_sense_are_refused_by_name() {
    let place = Place::new();
    let database = place.database();
    let file = |text: &str| {
        let path = place.path("bad.json");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let serve = ["serve", "--listen", "127.0.0.1:0", "--database", &database];
    for (more, words) in [
        (vec!["--v1-signatures", "optional"], ["--v1-signatures", "--beacon-v1"]),
        (vec!["--v1-template", "a.json"], ["--v1-template", "--beacon-v1"]),
        (vec!["--beacon-v1", "--auth", "open"], ["--auth open", "--auth token"]),
        (vec!["--beacon-v1", "--v1-signatures", "sometimes"], ["--v1-signatures", "optional"]),
        (vec!["--beacon-v1", "--v1-template", "/nowhere.json"], ["--v1-template", "cannot be read"]),
    ] {
        refused(&run(&[&serve[..], &more].concat()).await, 2, &words);
    }
    for (text, word) in [
        ("{", "EOF"),
        ("{\"input\": 1}", "executor"),
        ("{\"executor\": \"process\", \"lane\": \"a\"}", "lane"),
        (
            "{\"executor\": \"process\", \"input\": {\"command\": [\"sh\", \"-c\", \"echo {{prompt}}\"]}}",
            "input.command",
        ),
    ] {
        let path = file(text);
        let more = [&FLAGS[..], &["--v1-template", &path]].concat();
        refused(&run(&[&serve[..], &more].concat()).await, 2, &["--v1-template", word]);
    }
}
