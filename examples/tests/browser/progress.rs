//! A page of one's own before a server of one's own: what an executor tells of its progress is on the
//! page while the work goes on.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, header};
use axum::routing::get;
use beacon_jobs::Jobs;
use beacon_jobs::executor::function::FunctionExecutor;
use beacon_jobs::job::{ExecutionProgress, ExecutionSpec, JobSpec};
use beacon_jobs::runner::JobRunner;
use beacon_jobs::store::MemoryStore;
use beacon_jobs_http::auth::BearerTokens;
use beacon_jobs_http::{Api, Principal};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::driver::browser;
use crate::support::TOKEN;

/// The page of a job.
fn page(id: &str) -> String {
    format!(
        r#"<!doctype html><html lang="en"><title>A page of somebody else</title><meta charset="utf-8">
<link rel="icon" href="data:,"><script type="module" src="/ui/beacon-jobs.js"></script><main>
<beacon-job-progress job-id="{id}" token-key="mine"></beacon-job-progress></main></html>"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_executor_tells_is_on_the_page_while_the_work_goes_on() {
    let gate = Arc::new(Semaphore::new(0));
    let steps = {
        let gate = Arc::clone(&gate);
        FunctionExecutor::new("steps", move |call| {
            let gate = Arc::clone(&gate);
            async move {
                for step in 1..=2 {
                    gate.acquire().await.unwrap().forget();
                    let progress = ExecutionProgress::new(step).of(3).with_message("<b>sort</b> größer");
                    call.report_progress(progress);
                }
                gate.acquire().await.unwrap().forget();
                Ok(json!("sorted"))
            }
        })
    };
    let jobs = Jobs::new(MemoryStore::new());
    let runner = JobRunner::builder(&jobs).executor(steps).start().await.unwrap();
    let spec = JobSpec::new([ExecutionSpec::new("steps", json!(null))]);
    let id = jobs.submit("me", spec).await.unwrap().id;
    let tokens = BearerTokens::new().with_token(TOKEN, Principal::owner("me")).unwrap();
    let policy = (HeaderName::from_static("content-security-policy"), "default-src 'self'; img-src data:");
    let html = page(id.as_str());
    let router = Api::builder(&jobs)
        .authenticator(tokens)
        .build()
        .unwrap()
        .router()
        .merge(beacon_jobs_http::ui::routes())
        .route("/", get(async move || ([(header::CONTENT_TYPE, "text/html"), policy], html)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());

    browser("progress", async |page| {
        page.go(&url).await;
        page.get(&format!("sessionStorage.setItem('mine', '{TOKEN}')")).await;
        page.go(&url).await;
        page.until("the table", "return t.rows().length === 1").await;
        for step in 1..=2 {
            gate.add_permits(1);
            let shown = format!("return t.rows()[0].result === '{step} of 3: <b>sort</b> größer'");
            page.until("the step", &shown).await;
            assert_eq!(page.get("return t.rows()[0].status").await, "running");
        }
        gate.add_permits(1);
        page.until("the result", "return t.rows()[0].result === '\"sorted\"'").await;
    })
    .await;
    runner.shutdown(Duration::from_secs(10)).await;
}
