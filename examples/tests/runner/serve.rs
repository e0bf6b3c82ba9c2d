use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{Children, Place, Runner, TOKEN, children_of, command, kill, raw, request, stdout};

#[tokio::test]
async fn without_arguments_it_serves_and_the_printed_address_answers() {
    let place = Place::new();
    let mut command = command(&[]);
    command.env("BEACON_LISTEN", "127.0.0.1:0").env("BEACON_DATABASE", place.database());
    let mut runner = Runner::spawn(&place, &mut command).await;
    let token = runner.page.strip_prefix(&format!("{}/#token=", runner.url)).expect("the page's address");
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    let (status, head, page) = raw(&runner.url, "GET", "/", None, "").await.unwrap();
    assert_eq!(status, 200);
    assert!(head.contains("content-security-policy: default-src 'self'"), "{head}");
    assert!(page.contains("curl") && page.contains(&runner.url) && !page.contains(token), "{page}");
    assert!(head.contains("script-src 'self';") && !head.contains("unsafe"), "{head}");
    for (path, kind) in [
        ("/portal/style.css", "text/css"),
        ("/portal/portal.js", "text/javascript"),
        ("/ui/beacon-jobs.js", "text/javascript"),
    ] {
        let (status, head, _) = raw(&runner.url, "GET", path, None, "").await.unwrap();
        assert!(status == 200 && head.contains(kind) && head.contains("nosniff"), "{path}: {head}");
    }
    for (path, token, status) in [
        ("/healthz", None, 200),
        ("/readyz", None, 200),
        ("/api/v1/jobs", Some(token), 200),
        ("/api/v1/jobs", None, 401),
        ("/api/v1/jobs", Some("another"), 401),
    ] {
        assert_eq!(request(&runner.url, "GET", path, token, "").await.unwrap().0, status, "{path} {token:?}");
    }
    assert!(!runner.log().contains(token), "the token is in the log");
    runner.signal(Signal::TERM);
    assert_eq!(runner.ended().await, Some(0));
}

#[tokio::test]
async fn a_token_that_was_given_is_used_and_never_shown() {
    let place = Place::new();
    let mut runner = Runner::start(&place, &["--log", "trace"]).await;
    assert_eq!(runner.page, format!("{}/", runner.url));
    assert_eq!(request(&runner.url, "GET", "/api/v1/jobs", Some(TOKEN), "").await.unwrap().0, 200);
    runner.signal(Signal::INT);
    assert_eq!(runner.ended().await, Some(0));
    assert!(!runner.log().contains(TOKEN), "the token is in the log");
}

#[tokio::test]
async fn metrics_tell_of_cancels_stops_and_what_is_open_of_nobody_by_name() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    let execution = json!({ "executor": "process", "input": children.input("echo up; exec sleep 600") });
    let id = runner.submit(&place, &json!({ "executions": [execution] })).await;
    children.said("up", 1).await;
    let cancel = format!("/api/v1/jobs/{id}/cancel?wait=60");
    assert_eq!(request(&runner.url, "POST", &cancel, Some(TOKEN), "").await.unwrap().0, 200);
    let (status, head, text) = raw(&runner.url, "GET", "/metrics", None, "").await.unwrap();
    assert!(status == 200 && head.contains("text/plain; version=0.0.4"), "{head}");
    for line in [
        "# TYPE beacon_cancels_total counter",
        "beacon_cancels_total{outcome=\"cancelled\"} 1",
        "beacon_cancel_seconds_count 1",
        "beacon_cancel_seconds_bucket{le=\"+Inf\"} 1",
        "beacon_stops_settled_total{executor=\"process\",state=\"confirmed\"} 1",
        "beacon_stop_seconds_count{executor=\"process\"} 1",
        "beacon_stops_driven{state=\"requested\",age=\"over_1d\"} 0",
        "beacon_claims_total{how=\"claimed\"} 1",
        "beacon_jobs_finished_total{status=\"cancelled\"} 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    assert!(!text.contains(&id) && !text.contains("admin"), "{text}");
}

