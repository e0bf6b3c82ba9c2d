//! An existing portal at the real runner: its requests, its words, its proofs, and its Cancel button.

mod beside;
mod cancel;
mod portal;
mod proofs;
mod retry;
mod wire;

use serde_json::{Value, json};

use self::portal::{Answer, send};
use crate::support::{Children, Place, Runner, until};

/// A template file.
fn template(place: &Place, input: &Value) -> String {
    let path = place.path("template.json");
    std::fs::write(&path, json!({ "executor": "process", "input": input }).to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A runner for a portal whose executions do this.
async fn runner_for(place: &Place, input: &Value, more: &[&str]) -> Runner {
    let template = template(place, input);
    Runner::start(place, &[&portal::FLAGS[..], &["--v1-template", &template], more].concat()).await
}

/// A runner whose executions run until they are ended, and whose jobs a portal can cancel.
async fn runner_with_children(place: &Place, children: &Children) -> Runner {
    runner_for(place, &children.input("sleep 600"), &portal::OPEN).await
}

/// Asks for a job as the page does.
async fn show(runner: &Runner, id: &str) -> Answer {
    send(&runner.url, "GET", &format!("/api/v1/jobs/{id}?include=executions&exec_limit=100"), "").await
}

/// Polls as the page does, until the job is as expected.
async fn polled(runner: &Runner, id: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    until(what, async || fits(&show(runner, id).await.body)).await;
    show(runner, id).await.body
}

/// The words of a job's rows.
fn words(job: &Value) -> Vec<&str> {
    job["executions"].as_array().unwrap().iter().map(|row| row["status"].as_str().unwrap()).collect()
}
