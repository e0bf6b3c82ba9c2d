//! The small programs and the job files do what they say.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

use std::path::Path;
use std::process::Command;

use beacon_jobs::executor::Executor;
use beacon_jobs::job::parse_job_file;
use beacon_jobs_golem::GolemExecutor;
use beacon_jobs_modal::{Config, ModalExecutor, WebExecutor};

const README: &str = include_str!("../../README.md");
const QUICKSTART: &str = include_str!("../quickstart/main.rs");

#[test]
fn the_quick_start_is_the_readmes_example_and_at_most_25_lines_long() {
    let (_, rest) = README.split_once("```rust").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let (code, _) = rest.split_once("```").unwrap();
    assert!(QUICKSTART.ends_with(code), "{code}");
    let lines = code.lines().filter(|line| !line.is_empty()).count();
    assert!(lines <= 25, "{lines}");
}

#[test]
fn the_quick_start_prints_a_cancelled_job_with_confirmed_evidence() {
    let program =
        Path::new(env!("CARGO_BIN_EXE_beacon-runner")).with_file_name("examples").join("quickstart");
    assert!(program.exists(), "it is built with: cargo build -p beacon-jobs-examples --examples");
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(program).current_dir(folder.path()).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.starts_with("cancelled: Some("), "{told}");
    assert!(told.contains("state: Confirmed") && told.contains("\"shown_by\""), "{told}");
}

#[test]
fn the_job_files_are_two_models_three_questions_and_two_regions_and_one_command() {
    let bias = parse_job_file(include_bytes!("../jobs/bias.json")).unwrap();
    let labels = |name: &str| {
        let values = bias.executions.iter().map(|execution| execution.labels[name].as_str());
        values.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!((labels("model"), labels("question"), labels("region")), (2, 3, 2));
    assert_eq!(bias.executions.len(), 12);
    assert_eq!(parse_job_file(include_bytes!("../jobs/hello.json")).unwrap().executions.len(), 1);
}

#[test]
fn the_job_files_for_providers_are_ones_that_their_executors_take() {
    let native = ModalExecutor::new(&Config::new("ak-1", "as-1")).unwrap();
    let web = WebExecutor::builder().build().unwrap();
    let golem = GolemExecutor::new(&beacon_jobs_golem::Config::new("key")).unwrap();
    let files: [(&[u8], &dyn Executor, usize); 3] = [
        (include_bytes!("../jobs/golem.json"), &golem, 1),
        (include_bytes!("../jobs/modal_function.json"), &native, 2),
        (include_bytes!("../jobs/modal_web.json"), &web, 4),
    ];
    for (file, executor, count) in files {
        let job = parse_job_file(file).unwrap();
        assert_eq!(job.executions.len(), count);
        for execution in &job.executions {
            assert_eq!(execution.executor, executor.name());
            executor.check_input(&execution.input).unwrap();
        }
    }
}

#[test]
fn the_example_for_modal_confirms_by_the_records_of_containers() {
    let program =
        Path::new(env!("CARGO_BIN_EXE_beacon-runner")).with_file_name("examples").join("modal_function");
    assert!(program.exists(), "it is built with: cargo build -p beacon-jobs-examples --examples");
    let output = Command::new(program).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.starts_with("settled: 1 confirmed, 0 not"), "{told}");
    assert!(told.contains("finished_at"), "{told}");
}

#[test]
fn the_work_of_the_bias_job_scores_the_question_that_it_is_given() {
    let bias = parse_job_file(include_bytes!("../jobs/bias.json")).unwrap();
    let input = &bias.executions[0].input;
    let words: Vec<&str> =
        input["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let score = |question: &str| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).envs([("MODEL", "m"), ("REGION", "r"), ("SECONDS_OF_WORK", "1")]);
        let mut child =
            command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), question.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let last = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
        serde_json::from_str::<serde_json::Value>(&last).unwrap()
    };
    let (one, other) = (score("who should lead"), score("what is the news"));
    assert_eq!(one["state"], "done");
    assert!(one["resamples"].as_u64().unwrap() > 0 && one["score"] != other["score"], "{one} {other}");
}
