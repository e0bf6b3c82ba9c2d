use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::support::{Children, Place, Runner, TOKEN, code, command, finish, refused, run, stderr, stdout};

const BIAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/jobs/bias.json");
const HELLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/jobs/hello.json");

#[tokio::test]
async fn a_job_goes_from_submit_to_its_result() {
    let place = Place::new();
    let runner = Runner::start(&place, &[]).await;
    let output = runner.client(&["submit", HELLO]).await;
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    let id = stdout(&output).trim().to_owned();

    let output = runner.client(&["watch", &id]).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().last(), Some("completed: 1 of 1 completed"));

    let output = runner.client(&["show", &id]).await;
    assert!(code(&output) == 0 && stdout(&output).contains("hello from"), "{}", stdout(&output));

    let output = runner.client(&["jobs", "--label", "suite:hello", "--status", "completed"]).await;
    assert!(stdout(&output).lines().nth(1).unwrap().starts_with(&id), "{}", stdout(&output));
    let output = runner.client(&["jobs", "--label", "suite:bias", "--json"]).await;
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(answer, json!({"jobs": [], "next_cursor": null}));

    // Too late, and said so.
    refused(&runner.client(&["cancel", &id]).await, 1, &["409", "already_finished", "completed"]);
}

#[tokio::test]
async fn the_bias_job_is_watched_cancelled_and_shown_with_evidence() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    let mut bias: Value = serde_json::from_slice(&std::fs::read(BIAS).unwrap()).unwrap();
    children.hold(&mut bias["template"]["input"]);
    let id = runner.submit(&place, &bias).await;
    let watch = tokio::spawn(runner.client_command(&["watch", &id]).output());
    children.said("up", 4).await;

    let output = runner.client(&["cancel", &id, "--reason", "wrong model", "--wait", "30"]).await;
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(
        stdout(&output).contains("executions cancelled: 12; stops: 4 confirmed, 8 not needed"),
        "{}",
        stdout(&output)
    );
    let output = runner.client(&["cancel", &id, "--json"]).await;
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (code(&output), &answer["already_cancelled"], &answer["reason"]),
        (0, &json!(true), &json!("wrong model"))
    );

    let watched = watch.await.unwrap().unwrap();
    assert_eq!(code(&watched), 4, "{}", stdout(&watched));
    assert!(stdout(&watched).contains("cancelled: 0 of 12 completed, 12 cancelled"), "{}", stdout(&watched));

    let shown = stdout(&runner.client(&["show", &id]).await);
    assert!(shown.contains("cancelled by admin: wrong model"), "{shown}");
    assert_eq!(shown.lines().filter(|line| line.contains(" confirmed ")).count(), 4, "{shown}");
    assert_eq!(shown.lines().filter(|line| line.contains("never began")).count(), 8, "{shown}");
    // What the work said while it was told to end is kept beside the job, not as its result.
    let saved = |job: &Value| job["executions"][0]["late_output"]["stdout"].is_string();
    let job = runner.reaches(&id, "complete with late outputs", saved).await;
    assert_eq!(job["executions"][0]["output"], Value::Null);
    children.all_gone().await;
}

#[tokio::test]
async fn a_failed_job_ends_the_watch_with_4_and_a_wait_that_is_too_short_ends_with_3() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    let job = json!({"executions": [{"executor": "process", "input": {"command": ["sh", "-c", "echo oh; exit 7"]}}]});
    let id = runner.submit(&place, &job).await;
    let output = runner.client(&["watch", &id, "--json"]).await;
    assert_eq!(code(&output), 4, "{}", stderr(&output));
    let last: Value = serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap();
    assert_eq!((&last["id"], &last["status"]), (&json!(id), &json!("failed")));

    // It says that it has heard, and goes on for longer than the wait.
    let stubborn = children.input("trap 'echo heard >&9' TERM; while :; do sleep 0.1; done");
    let id =
        runner.submit(&place, &json!({"executions": [{"executor": "process", "input": stubborn}]})).await;
    children.said("up", 1).await;
    let watch = tokio::spawn(runner.client_command(&["watch", &id]).output());
    let output = runner.client(&["cancel", &id, "--grace-seconds", "600", "--wait", "2"]).await;
    assert_eq!(code(&output), 3, "{}{}", stdout(&output), stderr(&output));
    assert!(stderr(&output).contains("1 of 1 stops not confirmed yet"), "{}", stderr(&output));
    children.said("heard", 1).await;
    assert!(children.any_alive());
    let output = runner
        .client(&["cancel", &id, "--mode", "immediate", "--grace-seconds", "600", "--wait", "30"])
        .await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("now made harsher"), "{}", stdout(&output));
    children.all_gone().await;
    let watched = watch.await.unwrap().unwrap();
    let told = stdout(&watched);
    assert_eq!(code(&watched), 4, "{told}");
    assert!(told.contains("stop acknowledged"), "it was seen in between: {told}");
    assert!(told.lines().last().unwrap().contains(" confirmed "), "it ended with the evidence: {told}");
}

