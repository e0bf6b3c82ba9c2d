//! Without a supervisor, because `init` was not called.

use std::time::Duration;

use beacon_jobs::executor::Executor;
use beacon_jobs::job::{ExecutionSpec, JobSpec, JobStatus};
use beacon_jobs::process::ProcessExecutor;
use beacon_jobs::runner::JobRunner;
use beacon_jobs::stop::StopState;
use beacon_jobs::store::{ExecutionPage, MemoryStore};
use beacon_jobs::{Jobs, Settled};
use serde_json::json;

use crate::harness::{Around, LIMIT};

#[tokio::test]
async fn without_init_commands_run_and_end_but_a_stop_is_not_called_confirmed() {
    let executor = ProcessExecutor::new();
    assert!(!executor.is_supervised());
    assert!(!executor.capabilities().two_step);
    let around = Around::new();
    let jobs = Jobs::new(MemoryStore::new());
    let runner = JobRunner::builder(&jobs).executor(executor).start().await.unwrap();

    let input = json!({"command": ["sh", "-c", "wc -c; env"], "stdin": "text"});
    let spec = JobSpec::new([ExecutionSpec::new("process", input)]);
    let id = jobs.submit("alice", spec).await.unwrap().id;
    let done = jobs.finished(&id, LIMIT).await.unwrap().unwrap();
    assert_eq!(done.job.status, JobStatus::Completed);
    let detail = jobs.get(&id, ExecutionPage::ALL).await.unwrap().unwrap();
    let output = detail.executions[0].output.clone().unwrap();
    let stdout = output["stdout"].as_str().unwrap();
    assert!(stdout.starts_with("4\n") && !stdout.contains("CARGO"), "{stdout}");

    let ticks = around.ticks("tick");
    let script = format!("trap '' TERM; (({ticks}) & wait) & setsid sh -c '{ticks}' & {ticks}");
    let spec = JobSpec::new([ExecutionSpec::new("process", json!({"command": ["sh", "-c", script]}))]);
    let id = jobs.submit("alice", spec).await.unwrap().id;
    around.written("tick").await;
    let request = beacon_jobs::cancel::CancelRequest::new(beacon_jobs::cancel::Actor::Owner("alice".into()))
        .with_grace(Duration::from_millis(200));
    jobs.cancel(&id, &request).await.unwrap();
    let Settled::Yes(stops) = jobs.settled(&id, LIMIT).await.unwrap() else { panic!("not settled") };
    assert_eq!((stops.confirmed, stops.unconfirmed), (0, 1));
    around.assert_nothing_lives().await;
    let detail = jobs.get(&id, ExecutionPage::ALL).await.unwrap().unwrap();
    let stop = detail.executions[0].stop.clone().unwrap();
    assert_eq!(stop.state, StopState::Unconfirmed);
    assert!(serde_json::to_string(&stop).unwrap().contains("it had no supervisor"));
    runner.shutdown(LIMIT).await;
}
