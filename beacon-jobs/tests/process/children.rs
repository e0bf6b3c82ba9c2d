//! Children that do not want to end.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Around, Host, at_both_levels};

fn shell(script: &str) -> Value {
    json!({ "command": ["sh", "-c", script] })
}

/// Begins a command that writes to the file `tick`, stops it, and looks whether anything is left.
async fn is_gone_after_a_stop(script: impl Fn(&Around) -> String) {
    at_both_levels(async |host, level| {
        let id = host.submit(shell(&script(&host.around))).await;
        host.around.written("tick").await;
        let evidence = host.stop(&id, Duration::ZERO).await;
        host.around.assert_nothing_lives().await;
        assert_eq!(evidence["level"], level, "{evidence}");
        assert_eq!(evidence["ended_by"], "kill", "{evidence}");
        assert!(evidence["shown_by"].as_str().unwrap().contains("none is left"), "{evidence}");
        host.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_child_that_ignores_sigterm_is_gone_after_its_grace() {
    at_both_levels(async |host, level| {
        let script = format!("trap '' TERM; {}", host.around.ticks("tick"));
        let id = host.submit(shell(&script)).await;
        host.around.written("tick").await;
        let evidence = host.stop(&id, Duration::from_millis(300)).await;
        host.around.assert_nothing_lives().await;
        assert_eq!(evidence["level"], level, "{evidence}");
        assert_eq!(evidence["ended_by"], "kill", "{evidence}");
        assert_eq!(evidence["signal"], 9, "{evidence}");
        let signals: Vec<&str> = evidence["signals"]
            .as_array()
            .unwrap()
            .iter()
            .map(|sent| sent["signal"].as_str().unwrap())
            .collect();
        assert_eq!(signals[0], "SIGTERM");
        assert!(signals[1..].iter().all(|signal| *signal == "SIGKILL") && signals.len() > 1, "{evidence}");
        host.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_grandchild_is_gone_after_a_stop() {
    is_gone_after_a_stop(|around| format!("(({}) & wait) & wait", around.ticks("tick"))).await;
}

#[tokio::test]
async fn a_child_that_calls_setsid_is_gone_after_a_stop() {
    is_gone_after_a_stop(|around| format!("setsid sh -c '{}' & exec sleep 1000", around.ticks("tick"))).await;
}

#[tokio::test]
async fn an_orphan_with_an_empty_environment_and_a_session_of_its_own_is_gone_after_a_stop() {
    is_gone_after_a_stop(|around| {
        format!("(env -i setsid /bin/sh -c '{}' &); exec sleep 1000", around.ticks("tick"))
    })
    .await;
}

#[tokio::test]
async fn a_child_that_forks_calls_setsid_and_exits_every_millisecond_is_gone_after_a_stop() {
    is_gone_after_a_stop(|around| {
        format!(
            "{} {} 1000 & exec sleep 1000",
            compiled(around, "forker").display(),
            around.path("tick").display()
        )
    })
    .await;
}

#[tokio::test]
async fn children_that_fork_call_setsid_and_exit_without_a_pause_are_gone_after_a_stop() {
    is_gone_after_a_stop(|around| {
        let forker = compiled(around, "forker");
        let one = format!("{} {} 0", forker.display(), around.path("tick").display());
        format!("{one} & {one} & exec sleep 1000")
    })
    .await;
}

#[tokio::test]
async fn a_child_whose_first_thread_has_ended_is_gone_after_a_stop() {
    is_gone_after_a_stop(|around| {
        let child = format!("{} {}", compiled(around, "leaderless").display(), around.path("tick").display());
        format!("setsid {child} & exec sleep 1000")
    })
    .await;
}

#[tokio::test]
async fn a_child_that_leaves_its_cgroup_is_gone_after_a_stop() {
    let host = Host::start().await;
    let Some(cgroup) = host.around.cgroup() else {
        println!("skipped: no cgroup can be made here");
        return;
    };
    let leave = format!("echo $$ > {}/cgroup.procs", cgroup.display());
    let script = format!("setsid sh -c '{leave}; {}' & exec sleep 1000", host.around.ticks("tick"));
    let id = host.submit(shell(&script)).await;
    host.around.written("tick").await;
    let evidence = host.stop(&id, Duration::ZERO).await;
    host.around.assert_nothing_lives().await;
    assert_ne!(evidence["killed"], 0, "{evidence}");
    host.shutdown().await;
}

#[tokio::test]
async fn a_child_that_writes_without_end_is_gone_after_a_stop() {
    is_gone_after_a_stop(|around| format!("(yes | tee /dev/stderr) & {}", around.ticks("tick"))).await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_ended_before_its_own_end_is_told() {
    at_both_levels(async |host, _| {
        let ticks = host.around.ticks("tick");
        let wait = format!("while [ ! -s {} ]; do sleep 0.01; done", host.around.path("tick").display());
        let script = format!("(env -i setsid /bin/sh -c '{ticks}' &); ({ticks}) & {wait}; echo done");
        let execution = host.run(shell(&script)).await;
        host.around.assert_nothing_lives().await;
        assert_eq!(execution.output.unwrap()["stdout"], "done\n");
        host.shutdown().await;
    })
    .await;
}

/// Compiles a helper that does what a shell can't.
fn compiled(around: &Around, name: &str) -> PathBuf {
    let program = around.path(name);
    if !program.exists() {
        let source = format!("{}/tests/process/{name}.c", env!("CARGO_MANIFEST_DIR"));
        let status = Command::new("cc").args(["-O1", "-pthread", "-o"]).arg(&program).arg(source).status();
        assert!(status.unwrap().success());
    }
    program
}
