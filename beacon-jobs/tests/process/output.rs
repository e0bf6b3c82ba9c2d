//! What a command is given, and what it brings.

use std::process::Stdio;

use beacon_jobs::job::{ExecutionRecord, ExecutionSpec, ExecutionStatus, FailureKind, JobSpec};
use beacon_jobs::process::ProcessExecutor;
use beacon_jobs::runner::JobRunner;
use beacon_jobs::store::{ExecutionPage, MemoryStore};
use beacon_jobs::{ErrorKind, Jobs};
use serde_json::{Value, json};

use crate::harness::{Host, LIMIT};

#[tokio::test]
async fn exit_code_and_both_streams_are_the_output() {
    let host = Host::start().await;
    let done = host.run(json!({"command": ["sh", "-c", "echo out; echo err >&2"]})).await;
    assert_eq!(done.status, ExecutionStatus::Completed);
    assert_eq!(
        done.output.unwrap(),
        json!({"exit_code": 0, "signal": null, "stdout": "out\n", "stderr": "err\n"})
    );
    host.shutdown().await.assert_nothing_lives().await;
}

#[tokio::test]
async fn another_exit_code_is_a_failure_that_keeps_the_output() {
    let host = Host::start().await;
    let failed = host.run(json!({"command": ["sh", "-c", "echo why; exit 3"]})).await;
    let error = failed.error.unwrap();
    assert_eq!((error.kind, error.message.as_str()), (FailureKind::Failed, "exited with code 3"));
    let output = failed.output.unwrap();
    assert_eq!((&output["exit_code"], &output["stdout"]), (&json!(3), &json!("why\n")));
    host.shutdown().await;
}

#[tokio::test]
async fn a_failure_is_tried_again_as_often_as_the_job_allows() {
    let host = Host::start().await;
    let script = format!("echo x >> {0}; [ $(wc -l < {0}) = 2 ]", host.around.path("tries").display());
    let mut spec = JobSpec::new([ExecutionSpec::new("process", json!({"command": ["sh", "-c", script]}))])
        .with_max_attempts(3);
    spec.backoff_seconds = 0;
    let id = host.jobs.submit("alice", spec).await.unwrap().id;
    let done = host.finished(&id).await;
    assert_eq!((done.status, done.attempt), (ExecutionStatus::Completed, 2));
    host.shutdown().await;
}

#[tokio::test]
async fn death_by_a_signal_is_a_failure_that_names_it() {
    let host = Host::start().await;
    let failed = host.run(json!({"command": ["sh", "-c", "kill -USR2 $$"]})).await;
    assert_eq!(failed.error.unwrap().message, "was ended by signal 12");
    let output = failed.output.unwrap();
    assert_eq!((&output["exit_code"], &output["signal"]), (&json!(null), &json!(12)));
    host.shutdown().await;
}

#[tokio::test]
async fn standard_input_folder_and_variables_arrive() {
    let host = Host::start().await;
    let text = "line\n".repeat(100_000);
    let folder = host.around.path("folder with space");
    std::fs::create_dir(&folder).unwrap();
    let input = json!({
        "command": ["sh", "-c", "wc -l; pwd; echo \"$WORD\""],
        "stdin": text, "cwd": folder, "env": {"WORD": "a \"b\" ä"},
    });
    let done = host.run(input).await;
    let expected = format!("100000\n{}\na \"b\" ä\n", folder.display());
    assert_eq!(done.output.unwrap()["stdout"], expected);

    let empty = host.run(json!({"command": ["cat"]})).await;
    assert_eq!(empty.output.unwrap()["stdout"], "");
    host.shutdown().await;
}

#[tokio::test]
async fn nothing_else_of_the_runners_environment_reaches_a_command() {
    // Whoever runs this test sets more than the four, cargo for one.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let host = Host::start().await;
    let done = host.run(json!({"command": ["env"], "env": {"MINE": "1"}})).await;
    let output = done.output.unwrap();
    let names: Vec<&str> =
        output["stdout"].as_str().unwrap().lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert!(names.contains(&"MINE") && names.contains(&"PATH"), "{names:?}");
    let known = ["PATH", "HOME", "LANG", "TMPDIR", "MINE", "BEACON_JOBS_ATTEMPT"];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    host.shutdown().await;
}

