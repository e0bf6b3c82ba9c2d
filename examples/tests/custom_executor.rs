//! The custom executor, through the executor suite; and the program around it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../custom_executor/main.rs"]
mod custom_executor;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use beacon_jobs::conformance::{ExecutorHarness, Fault, TestProvider, Work};
use beacon_jobs::executor::Executor;
use serde_json::{Value, json};

use custom_executor::executor::FarmExecutor;
use custom_executor::farm::Farm;

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

    fn input(&self, work: Work) -> Option<Value> {
        Some(match work {
            Work::Ends => json!({ "below": 1_000 }),
            Work::GoesOn | Work::SavesItself => json!({ "below": u64::MAX }),
            Work::Ignores => json!({ "below": u64::MAX, "stubborn": true }),
            Work::Illegal => json!({ "below": "many" }),
            // Counting does not fail.
            Work::Fails => return None,
        })
    }

    async fn alive(&self) -> usize {
        self.running()
    }

    async fn begun(&self) -> usize {
        self.begun()
    }

    async fn complete(&self) {
        self.be_done();
    }

    fn restarted(&self) -> Option<Arc<dyn Executor>> {
        // It keeps nothing in memory.
        Some(self.executor())
    }

    async fn inject(&self, fault: Fault) -> bool {
        let trouble = self.trouble();
        let (line, times) = match fault {
            Fault::StopsFail(times) => (&trouble.end, times),
            Fault::StartsFail(times) => (&trouble.create, times),
            Fault::RepliesLost(times) => (&trouble.begin, times),
            Fault::WatchesFail(times) => (&trouble.wait, times),
        };
        line.store(times, Ordering::Relaxed);
        true
    }
}

beacon_jobs::executor_conformance!(
    Harness,
    require = [
        two_step,
        resume,
        refuses_start_after_stop,
        grace,
        force,
        restart,
        illegal_input,
        stop_faults,
        start_faults,
        lost_replies,
        watch_faults
    ]
);

#[test]
fn the_program_runs_a_job_and_shows_that_another_one_ended() {
    custom_executor::main().unwrap();
}
