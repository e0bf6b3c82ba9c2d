//! By plain HTTP, with a token by which calls are ended.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::conformance::{ExecutorHarness, Fault, TestProvider, Work};
use beacon_jobs::executor::Executor;
use beacon_jobs_modal::fake::{self, ControlPlane};
use beacon_jobs_modal::{ModalExecutor, WebExecutor};
use serde_json::{Value, json};
use tonic::Code;

use crate::{APP, deployed, function};

struct Harness;

struct Provider {
    plane: ControlPlane,
    executor: Arc<dyn Executor>,
}

fn executor(plane: &ControlPlane) -> Arc<dyn Executor> {
    let native = ModalExecutor::builder(&plane.config()).build().unwrap();
    let (key, secret) = plane.proxy_token();
    let executor = WebExecutor::builder()
        .with_native(native)
        .with_proxy_token(key, secret)
        .with_origin(plane.web_origin())
        .with_leg_limit(Duration::from_secs(2))
        .build();
    Arc::new(executor.unwrap())
}

impl ExecutorHarness for Harness {
    type Provider = Provider;

    async fn start(&self) -> Provider {
        let plane = deployed().await;
        plane.behave(|behaviour| {
            // No answer is there within the first leg, so that each call can be resumed.
            behaviour.web_leg = Duration::from_millis(50);
            behaviour.start_after = Duration::from_millis(100);
            behaviour.wants_proxy_token = true;
        });
        let executor = executor(&plane);
        Provider { plane, executor }
    }
}

#[async_trait]
impl TestProvider for Provider {
    fn executor(&self) -> Arc<dyn Executor> {
        Arc::clone(&self.executor)
    }

    fn input(&self, work: Work) -> Option<Value> {
        Some(match work {
            Work::Illegal => json!({ "url": "https://example.com" }),
            work => json!({ "url": self.plane.web_url(APP, function(work)), "body": {} }),
        })
    }

    async fn alive(&self) -> usize {
        self.plane.alive()
    }

    async fn begun(&self) -> usize {
        self.plane.begun()
    }

    async fn complete(&self) {
        self.plane.complete();
    }

    fn restarted(&self) -> Option<Arc<dyn Executor>> {
        Some(executor(&self.plane))
    }

    async fn inject(&self, fault: Fault) -> bool {
        let fails = fake::Fault::Fails(Code::Aborted);
        match fault {
            Fault::StopsFail(times) => self.plane.inject("FunctionCallCancel", times, fails),
            Fault::StartsFail(times) => self.plane.inject("POST", times, fails),
            // What is begun then has no name, so that nothing ends it: the suite would wait for its end.
            Fault::RepliesLost(_) => return false,
            Fault::WatchesFail(times) => self.plane.inject("GET", times, fails),
        }
        true
    }
}

beacon_jobs::executor_conformance!(
    Harness,
    require =
        [resume, grace, failing_work, force, restart, illegal_input, stop_faults, start_faults, watch_faults]
);
