//! The runner with Modal's executors, against the control plane that plays Modal.

use beacon_jobs_modal::fake::{ControlPlane, Work};
use serde_json::{Value, json};

use crate::support::{Place, Runner, code, command, finish, refused, stderr, stdout};

const FUNCTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/jobs/modal_function.json");
const WEB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/jobs/modal_web.json");

async fn plane() -> ControlPlane {
    let plane = ControlPlane::start().await.unwrap();
    plane.deploy("training", "train", Work::LeavesAThread);
    plane.deploy("inference", "generate", Work::GoesOn);
    plane.behave(|behaviour| behaviour.wants_proxy_token = true);
    plane
}

/// A runner with the variables of an account and of a proxy token.
async fn runner(place: &Place, plane: &ControlPlane) -> Runner {
    Runner::start_with(place, &[], |command| {
        let (key, secret) = plane.proxy_token();
        command
            .env("MODAL_TOKEN_ID", "ak-of-the-fake")
            .env("MODAL_TOKEN_SECRET", "as-of-the-fake")
            .env("MODAL_SERVER_URL", plane.url())
            .env("MODAL_KEY", key)
            .env("MODAL_SECRET", secret)
            .env("MODAL_WEB_ORIGINS", plane.web_origin());
    })
    .await
}

#[tokio::test]
async fn the_functions_of_a_job_file_are_cancelled_with_the_records_of_their_containers() {
    let (place, plane) = (Place::new(), plane().await);
    let runner = runner(&place, &plane).await;
    let output = runner.client(&["submit", FUNCTION]).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let id = stdout(&output).trim().to_owned();
    plane.until(|plane| plane.alive() == 2).await;
    let output = runner.client(&["cancel", &id, "--mode", "immediate", "--wait", "60"]).await;
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("stops: 2 confirmed"), "{}", stdout(&output));
    assert_eq!(plane.alive(), 0);
    let shown = stdout(&runner.client(&["show", &id]).await);
    let records =
        shown.lines().filter(|line| line.contains("containers") && line.contains("Modal's records: ta-"));
    assert_eq!(records.count(), 2, "{shown}");
    assert!(!runner.log().contains("as-of-the-fake"));
}

#[tokio::test]
async fn the_endpoints_of_a_job_file_are_cancelled_by_the_names_of_their_calls() {
    let (place, plane) = (Place::new(), plane().await);
    plane.behave(|behaviour| behaviour.web_leg = std::time::Duration::from_millis(50));
    let runner = runner(&place, &plane).await;
    let mut job: Value = serde_json::from_slice(&std::fs::read(WEB).unwrap()).unwrap();
    job["template"]["input"]["url"] = json!(plane.web_url("inference", "generate"));
    let id = runner.submit(&place, &job).await;
    plane.until(|plane| plane.alive() == 4).await;
    let output = runner.client(&["cancel", &id, "--mode", "immediate", "--wait", "60"]).await;
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("stops: 4 confirmed"), "{}", stdout(&output));
    assert_eq!(plane.alive(), 0);
    assert!(!runner.log().contains("ws-of-the-fake"));
}

#[tokio::test]
async fn modal_without_a_token_is_refused_before_anything_is_begun() {
    let place = Place::new();
    let serve = |executors: &'static str| {
        let mut command = command(&["serve", "--listen", "127.0.0.1:0", "--executors", executors]);
        command.args(["--database", &place.database()]).env("HOME", place.path("nobody"));
        command
    };
    let output = finish(&mut serve("modal")).await;
    refused(&output, 2, &["--executors: modal", "MODAL_TOKEN_ID"]);
    let output = finish(serve("modal").env("MODAL_TOKEN_ID", "ak-hunter2")).await;
    refused(&output, 2, &["--executors: modal", "MODAL_TOKEN_SECRET"]);
    assert!(!stderr(&output).contains("hunter2"));
    let output = finish(serve("modal-web").env("MODAL_KEY", "wk-hunter2")).await;
    refused(&output, 2, &["--executors: modal-web", "MODAL_SECRET"]);
    assert!(!place.path("jobs.db").exists());
}
