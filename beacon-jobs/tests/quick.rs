//! The thinnest path: submit, run, cancel, evidence.

use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::executor::function::FunctionExecutor;
use beacon_jobs::job::{ExecutionSpec, JobSpec, JobStatus};
use beacon_jobs::runner::JobRunner;
use beacon_jobs::store::{ExecutionPage, MemoryStore};
use beacon_jobs::{Jobs, Settled};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_to_completion_and_another_is_stopped_with_evidence() {
    let jobs = Jobs::new(MemoryStore::new());
    let (started, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let double = FunctionExecutor::new("double", |call| async move {
        let n: i64 = call.read()?;
        Ok(json!(n * 2))
    });
    let forever = FunctionExecutor::new("forever", move |_call| {
        let started = started.clone();
        async move {
            let _ = started.send(());
            std::future::pending().await
        }
    });
    let runner = JobRunner::builder(&jobs).executor(double).executor(forever).start().await.unwrap();

    let spec = JobSpec::new((0..10).map(|n| ExecutionSpec::new("double", json!(n))));
    let id = jobs.submit("alice", spec).await.unwrap().id;
    let done = jobs.finished(&id, Duration::from_secs(10)).await.unwrap().unwrap();
    assert_eq!(done.job.status, JobStatus::Completed);

    let id =
        jobs.submit("alice", JobSpec::new([ExecutionSpec::new("forever", json!(null))])).await.unwrap().id;
    seen.recv().await.unwrap();
    let request = CancelRequest::new(Actor::Owner("alice".into())).immediate();
    let answer = jobs.cancel(&id, &request).await.unwrap();
    assert!(matches!(answer.outcome, CancelOutcome::Cancelled { .. }));
    assert!(answer.context_cancelled);
    let Settled::Yes(stops) = jobs.settled(&id, Duration::from_secs(10)).await.unwrap() else { panic!() };
    assert_eq!(stops.confirmed, 1);
    let detail = jobs.get(&id, ExecutionPage::ALL).await.unwrap().unwrap();
    println!("{}", serde_json::to_string_pretty(&detail.executions[0]).unwrap());
    let report = runner.shutdown(Duration::from_secs(5)).await;
    println!("{report:?}");
    assert_eq!(jobs.contexts().count(), 0);
}
