//! The shortest way: start a job, cancel it, print the evidence.

use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::job::{ExecutionSpec, JobSpec};
use beacon_jobs::process::ProcessExecutor;
use beacon_jobs::runner::JobRunner;
use beacon_jobs::store::ExecutionPage;
use beacon_jobs::store::sqlite::SqliteStore;
use beacon_jobs::{Jobs, process};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    process::init(); // a command's supervisor is this very program, started again
    tokio::runtime::Runtime::new()?.block_on(async {
        let store = SqliteStore::open("quickstart.db").await?;
        store.migrate().await?;
        let jobs = Jobs::new(store);
        let runner = JobRunner::builder(&jobs).executor(ProcessExecutor::new()).start().await?;
        let sleep = ExecutionSpec::new("process", json!({"command": ["sleep", "600"]}));
        let id = jobs.submit("alice", JobSpec::new([sleep])).await?.id;
        jobs.cancel(&id, &CancelRequest::new(Actor::Owner("alice".into()))).await?;
        jobs.settled(&id, Duration::from_secs(20)).await?;
        let job = jobs.get(&id, ExecutionPage::ALL).await?.ok_or("no such job")?;
        println!("{}: {:#?}", job.job.status, job.executions[0].stop);
        runner.shutdown(Duration::from_secs(5)).await;
        Ok(())
    })
}
