//! Runners that die.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use beacon_jobs::Jobs;
use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::executor::Executor;
use beacon_jobs::job::{ExecutionSpec, JobSpec};
use beacon_jobs::process::ProcessExecutor;
use beacon_jobs::runner::JobRunner;
use beacon_jobs::stop::{Handle, StopRequest, StopStatus};
use beacon_jobs::store::MemoryStore;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::handles::{Holding, attempt_of};
use crate::harness::{Around, Host, LIMIT, wait_for};

/// What this program is to do when it is started as a runner that will be killed.
const CHILD: &str = "BEACON_TEST_LIFELINE_FOLDER";

/// Writes to one file itself, and lets an orphan with nothing of its own left write to another.
fn escaping(folder: &Path) -> Value {
    let ticks = |name| format!("while :; do echo x >> {}; sleep 0.01; done", folder.join(name).display());
    let (orphan, own) = (ticks("orphan"), ticks("tick"));
    let script = format!("(env -i setsid /bin/sh -c '{orphan}' &); trap '' TERM; {own}");
    json!({"command": ["sh", "-c", script]})
}

#[test]
fn a_runner_that_is_dropped_leaves_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let around = runtime.block_on(async {
        let host = Host::with_cgroup(false).await;
        host.submit(escaping(&host.around.path(""))).await;
        host.around.written("tick").await;
        host.around.written("orphan").await;
        host.abandon()
    });
    runtime.shutdown_background();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(around.nothing_lives());
}

/// Not a test: the runner that the next test kills.
#[tokio::test]
async fn runner_to_be_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let folder = PathBuf::from(folder);
    let executor = ProcessExecutor::builder()
        .supervisor_program(folder.join("supervisor"))
        .with_cgroup(folder.join("cgroup").exists())
        .build();
    let (holding, held) = Holding::around(executor);
    let jobs = Jobs::new(MemoryStore::new());
    let _runner = JobRunner::builder(&jobs).executor(holding).start().await.unwrap();
    let spec = JobSpec::new([ExecutionSpec::new("process", escaping(&folder))]);
    let id = jobs.submit("alice", spec).await.unwrap().id;
    wait_for(|| folder.join("tick").exists() && folder.join("orphan").exists()).await;
    let request = CancelRequest::new(Actor::Owner("alice".into())).with_grace(Duration::from_secs(600));
    jobs.cancel(&id, &request).await.unwrap();
    let handle = held.handle().await;
    std::fs::write(folder.join("handle.part"), serde_json::to_string(&handle).unwrap()).unwrap();
    std::fs::rename(folder.join("handle.part"), folder.join("handle")).unwrap();
    std::future::pending::<()>().await;
}

/// A runner in a process of its own, with a command that tries to escape.
struct Runner {
    process: Child,
    around: Around,
    handle: Handle,
    level: &'static str,
}

impl Runner {
    async fn start(cgroup: bool) -> Self {
        let around = Around::new();
        around.supervisor("");
        if cgroup {
            std::fs::write(around.path("cgroup"), "").unwrap();
        }
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lifeline::runner_to_be_killed", "--nocapture"])
            .env(CHILD, around.path(""))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        around.written("handle").await;
        let handle = std::fs::read_to_string(around.path("handle")).unwrap();
        let handle = serde_json::from_str(&handle).unwrap();
        let level = if cgroup && around.is_populated().is_some() { "cgroup" } else { "supervisor" };
        Self { process, around, handle, level }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn supervisor(&self) -> i64 {
        self.handle.as_value()["process"]["pid"].as_i64().unwrap()
    }

    fn successor(&self) -> ProcessExecutor {
        ProcessExecutor::builder().supervisor_program(self.around.path("supervisor")).build()
    }

    fn request(&self) -> StopRequest {
        StopRequest::new(attempt_of(&self.handle), Duration::ZERO, true)
    }
}

#[tokio::test]
async fn a_runner_that_is_killed_leaves_nothing_and_its_successor_can_show_it() {
    for cgroup in [true, false] {
        let mut runner = Runner::start(cgroup).await;
        runner.kill();
        let evidence = confirmed(&runner.successor(), &runner.handle, &runner.request()).await;
        runner.around.assert_nothing_lives_but(runner.supervisor()).await;
        assert_eq!(evidence["level"], runner.level, "{evidence}");
        assert!(evidence["shown_by"].is_string(), "{evidence}");
    }
}

#[tokio::test]
async fn what_survives_both_the_runner_and_the_supervisor_is_swept_by_the_successor() {
    for cgroup in [true, false] {
        let mut runner = Runner::start(cgroup).await;
        // So that it does not see its supervisor die.
        let pid = Pid::from_child(&runner.process);
        kill_process(pid, Signal::STOP).unwrap();
        let supervisor = Pid::from_raw(runner.supervisor().try_into().unwrap()).unwrap();
        kill_process(supervisor, Signal::KILL).unwrap();
        runner.kill();
        let successor = runner.successor();
        // The command itself died with its supervisor, before anybody came to sweep.
        runner.around.assert_is_quiet("tick").await;
        assert_ne!(runner.around.is_populated(), Some(false), "nobody survived");
        if runner.level == "cgroup" {
            let evidence = confirmed(&successor, &runner.handle, &runner.request()).await;
            assert_eq!(evidence["level"], "cgroup", "{evidence}");
            runner.around.assert_nothing_lives().await;
        } else {
            let status = successor.stop(&runner.handle, &runner.request()).await.unwrap();
            let StopStatus::Unconfirmable { why, .. } = status else { panic!("{status:?}") };
            assert!(why.contains("its supervisor was killed"), "{why}");
            // One escaped every trace, and nothing but the stop's own doubt says so.
            assert_ne!(runner.around.is_populated(), Some(false));
        }
    }
}

/// Asks until the stop is confirmed.
pub(crate) async fn confirmed(executor: &ProcessExecutor, handle: &Handle, request: &StopRequest) -> Value {
    let deadline = SystemClock.now() + LIMIT;
    loop {
        match executor.stop(handle, request).await.unwrap() {
            StopStatus::Confirmed { evidence } => return evidence,
            StopStatus::Acknowledged { ask_again, .. } if SystemClock.now() < deadline => {
                SystemClock.sleep(ask_again).await;
            }
            other => panic!("{other:?}"),
        }
    }
}