#[tokio::test]
async fn with_auth_open_a_loopback_address_asks_for_no_token() {
    let place = Place::new();
    let runner = Runner::start(&place, &["--auth", "open"]).await;
    let (status, job) = request(
        &runner.url,
        "POST",
        "/api/v1/jobs",
        None,
        r#"{"executions":[{"executor":"process","input":{"command":["true"]}}]}"#,
    )
    .await
    .unwrap();
    assert_eq!(status, 201);
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(request(&runner.url, "GET", &path, None, "").await.unwrap().1["job"]["owner"], "local");
}

#[tokio::test]
async fn sigterm_lets_running_work_end_and_answers_until_then() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let mut runner = Runner::start(&place, &[]).await;
    let go = place.path("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done; echo done", go.display());
    let id = runner
        .submit(&place, &json!({"executions": [{"executor": "process", "input": children.input(&script)}]}))
        .await;
    children.said("up", 1).await;
    runner.signal(Signal::TERM);
    runner.logged("draining").await;
    let job = runner.show(&id).await;
    assert_eq!(job["status"], "running", "it is neither ended nor unknown during the drain");
    std::fs::write(&go, "").unwrap();
    assert_eq!(runner.ended().await, Some(0));
    let runner = Runner::start(&place, &["--no-runner"]).await;
    let job = runner.show(&id).await;
    assert_eq!(job["status"], "completed");
    assert_eq!(job["executions"][0]["output"]["stdout"], "done\n");
}

#[tokio::test]
async fn a_second_signal_ends_at_once_and_the_children_with_it() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let mut runner = Runner::start(&place, &["--drain-seconds", "3600"]).await;
    let id = runner
        .submit(
            &place,
            &json!({"executions": [{"executor": "process", "input": children.input("sleep 600")}]}),
        )
        .await;
    children.said("up", 1).await;
    runner.signal(Signal::TERM);
    runner.logged("draining").await;
    runner.signal(Signal::INT);
    assert_eq!(runner.ended().await, Some(1));
    assert!(runner.log().contains("second SIGINT"), "{}", runner.log());
    children.all_gone().await;
    let runner = Runner::start(&place, &[]).await;
    runner.reaches(&id, "running anew", |job| job["executions"][0]["attempt"] == 2).await;
}

#[tokio::test]
async fn children_of_a_killed_runner_end_without_any_restart() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    let scripts = ["sleep 600", "trap '' TERM; sleep 600", "(setsid sleep 600 &) ; sleep 600"];
    let executions: Vec<_> = scripts
        .iter()
        .map(|script| json!({"executor": "process", "input": children.input(script)}))
        .collect();
    runner.submit(&place, &json!({ "executions": executions })).await;
    children.said("up", 3).await;
    assert!(children.any_alive(), "the pipe tells that they live");
    let supervisors = children_of(runner.pid());
    assert!(supervisors.len() >= 3, "{supervisors:?}");
    runner.kill_9().await;
    children.all_gone().await;
}

#[tokio::test]
async fn one_process_only_runs_and_another_only_answers() {
    let place = Place::new();
    let mut command = command(&[
        "serve",
        "--no-api",
        "--poll-ms",
        "50",
        "--log-format",
        "json",
        "--database",
        &place.database(),
    ]);
    let mut worker = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(worker.stderr.take().unwrap()).lines();
    let started: Value = serde_json::from_str(&log.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!(started["fields"]["message"], "runner started", "{started}");
    let front = Runner::start(&place, &["--no-runner"]).await;
    let id = front
        .submit(&place, &json!({"executions": [{"executor": "process", "input": {"command": ["true"]}}]}))
        .await;
    front.reaches(&id, "completed", |job| job["status"] == "completed").await;
    kill(worker.id().unwrap(), Signal::TERM);
    let output = worker.wait_with_output().await.unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b""[..]));
}

#[tokio::test]
async fn a_second_process_that_only_answers_shares_the_file() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = Runner::start(&place, &[]).await;
    let beside = Runner::start(&place, &["--no-runner"]).await;
    let id = beside
        .submit(
            &place,
            &json!({"executions": [{"executor": "process", "input": children.input("sleep 600")}]}),
        )
        .await;
    children.said("up", 1).await;
    assert_eq!(runner.show(&id).await["status"], "running");
    let output = beside.client(&["cancel", &id, "--wait", "30", "--json"]).await;
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&answer["context_cancelled"], &answer["stops"]["confirmed"]),
        (&json!(false), &json!(1)),
        "{answer}"
    );
    children.all_gone().await;
}
