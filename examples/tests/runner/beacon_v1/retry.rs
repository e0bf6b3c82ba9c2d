use serde_json::{Value, json};

use super::portal::{Answer, OPEN, send, signed, spec, wrapped};
use super::{polled, runner_for, show, words};
use crate::support::{Children, Place, Runner};

/// Fails, unless there is a file that says to go on for long, or one that says to be done.
fn moody(place: &Place, children: &Children) -> Value {
    let (go, hold) = (place.path("go"), place.path("hold"));
    children.input(&format!(
        "if [ -e {} ]; then echo done; elif [ -e {} ]; then sleep 600; else echo no >&2; exit 3; fi",
        go.display(),
        hold.display()
    ))
}

async fn retry(runner: &Runner, row: &Value, region: &str) -> Answer {
    let body = json!({ "region": region, "question_index": 0 }).to_string();
    send(&runner.url, "POST", &format!("/api/v1/executions/{row}/retry-question"), &body).await
}

/// Submits a job whose executions fail.
async fn failed(runner: &Runner, id: &str) -> Value {
    let mut one = spec(id);
    one["metadata"]["models"] = json!(["llama3.2-1b"]);
    let answer = send(&runner.url, "POST", "/api/v1/jobs/cross-region", &wrapped(&signed(&one))).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    polled(runner, id, "failed", |job| job["status"] == "failed").await
}

#[tokio::test]
async fn a_failed_row_is_tried_again_and_shows_what_came_of_it() {
    let place = Place::new();
    let mut children = Children::new(&place);
    let runner = runner_for(&place, &moody(&place, &children), &OPEN).await;
    let job = failed(&runner, "bias-detection-1").await;
    assert_eq!(words(&job), ["failed"; 2]);
    let row = &job["executions"][0];
    assert!(
        row["error"].is_string() && row["failure_reason"].is_string() && row["failure"]["code"].is_string(),
        "{row}"
    );
    assert_eq!((&row["retry_count"], &row["max_retries"]), (&json!(0), &json!(3)));
    let id = &row["id"];
    retry(&runner, id, "EU").await.refused(404, "Execution not found");
    retry(&runner, id, "MOON").await.refused(404, "Execution not found");
    retry(&runner, &json!(7), "US").await.refused(404, "Execution not found");
    let path = format!("/api/v1/executions/{id}/retry-question");
    for body in ["", "{}", r#"{"region": "US"}"#, r#"{"region": "US", "question_index": -1}"#] {
        send(&runner.url, "POST", &path, body).await.refused(400, "Invalid request format");
    }

    std::fs::write(place.path("hold"), "").unwrap();
    let answer = retry(&runner, id, "US").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let expected = ["execution_id", "question_index", "region", "retry_attempt", "status", "updated_at"];
    assert_eq!(answer.keys(), expected);
    assert_eq!((&answer.body["execution_id"], &answer.body["status"]), (id, &json!("retrying")));
    assert_eq!((&answer.body["region"], &answer.body["retry_attempt"]), (&json!("US"), &json!(1)));
    children.said("up", 3).await;
    let again = retry(&runner, id, "us-east").await;
    assert_eq!((again.status, &again.body["status"]), (202, &json!("retrying")));
    let job = show(&runner, "bias-detection-1").await.body;
    assert_eq!((words(&job), &job["executions"][0]["retry_count"]), (vec!["retrying", "failed"], &json!(1)));

    // What a cancel of the old job finds running, it ends.
    let answer = send(&runner.url, "POST", "/api/v1/jobs/bias-detection-1/cancel", "").await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("failed")), "{answer:?}");
    children.all_gone().await;
    let job = polled(&runner, "bias-detection-1", "cancelled", |job| words(job)[0] == "cancelled").await;
    assert_eq!(job["status"], "failed");

    std::fs::write(place.path("go"), "").unwrap();
    assert_eq!(retry(&runner, id, "us-east").await.body["retry_attempt"], 2);
    let job = polled(&runner, "bias-detection-1", "tried again", |job| words(job)[0] == "completed").await;
    let row = &job["executions"][0];
    assert_eq!((&row["output"]["response"], &row["retry_count"]), (&json!("done"), &json!(2)));
    assert!(row.get("error").is_none() && row["last_retry_at"].is_string(), "{row}");
    let answer = retry(&runner, id, "US").await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("completed")));
    let details = send(&runner.url, "GET", &format!("/api/v1/executions/{id}/details"), "").await;
    assert_eq!(&details.body, row);
}

#[tokio::test]
async fn a_row_is_tried_again_three_times_at_most() {
    let place = Place::new();
    let children = Children::new(&place);
    let runner = runner_for(&place, &moody(&place, &children), &[]).await;
    let row = failed(&runner, "bias-detection-1").await["executions"][1]["id"].clone();
    for attempt in 1..=3 {
        let answer = retry(&runner, &row, "EU").await;
        assert_eq!((answer.status, &answer.body["retry_attempt"]), (200, &json!(attempt)), "{answer:?}");
        polled(&runner, "bias-detection-1", "failed again", |job| {
            job["executions"][1]["retry_count"] == attempt && words(job)[1] == "failed"
        })
        .await;
    }
    retry(&runner, &row, "EU").await.refused(429, "max retries reached");
}

#[tokio::test]
async fn what_was_cancelled_or_runs_is_not_tried_again() {
    let place = Place::new();
    let mut children = Children::new(&place);
    std::fs::write(place.path("hold"), "").unwrap();
    let runner = runner_for(&place, &moody(&place, &children), &OPEN).await;
    send(&runner.url, "POST", "/api/v1/jobs/cross-region", &wrapped(&signed(&spec("bias-detection-1"))))
        .await;
    children.said("up", 4).await;
    let row = show(&runner, "bias-detection-1").await.body["executions"][0]["id"].clone();
    let why = |answer: Answer| {
        answer.refused(400, "execution cannot be retried");
        answer.body["message"].as_str().unwrap().to_owned()
    };
    assert!(why(retry(&runner, &row, "US").await).contains("only a failed execution"));
    send(&runner.url, "POST", "/api/v1/jobs/bias-detection-1/cancel", "").await;
    assert!(why(retry(&runner, &row, "US").await).contains("only a failed execution"));
    children.all_gone().await;
}
