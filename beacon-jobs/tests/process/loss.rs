//! Supervisors that are killed, or hang, or are sent signals.

use std::time::Duration;

use beacon_jobs::job::{ExecutionStatus, FailureKind};
use beacon_jobs::stop::StopState;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Around, Host, cgroup_root, wait_for};

/// The parent of the process that wrote its pid to the file.
fn supervisor(host: &Host, file: &str) -> Pid {
    let pid = std::fs::read_to_string(host.around.path(file)).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap();
    let parent = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    Pid::from_raw(parent).unwrap()
}

fn with_pid(host: &Host, script: &str) -> Value {
    let pid = host.around.path("pid");
    json!({"command": ["sh", "-c", format!("echo $$ > {}; {script}", pid.display())]})
}

#[tokio::test]
async fn a_killed_supervisor_leaves_nothing_and_the_attempt_was_interrupted() {
    let host = Host::start().await;
    if host.around.is_populated().is_none() {
        println!("skipped: no cgroup can be made here");
        return;
    }
    let ticks = host.around.ticks("tick");
    let script = format!("(env -i setsid /bin/sh -c '{ticks}' &); (({ticks}) & wait) & wait");
    let id = host.submit(with_pid(&host, &script)).await;
    host.around.written("tick").await;
    kill_process(supervisor(&host, "pid"), Signal::KILL).unwrap();
    let failed = host.finished(&id).await;
    assert_eq!(failed.status, ExecutionStatus::Failed);
    assert_eq!(failed.error.unwrap().kind, FailureKind::Interrupted);
    host.around.assert_nothing_lives().await;
    let (execution, stops) = host.settled(&id).await;
    assert_eq!(stops.confirmed, 1, "{execution:?}");
    let evidence = execution.stop.unwrap().evidence.unwrap();
    assert_eq!(evidence["level"], "cgroup", "{evidence}");
    host.shutdown().await;
}

#[tokio::test]
async fn without_a_cgroup_a_killed_supervisors_children_are_swept_and_the_stop_says_that_this_is_no_proof() {
    let host = Host::with_cgroup(false).await;
    let ticks = host.around.ticks("tick");
    // In the group, in a group of its own, in a session of its own, in no environment.
    let script = format!(
        "(({ticks}) & wait) & setsid sh -c '{ticks}' & env -i /bin/sh -c '{ticks}' & \
         exec sh -c 'set -m; sh -c \"$0\" & wait' '{ticks}'"
    );
    let id = host.submit(with_pid(&host, &script)).await;
    host.around.written("tick").await;
    kill_process(supervisor(&host, "pid"), Signal::KILL).unwrap();
    let failed = host.finished(&id).await;
    assert_eq!(failed.error.unwrap().kind, FailureKind::Interrupted);
    host.around.assert_nothing_lives().await;
    let (execution, stops) = host.settled(&id).await;
    assert_eq!((stops.confirmed, stops.unconfirmed), (0, 1), "{execution:?}");
    let stop = execution.stop.unwrap();
    assert_eq!(stop.state, StopState::Unconfirmed);
    let why = serde_json::to_string(&stop).unwrap();
    assert!(why.contains("its supervisor was killed"), "{why}");
    host.shutdown().await;
}

#[tokio::test]
async fn a_command_without_its_marker_is_swept_all_the_same() {
    let host = Host::with_cgroup(false).await;
    let script = format!("exec env -i /bin/sh -c '{}'", host.around.ticks("tick"));
    let id = host.submit(with_pid(&host, &script)).await;
    host.around.written("tick").await;
    kill_process(supervisor(&host, "pid"), Signal::KILL).unwrap();
    host.finished(&id).await;
    host.around.assert_nothing_lives().await;
    host.shutdown().await;
}

#[tokio::test]
async fn a_supervisor_that_hangs_is_killed_and_its_tree_with_it() {
    let host = Host::start().await;
    if host.around.is_populated().is_none() {
        println!("skipped: no cgroup can be made here");
        return;
    }
    let script = format!("setsid sh -c '{}' & exec sleep 1000", host.around.ticks("tick"));
    let id = host.submit(with_pid(&host, &script)).await;
    host.around.written("tick").await;
    kill_process(supervisor(&host, "pid"), Signal::STOP).unwrap();
    let evidence = host.stop(&id, Duration::ZERO).await;
    host.around.assert_nothing_lives().await;
    assert_eq!(evidence["level"], "cgroup", "{evidence}");
    host.shutdown().await;
}

#[tokio::test]
async fn a_supervisor_that_takes_no_orders_is_killed_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    // Says that it is ready, reads one byte of its order, and then nothing more.
    let deaf = format!(
        r#"set -- $(cat /proc/$$/stat)
me="{{\"pid\":$$,\"start_time\":${{22}}}}"
echo "{{\"ready\":{{\"supervisor\":$me,\"command\":$me}}}}" >&0
dd bs=1 count=1 of={} 2>/dev/null
exec sleep 1000"#,
        first.display()
    );
    let host = Host::build(false, &deaf, |executor| executor).await;
    let id = host.submit(json!({"command": ["true"], "stdin": "x".repeat(4 << 20)})).await;
    wait_for(|| std::fs::metadata(&first).is_ok_and(|file| file.len() == 1)).await;
    host.cancel(&id, Duration::ZERO).await;
    let (execution, stops) = host.settled(&id).await;
    assert_eq!(stops.open, 0, "{execution:?}");
    host.shutdown().await;
}

#[tokio::test]
async fn a_supervisor_that_is_killed_before_it_is_ready_leaves_no_cgroup() {
    let Some(root) = cgroup_root().filter(|_| Around::new().cgroup().is_some()) else {
        println!("skipped: no cgroup can be made here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made");
    let dying = format!(
        r#"attempt=${{BEACON_JOBS_SUPERVISOR#*attempt\":\"}}
cgroup={}/beacon-jobs-${{attempt%%\"*}}
mkdir $cgroup && echo $cgroup > {}
kill -9 $$"#,
        root.display(),
        made.display()
    );
    let host = Host::build(true, &dying, |executor| executor).await;
    let failed = host.run(json!({"command": ["true"]})).await;
    assert_eq!(failed.error.unwrap().kind, FailureKind::Interrupted);
    let made = std::fs::read_to_string(made).unwrap();
    assert!(!std::path::Path::new(made.trim()).exists(), "{made}");
    host.shutdown().await;
}

#[tokio::test]
async fn signals_to_the_whole_service_leave_the_decision_to_the_runner() {
    let host = Host::start().await;
    let go = host.around.path("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.01; done; echo done", go.display());
    let id = host.submit(with_pid(&host, &script)).await;
    host.around.written("pid").await;
    let supervisor = supervisor(&host, "pid");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(supervisor, signal).unwrap();
    }
    std::fs::write(go, "").unwrap();
    let done = host.finished(&id).await;
    assert_eq!(done.output.unwrap()["stdout"], "done\n");
    host.shutdown().await;
}

#[tokio::test]
async fn a_process_prepared_for_a_command_never_becomes_a_supervisor() {
    use std::io::{BufRead, BufReader};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_beacon-jobs-supervisor"))
        .env("BEACON_JOBS_STAGE", json!({"supervisor": std::process::id(), "cgroup": null}).to_string())
        .env(
            "BEACON_JOBS_SUPERVISOR",
            json!({"attempt": "00000000-0000-4000-8000-000000000001", "cgroup": false}).to_string(),
        )
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(&ours).read_line(&mut first).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap(), json!({"ready": {"in_cgroup": false}}));
    drop(ours);
    assert!(process.wait().unwrap().success());
}
