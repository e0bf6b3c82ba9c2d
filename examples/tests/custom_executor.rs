//! The custom executor, through the executor suite.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../custom_executor/executor.rs"]
mod executor;
#[path = "../custom_executor/farm.rs"]
mod farm;

use std::sync::Arc;

use async_trait::async_trait;
use beacon_jobs::conformance::{ExecutorHarness, TestProvider, Work};
use beacon_jobs::executor::Executor;
use serde_json::{Value, json};

use executor::FarmExecutor;
use farm::Farm;

struct Harness;

impl ExecutorHarness for Harness {
    type Provider = Farm;

    async fn start(&self) -> Farm {
        Farm::open().await.unwrap()
    }
}

#[async_trait]
impl TestProvider for Farm {
    fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(FarmExecutor::new(self.address()))
    }

    fn restarted(&self) -> Option<Arc<dyn Executor>> {
        // It holds nothing in memory but the farm's address.
        Some(self.executor())
    }

    fn input(&self, work: Work) -> Option<Value> {
        match work {
            Work::Ends => Some(json!({ "below": 1_000 })),
            Work::GoesOn | Work::SavesItself => Some(json!({ "below": u64::MAX })),
            Work::Illegal => Some(json!({ "below": "many" })),
            // Counting does not fail, and the farm's own code ends it when it is told to.
            Work::Fails | Work::Ignores => None,
        }
    }

    async fn alive(&self) -> usize {
        self.running()
    }

    async fn begun(&self) -> usize {
        self.begun_works()
    }

    async fn complete(&self) {
        self.complete_all();
    }
}

beacon_jobs::executor_conformance!(
    Harness,
    require = [two_step, resume, refuses_start_after_stop, grace, restart, illegal_input]
);
