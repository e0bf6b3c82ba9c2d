//! This interface over a store that is slow or fails at the wrong moment.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::conformance::{HookedStore, StoreCall, StoreHooks};
use beacon_jobs::executor::ExecuteError;
use beacon_jobs::executor::function::FunctionExecutor;
use beacon_jobs::job::{FailureKind, JobStatus};
use beacon_jobs::runner::JobRunner;
use beacon_jobs::store::{ExecutionPage, MemoryStore};
use beacon_jobs::{Error, ErrorKind, JobId, Jobs, Result};
use beacon_jobs_http::CancelPolicy;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::route::{Parts, routes};
use super::settings::{Settings, Signatures};

/// What happens around the calls of the store.
#[derive(Default)]
struct Trouble {
    fails: Mutex<Option<ErrorKind>>,
    /// Asked to cancel job `a` before a retry is taken in.
    router: OnceLock<Router>,
}

impl StoreHooks for Trouble {
    async fn before(&self, call: &StoreCall<'_>) -> Result<()> {
        if let Some(kind) = *self.fails.lock().unwrap() {
            return Err(Error::new(kind, "no, says postgres://hunter2@host"));
        }
        if let (StoreCall::Submit(submission), Some(router)) = (call, self.router.get())
            && submission.id.as_str().starts_with("retry-")
        {
            let (status, answer) = post(router, "/api/v1/jobs/a/cancel", "").await;
            assert_eq!((status, &answer["new_status"]), (StatusCode::OK, &json!("cancelled")), "{answer}");
        }
        Ok(())
    }
}

/// The interface, with executions on `play`.
fn over(trouble: &Arc<Trouble>) -> (Jobs, Router) {
    let jobs = Jobs::new(HookedStore::new(MemoryStore::new(), Arc::clone(trouble)));
    let template = serde_json::from_value(json!({ "executor": "play" })).unwrap();
    let shared = Arc::new(Parts {
        jobs: jobs.clone(),
        settings: Settings { signatures: Signatures::Optional, template },
        cancel_policy: CancelPolicy::LegacyOpen,
        max_body: 1 << 20,
    });
    (jobs, routes().with_state(shared))
}

async fn ask(router: &Router, method: &str, path: &str, body: &str) -> (StatusCode, Value, bool) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, waits) = (response.status(), response.headers().contains_key("retry-after"));
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap(), waits)
}

async fn post(router: &Router, path: &str, body: &str) -> (StatusCode, Value) {
    let (status, body, _) = ask(router, "POST", path, body).await;
    (status, body)
}

fn spec() -> String {
    json!({
        "id": "a", "questions": ["math_basic"], "constraints": {"regions": ["US", "EU"]},
        "benchmark": {"name": "bias", "container": {"image": "i"}, "input": {"hash": "h"}}
    })
    .to_string()
}

#[tokio::test]
async fn a_retry_that_comes_between_a_cancel_and_its_look_at_retries_is_cancelled_too() {
    let trouble = Arc::new(Trouble::default());
    let (jobs, router) = over(&trouble);
    let play = FunctionExecutor::new("play", |call| async move {
        match (call.job.as_str(), call.index) {
            ("a", 0) => Err(ExecuteError::new(FailureKind::Failed, "no")),
            _ => std::future::pending().await,
        }
    });
    let runner = JobRunner::builder(&jobs).executor(play).start().await.unwrap();
    assert_eq!(post(&router, "/api/v1/jobs", &spec()).await.0, StatusCode::ACCEPTED);
    let id = JobId::new("a").unwrap();
    let half_failed = async {
        loop {
            let (_, job, _) = ask(&router, "GET", "/api/v1/jobs/a?include=all", "").await;
            let row = &job["executions"][0];
            if row["status"] == "failed" && job["executions"][1]["status"] == "running" {
                break row["id"].clone();
            }
            SystemClock.sleep(Duration::from_millis(5)).await;
        }
    };
    let row = tokio::time::timeout(Duration::from_secs(60), half_failed).await.expect("no row fails");
    trouble.router.set(router.clone()).unwrap();

    let body = json!({"region": "us-east", "question_index": 0}).to_string();
    let (status, answer) = post(&router, &format!("/api/v1/executions/{row}/retry-question"), &body).await;

    assert_eq!(
        (status, &answer["message"]),
        (StatusCode::BAD_REQUEST, &json!("its job was cancelled")),
        "{answer}"
    );
    for id in [id, JobId::new(format!("retry-{row}-1")).unwrap()] {
        let detail = jobs.get(&id, ExecutionPage::NONE).await.unwrap().unwrap();
        assert_eq!(detail.job.status, JobStatus::Cancelled, "{id}");
    }
    runner.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_the_store_fails_at_is_told_with_a_string_and_without_its_words() {
    let trouble = Arc::new(Trouble::default());
    let (_, router) = over(&trouble);
    for (kind, status) in [
        (ErrorKind::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
        (ErrorKind::OutcomeUnknown, StatusCode::SERVICE_UNAVAILABLE),
        (ErrorKind::Corrupt, StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        *trouble.fails.lock().unwrap() = Some(kind);
        let wrapped = format!("{{\"jobspec\": {}}}", spec());
        for (method, path, body) in [
            ("POST", "/api/v1/jobs", spec().as_str()),
            ("POST", "/api/v1/jobs/cross-region", &wrapped),
            ("GET", "/api/v1/jobs", ""),
            ("GET", "/api/v1/jobs/a", ""),
            ("POST", "/api/v1/jobs/a/cancel", ""),
            ("GET", "/api/v1/jobs/a/executions/all", ""),
            ("GET", "/api/v1/executions", ""),
            ("GET", "/api/v1/executions/7/details", ""),
            ("POST", "/api/v1/executions/7/retry-question", r#"{"region": "US", "question_index": 0}"#),
        ] {
            let (answered, answer, waits) = ask(&router, method, path, body).await;
            assert_eq!(answered, status, "{method} {path} {answer}");
            assert!(answer["error"].is_string() && !answer.to_string().contains("hunter2"), "{answer}");
            assert_eq!(waits, status == StatusCode::SERVICE_UNAVAILABLE);
        }
    }
    for (path, word) in [("/health", json!("unhealthy")), ("/api/v1/health/ready", Value::Null)] {
        let (status, answer, _) = ask(&router, "GET", path, "").await;
        assert_eq!((status, &answer["status"]), (StatusCode::SERVICE_UNAVAILABLE, &word), "{answer}");
        assert_eq!(answer["services"][0]["status"], "unhealthy");
    }
    assert_eq!(ask(&router, "GET", "/health/live", "").await.0, StatusCode::OK);
}
