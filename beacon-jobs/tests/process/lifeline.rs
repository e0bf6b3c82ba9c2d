//! Runners that die.

use std::process::{Command, Stdio};

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::stop::{Handle, StopRequest, StopStatus};
use serde_json::{Value, json};

use crate::handles::{Holding, attempt_of};
use crate::harness::{Around, Host};

/// What this program is to do when it is started as a runner that will be killed.
const CHILD: &str = "BEACON_TEST_LIFELINE_FOLDER";

fn escaping(ticks: &str) -> Value {
    let script = format!("(env -i setsid /bin/sh -c '{ticks}' &); trap '' TERM; {ticks}");
    json!({"command": ["sh", "-c", script]})
}

#[test]
fn a_runner_that_is_dropped_leaves_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let around = runtime.block_on(async {
        let host = Host::with_cgroup(false).await;
        host.submit(escaping(&host.around.ticks("tick"))).await;
        host.around.written("tick").await;
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
    let folder = std::path::PathBuf::from(folder);
    let cgroup = folder.join("cgroup").exists();
    let program = folder.join("supervisor");
    let (holding, handles) = Holding::around(
        beacon_jobs::process::ProcessExecutor::builder()
            .supervisor_program(program)
            .with_cgroup(cgroup)
            .build(),
    );
    let jobs = beacon_jobs::Jobs::new(beacon_jobs::store::MemoryStore::new());
    let _runner = beacon_jobs::runner::JobRunner::builder(&jobs).executor(holding).start().await.unwrap();
    let ticks = format!("while :; do echo x >> {}; sleep 0.01; done", folder.join("tick").display());
    let spec =
        beacon_jobs::job::JobSpec::new([beacon_jobs::job::ExecutionSpec::new("process", escaping(&ticks))]);
    let id = jobs.submit("alice", spec).await.unwrap().id;
    crate::harness::wait_for(|| folder.join("tick").exists()).await;
    let request = beacon_jobs::cancel::CancelRequest::new(beacon_jobs::cancel::Actor::Owner("alice".into()))
        .with_grace(std::time::Duration::from_secs(600));
    jobs.cancel(&id, &request).await.unwrap();
    let handle = handles.first().await;
    std::fs::write(folder.join("handle.part"), serde_json::to_string(&handle).unwrap()).unwrap();
    std::fs::rename(folder.join("handle.part"), folder.join("handle")).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_runner_that_is_killed_leaves_nothing_and_its_successor_can_show_it() {
    for cgroup in [true, false] {
        let around = Around::new();
        around.supervisor("");
        if cgroup {
            std::fs::write(around.path("cgroup"), "").unwrap();
        }
        let mut runner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lifeline::runner_to_be_killed", "--nocapture"])
            .env(CHILD, around.path(""))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        around.written("handle").await;
        let handle = std::fs::read_to_string(around.path("handle")).unwrap();
        let handle: Handle = serde_json::from_str(&handle).unwrap();
        runner.kill().unwrap();
        runner.wait().unwrap();

        let successor = beacon_jobs::process::ProcessExecutor::builder()
            .supervisor_program(around.path("supervisor"))
            .build();
        let request = StopRequest::new(attempt_of(&handle), std::time::Duration::ZERO, true);
        let evidence = confirmed(&successor, &handle, &request).await;
        around.assert_nothing_lives().await;
        let level = if cgroup && around.is_populated().is_some() { "cgroup" } else { "supervisor" };
        assert_eq!(evidence["level"], level, "{evidence}");
        assert!(evidence["shown_by"].is_string(), "{evidence}");
    }
}

/// Asks until the stop is confirmed.
pub async fn confirmed(
    executor: &beacon_jobs::process::ProcessExecutor,
    handle: &Handle,
    request: &StopRequest,
) -> Value {
    use beacon_jobs::executor::Executor;
    let deadline = SystemClock.now() + crate::harness::LIMIT;
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