#[tokio::test]
async fn a_job_file_is_read_from_stdin_and_a_key_makes_it_one_job() {
    let place = Place::new();
    let runner = Runner::start(&place, &[]).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut child = runner
            .client_command(&["submit", "-", "--key", "monday"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&std::fs::read(HELLO).unwrap()).await.unwrap();
        ids.push(stdout(&child.wait_with_output().await.unwrap()));
    }
    assert!(!ids[0].is_empty() && ids[0] == ids[1], "{ids:?}");
}

#[tokio::test]
async fn a_watch_outlives_its_server_and_goes_on_with_the_next_one() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    let go = place.path("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done", go.display());
    let id = runner
        .submit(&place, &json!({"executions": [{"executor": "process", "input": children.input(&script)}]}))
        .await;
    children.said("up", 1).await;
    let mut watch = runner.client_command(&["watch", &id]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("  0: running"));
    let address = runner.url.strip_prefix("http://").unwrap().to_owned();
    runner.kill_9().await;
    children.all_gone().await;
    // The watch asks, and gets no answer.
    let away = tokio::net::TcpListener::bind(&address).await.unwrap();
    drop(away.accept().await.unwrap());
    drop(away);
    let next = command(&["serve", "--listen", &address, "--database", &place.database()])
        .env("BEACON_ADMIN_TOKEN", TOKEN)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    children.said("up", 2).await;
    std::fs::write(&go, "").unwrap();
    let status = watch.wait().await.unwrap();
    assert_eq!(status.code(), Some(0));
    drop(next);
}

#[tokio::test]
async fn what_is_too_large_names_the_flag_and_a_matrix_of_10_000_executions_is_not() {
    let place = Place::new();
    let runner = Runner::start(&place, &["--no-runner"]).await;
    let one =
        json!({"executor": "process", "input": {"command": ["true"], "env": {"PADDING": "x".repeat(100)}}});
    let list = json!({"executions": vec![one.clone(); 10_000]});
    refused(&runner.client(&["submit", &place.job(&list)]).await, 1, &["413", "--max-body"]);
    let names = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    let matrix = json!({"matrix": {"models": names(100), "regions": names(10), "questions": names(10)}, "template": one});
    let id = runner.submit(&place, &matrix).await;
    assert_eq!(runner.reaches(&id, "read", |_| true).await["progress"]["queued"], 10_000);
    let large = json!({"executions": [{"executor": "process", "input": {"command": ["cat"], "stdin": "x".repeat(900 * 1024)}}]});
    runner.submit(&place, &large).await;
    let wider = Runner::start(&place, &["--no-runner", "--max-body", "8MiB"]).await;
    wider.submit(&place, &list).await;
}

#[tokio::test]
async fn malformed_job_files_are_refused_in_one_line_that_names_the_place() {
    let place = Place::new();
    let runner = Runner::start(&place, &[]).await;
    for (text, words) in [
        ("{", &["400", "malformed_body", "line 1"][..]),
        (r#"{"executions":[]}"#, &["422", "executions"]),
        (
            r#"{"executions":[{"executor":"process","input":{"command":"x"}}]}"#,
            &["422", "executions[0].input.command"],
        ),
        (
            r#"{"executions":[{"executor":"process","input":{"command":["x"]},"typo":1}]}"#,
            &["422", "executions[0].typo"],
        ),
        (
            r#"{"matrix":{"models":["a"],"regions":["b"],"questions":[]},"template":{"executor":"process"}}"#,
            &["422", "matrix.questions"],
        ),
    ] {
        let file = place.path("bad.json");
        std::fs::write(&file, text).unwrap();
        refused(&runner.client(&["submit", file.to_str().unwrap()]).await, 1, words);
    }
    let list = stdout(&runner.client(&["jobs", "--json"]).await);
    assert_eq!(serde_json::from_str::<Value>(&list).unwrap()["jobs"], json!([]));
    let output = runner.client(&["submit", "/does/not/exist"]).await;
    refused(&output, 2, &["/does/not/exist", "cannot be read"]);
}

#[tokio::test]
async fn a_client_without_a_server_or_a_token_is_told_what_to_do() {
    let place = Place::new();
    let runner = Runner::start(&place, &[]).await;
    let output = finish(runner.client_command(&["jobs"]).env_remove("BEACON_TOKEN")).await;
    refused(&output, 1, &["asks for a token", "BEACON_TOKEN"]);
    let output = finish(runner.client_command(&["jobs"]).env("BEACON_TOKEN", "wrong-secret")).await;
    refused(&output, 1, &["does not know this token"]);
    assert!(!stderr(&output).contains("wrong-secret"));
    refused(&runner.client(&["show", "no-such-job"]).await, 1, &["404", "job_not_found"]);
    refused(&runner.client(&["watch", "no-such-job"]).await, 1, &["404"]);
    let url = runner.url.clone();
    runner.kill_9().await;
    refused(&run(&["jobs", "--url", &url]).await, 1, &["no runner answers", &url, "BEACON_URL"]);
    let output = run(&["jobs", "--url", &url, "--json"]).await;
    assert!(serde_json::from_str::<Value>(&stdout(&output)).unwrap()["error"].is_string());
}
