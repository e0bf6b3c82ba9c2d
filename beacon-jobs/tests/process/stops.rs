//! Grace, and races of a stop with a start.

use std::time::Duration;

use beacon_jobs::cancel::CancelOutcome;
use beacon_jobs::job::ExecutionStatus;
use serde_json::json;

use crate::harness::{Host, at_both_levels};

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_child_that_takes_its_grace_saves_itself_and_its_output_is_complete() {
    at_both_levels(async |host, level| {
        let script = format!(
            "trap 'echo saving; sleep 0.3; echo saved; exit 0' TERM; echo up; {}",
            host.around.ticks("tick")
        );
        let id = host.submit(json!({"command": ["sh", "-c", script]})).await;
        host.around.written("tick").await;
        let evidence = host.stop(&id, LONG).await;
        host.around.assert_nothing_lives().await;
        assert_eq!(evidence["ended_by"], "term", "{evidence}");
        assert_eq!(evidence["level"], level, "{evidence}");
        assert_eq!(evidence["exit_code"], 0, "{evidence}");
        let around = host.around.path("tick");
        assert!(around.exists());
        let (jobs, id) = (host.jobs.clone(), id.clone());
        host.shutdown().await;
        let detail = jobs.get(&id, beacon_jobs::store::ExecutionPage::ALL).await.unwrap().unwrap();
        let execution = &detail.executions[0];
        assert_eq!(execution.status, ExecutionStatus::Cancelled);
        assert_eq!(execution.output, None);
        assert_eq!(execution.late_output.as_ref().unwrap()["stdout"], "up\nsaving\nsaved\n");
    })
    .await;
}

#[tokio::test]
async fn the_others_of_the_group_may_save_themselves_too_when_the_command_has_ended() {
    let host = Host::start().await;
    // The shell dies of SIGTERM at once, its child does not.
    let child = format!(
        "trap 'sleep 0.3; echo saved > {}; exit 0' TERM; {}",
        host.around.path("saved").display(),
        host.around.ticks("tick")
    );
    let id = host.submit(json!({"command": ["sh", "-c", "sh -c \"$0\"; true", child]})).await;
    host.around.written("tick").await;
    let evidence = host.stop(&id, LONG).await;
    host.around.assert_nothing_lives().await;
    assert_eq!(evidence["ended_by"], "term", "{evidence}");
    assert_eq!(host.around.size("saved"), 6);
    host.shutdown().await;
}

#[tokio::test]
async fn a_later_shorter_stop_shortens_a_running_grace() {
    at_both_levels(async |host, _| {
        let script = format!(
            "trap 'echo told >> {}' TERM; {}",
            host.around.path("told").display(),
            host.around.ticks("tick")
        );
        let id = host.submit(json!({"command": ["sh", "-c", script]})).await;
        host.around.written("tick").await;
        host.cancel(&id, LONG).await;
        host.around.written("told").await;
        let outcome = host.cancel(&id, Duration::from_millis(10)).await;
        assert!(matches!(outcome, CancelOutcome::AlreadyCancelled { .. }), "{outcome:?}");
        let (execution, stops) = host.settled(&id).await;
        assert_eq!(stops.confirmed, 1);
        host.around.assert_nothing_lives().await;
        assert_eq!(execution.stop.unwrap().evidence.unwrap()["ended_by"], "kill");
        host.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_command_whose_handle_was_refused_never_runs() {
    // The supervisor's start waits, so that the cancel commits before the handle is saved.
    let folder = tempfile::tempdir().unwrap();
    let (up, go) = (folder.path().join("up"), folder.path().join("go"));
    let before = format!("echo > {}; while [ ! -e {} ]; do sleep 0.01; done", up.display(), go.display());
    let host = Host::build(true, &before, |executor| executor).await;
    let script = format!("echo x > {}", host.around.path("ran").display());
    let id = host.submit(json!({"command": ["sh", "-c", script]})).await;
    crate::harness::wait_for(|| up.exists()).await;
    let outcome = host.cancel(&id, Duration::ZERO).await;
    assert!(matches!(outcome, CancelOutcome::Cancelled { .. }), "{outcome:?}");
    std::fs::write(go, "").unwrap();
    let (execution, stops) = host.settled(&id).await;
    assert_eq!(stops.confirmed, 1, "{execution:?}");
    let evidence = execution.stop.unwrap().evidence.unwrap();
    assert_eq!(evidence["ended_by"], "never_began", "{evidence}");
    let around = host.shutdown().await;
    around.assert_nothing_lives().await;
    assert!(!around.path("ran").exists());
}

#[tokio::test]
async fn dropping_the_work_ends_it_without_any_stop() {
    let (host, held) = Host::holding(true).await;
    let script = format!("(env -i setsid /bin/sh -c '{}' &); exec sleep 1000", host.around.ticks("tick"));
    let id = host.submit(json!({"command": ["sh", "-c", script]})).await;
    host.around.written("tick").await;
    held.drop_work();
    host.finished(&id).await;
    host.around.nothing_lives().await;
    assert_eq!(host.executor.running(), 0);
    host.abandon();
}
