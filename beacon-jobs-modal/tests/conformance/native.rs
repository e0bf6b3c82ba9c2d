//! By Modal's own protocol.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::conformance::{ExecutorHarness, Fault, TestProvider, Work};
use beacon_jobs::executor::Executor;
use beacon_jobs_modal::ModalExecutor;
use beacon_jobs_modal::fake::{self, ControlPlane};
use serde_json::{Value, json};
use tonic::Code;

use crate::{APP, deployed, function};

struct Harness;

struct Provider {
    plane: ControlPlane,
    executor: Arc<dyn Executor>,
}

fn executor(plane: &ControlPlane) -> Arc<dyn Executor> {
    let executor = ModalExecutor::builder(&plane.config()).with_start_deadline(Duration::from_secs(2));
    Arc::new(executor.build().unwrap())
}

impl ExecutorHarness for Harness {
    type Provider = Provider;

    async fn start(&self) -> Provider {
        let plane = deployed().await;
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
        Some(json!({ "app": APP, "function": function(work) }))
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
        // A code that the client does not repeat by itself.
        let fails = fake::Fault::Fails(Code::Aborted);
        match fault {
            Fault::StopsFail(times) => self.plane.inject("FunctionCallCancel", times, fails),
            Fault::StartsFail(times) => {
                self.plane.inject("FunctionMap", times, fake::Fault::Fails(Code::Unavailable));
            }
            Fault::RepliesLost(times) => {
                self.plane.inject("FunctionPutInputs", times, fake::Fault::ReplyLost);
            }
            Fault::WatchesFail(times) => {
                self.plane.inject("FunctionGetOutputs", times, fake::Fault::Fails(Code::Unavailable));
            }
        }
        true
    }
}

beacon_jobs::executor_conformance!(
    Harness,
    require = [
        two_step,
        resume,
        grace,
        failing_work,
        force,
        restart,
        illegal_input,
        stop_faults,
        start_faults,
        lost_replies,
        watch_faults
    ]
);
