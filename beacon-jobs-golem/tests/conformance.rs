//! The executor suite, on the fake daemon.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::conformance::{ExecutorHarness, Fault, TestProvider, Work};
use beacon_jobs::executor::Executor;
use beacon_jobs_golem::GolemExecutor;
use beacon_jobs_golem::fake::{self, Yagna};
use serde_json::{Value, json};

struct Harness;

struct Provider {
    yagna: Yagna,
    executor: Arc<dyn Executor>,
}

fn executor(yagna: &Yagna) -> Arc<dyn Executor> {
    let executor = GolemExecutor::builder(&yagna.config())
        .with_start_deadline(Duration::from_secs(2))
        .with_offers(Duration::from_secs(20), Duration::ZERO)
        .with_destroy_limit(Duration::from_millis(150))
        .with_poll(Duration::from_millis(10));
    Arc::new(executor.build().unwrap())
}

impl ExecutorHarness for Harness {
    type Provider = Provider;

    async fn start(&self) -> Provider {
        let yagna = Yagna::start().await.unwrap();
        yagna.install("/bin/ends", fake::Work::Prints("42\n".to_owned()));
        yagna.install("/bin/fails", fake::Work::Fails("it cannot be done".to_owned()));
        yagna.install("/bin/goes_on", fake::Work::GoesOn);
        // There is room for whoever waits between the reply to a script and the save of its name.
        yagna.behave(|behaviour| behaviour.deploy_after = Duration::from_millis(100));
        let executor = executor(&yagna);
        Provider { yagna, executor }
    }
}

#[async_trait]
impl TestProvider for Provider {
    fn executor(&self) -> Arc<dyn Executor> {
        Arc::clone(&self.executor)
    }

    fn input(&self, work: Work) -> Option<Value> {
        let program = match work {
            Work::Ends => "/bin/ends",
            Work::Fails => "/bin/fails",
            Work::GoesOn => "/bin/goes_on",
            // Nothing on Golem can be told to save itself.
            Work::SavesItself => return None,
            // It lives on for longer than a destroy waits.
            Work::Ignores => {
                self.yagna.behave(|behaviour| behaviour.end_after = Duration::from_millis(400));
                "/bin/goes_on"
            }
            Work::Illegal => "",
        };
        Some(json!({
            "runtime": { "name": "vm" }, "budget": "1", "commands": [{ "run": { "entry_point": program } }],
        }))
    }

    /// Of what runs a command. That nothing else is left is shown elsewhere.
    async fn alive(&self) -> usize {
        self.yagna.computing()
    }

    async fn begun(&self) -> usize {
        self.yagna.begun()
    }

    async fn complete(&self) {
        self.yagna.complete();
    }

    fn restarted(&self) -> Option<Arc<dyn Executor>> {
        Some(executor(&self.yagna))
    }

    async fn inject(&self, fault: Fault) -> bool {
        let fails = || fake::Fault::Fails(500, "{\"message\":\"made to fail\"}".to_owned());
        match fault {
            Fault::StopsFail(times) => {
                for call in ["DestroyActivity", "TerminateAgreement"] {
                    self.yagna.inject(call, times, fails());
                }
            }
            Fault::StartsFail(times) => self.yagna.inject("CreateAllocation", times, fails()),
            Fault::RepliesLost(times) => {
                // It must have begun when its sender, who has heard nothing, has it ended.
                self.yagna.behave(|behaviour| behaviour.deploy_after = Duration::ZERO);
                self.yagna.inject("Exec", times, fake::Fault::ReplyLost);
            }
            Fault::WatchesFail(times) => self.yagna.inject("GetResults", times, fails()),
        }
        true
    }
}

beacon_jobs::executor_conformance!(
    Harness,
    require = [
        two_step,
        resume,
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