#[tokio::test]
async fn a_command_has_nothing_open_that_any_child_of_the_runner_would_not_have() {
    // The shell itself lists its folder, so no other program opens anything.
    const LIST: &str = "for file in /proc/$$/fd/*; do echo ${file##*/}; done";
    let usual = std::process::Command::new("sh").args(["-c", LIST]).stdin(Stdio::null()).output().unwrap();
    let usual = String::from_utf8(usual.stdout).unwrap();
    let jobs = Jobs::new(MemoryStore::new());
    let program = env!("CARGO_BIN_EXE_beacon-jobs-supervisor");
    let executor = ProcessExecutor::builder().supervisor_program(program).build();
    let runner = JobRunner::builder(&jobs).executor(executor).start().await.unwrap();
    let input = json!({"command": ["sh", "-c", LIST], "stdin": "text"});
    let done = run(&jobs, input).await;
    assert_eq!(done.output.unwrap()["stdout"], usual);
    runner.shutdown(LIMIT).await;
}

async fn run(jobs: &Jobs, input: Value) -> ExecutionRecord {
    let spec = JobSpec::new([ExecutionSpec::new("process", input)]);
    let id = jobs.submit("alice", spec).await.unwrap().id;
    jobs.finished(&id, LIMIT).await.unwrap();
    let detail = jobs.get(&id, ExecutionPage::ALL).await.unwrap().unwrap();
    detail.executions.into_iter().next().unwrap()
}

#[tokio::test]
async fn of_fifty_megabytes_the_first_and_last_half_are_kept_and_the_cut_is_noted() {
    const MIB: u64 = 1024 * 1024;
    let host = Host::start().await;
    let before = resident();
    let script = "echo first; head -c 52428800 /dev/zero | tr '\\0' a; echo last; echo short >&2";
    let done = host.run(json!({"command": ["sh", "-c", script]})).await;
    let grown = resident().saturating_sub(before);
    let output = done.output.unwrap();
    let stdout = output["stdout"].as_str().unwrap();
    let left_out = 50 * MIB + 6 + 5 - MIB;
    assert_eq!(output["left_out_bytes"], json!({ "stdout": left_out }));
    assert!(stdout.starts_with("first\naaa") && stdout.ends_with("aaalast\n"));
    let note = format!("\n[{left_out} bytes left out]\n");
    assert!(stdout.contains(&note));
    assert_eq!(stdout.len() as u64, MIB + note.len() as u64);
    assert_eq!(output["stderr"], "short\n");
    // Of 50 MiB; what is kept passes through a few copies.
    assert!(grown < 25 * MIB, "grew by {grown} bytes");
    host.shutdown().await;
}

/// How much memory this process has, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test]
async fn a_command_that_cannot_begin_is_an_invalid_input_that_says_why() {
    let host = Host::start().await;
    for (input, why) in [
        (
            json!({"command": ["/no/such/program"]}),
            "could not run /no/such/program: No such file or directory",
        ),
        (json!({"command": ["/etc/passwd"]}), "could not run /etc/passwd: Permission denied"),
        (
            json!({"command": ["true"], "cwd": "/no/such"}),
            "could not change to folder /no/such: No such file",
        ),
    ] {
        let failed = host.run(input).await;
        let error = failed.error.unwrap();
        assert_eq!(error.kind, FailureKind::InvalidInput);
        assert!(error.message.starts_with(why), "{error}");
    }
    host.shutdown().await.assert_nothing_lives().await;
}

#[tokio::test]
async fn a_bad_input_is_refused_at_submission_with_its_path() {
    let host = Host::start().await;
    let good = ExecutionSpec::new("process", json!({"command": ["true"]}));
    let bad = ExecutionSpec::new("process", json!({"command": ["true"], "env": {"A=B": "1"}}));
    let error = host.jobs.submit("alice", JobSpec::new([good, bad])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.field(), Some("executions[1].input.env.A=B"));
    host.shutdown().await;
}

#[tokio::test]
async fn a_program_that_does_not_supervise_is_named() {
    let jobs = Jobs::new(MemoryStore::new());
    let executor = ProcessExecutor::builder().supervisor_program("/bin/true").build();
    let runner = JobRunner::builder(&jobs).executor(executor).start().await.unwrap();
    let failed = run(&jobs, json!({"command": ["true"]})).await;
    let error = failed.error.unwrap();
    assert_eq!(error.kind, FailureKind::Provider);
    assert!(error.message.contains("/bin/true did not become a supervisor"), "{error}");
    runner.shutdown(LIMIT).await;
}
