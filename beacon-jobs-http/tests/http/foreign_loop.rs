//! A job loop of another make, which only takes the cancel route.

use axum::http::StatusCode;
use beacon_jobs::Jobs;
use beacon_jobs::context::JobContextManager;
use beacon_jobs::store::{ExecutionPage, MemoryStore};
use serde_json::json;

use crate::support::{Ask, send, token};

#[path = "../../../examples/foreign_loop/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;

#[tokio::test]
async fn its_running_job_is_cancelled_and_shown_to_have_ended() {
    let contexts = JobContextManager::new();
    let jobs = Jobs::builder(MemoryStore::new()).contexts(contexts.clone()).build();
    let service = example::service(&jobs, &token("alice")).unwrap();
    let renderer = example::Renderer::new(&jobs);
    let rendering = tokio::spawn(async move { renderer.run().await });
    let id = jobs.submit("alice", example::frames("film", 500)).await.unwrap().id;

    let mut signals = jobs.store().signals();
    while jobs.get(&id, ExecutionPage::NONE).await.unwrap().unwrap().job.progress.running == 0 {
        signals.next().await;
    }
    assert!(contexts.is_running(&id));

    let ask = Ask::cancel(&id).to(format!("/api/v1/jobs/{id}/cancel?wait=60"));
    let answer = send(&service, ask.json(&json!({ "reason": "bad script" }))).await.ok(200);
    assert_eq!(answer["context_cancelled"], true);
    assert_eq!(answer["stops"]["confirmed"], 1, "{answer}");
    assert_eq!(answer["executions_cancelled"], answer["stops"]["total"]);

    let detail = jobs.get(&id, ExecutionPage::ALL).await.unwrap().unwrap();
    let evidence = detail.executions.iter().find_map(|row| row.stop.as_ref()?.evidence.clone()).unwrap();
    assert_eq!(evidence["shown_by"], "its future was dropped", "the context reached the work");

    let again = send(&service, Ask::cancel(&id)).await.ok(200);
    assert_eq!(again["already_cancelled"], true);
    rendering.abort();
}

#[tokio::test]
async fn its_service_has_the_cancel_route_and_no_other_of_ours() {
    let jobs = Jobs::new(MemoryStore::new());
    let service = example::service(&jobs, &token("alice")).unwrap();
    send(&service, Ask::cancel("none")).await.problem(404, "job_not_found");
    for path in ["/api/v1/jobs", "/api/v1/jobs/none", "/healthz"] {
        let reply = send(&service, Ask::get(path)).await;
        assert_eq!((reply.status, reply.body.is_null()), (StatusCode::NOT_FOUND, true), "{path}");
    }
}
