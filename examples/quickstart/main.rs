//! The README's example: start a job, cancel it, print the evidence.

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::job::{ExecutionSpec, JobSpec};
use beacon_jobs::store::{ExecutionPage, sqlite::SqliteStore};
use beacon_jobs::{Jobs, process, process::ProcessExecutor, runner::JobRunner};
use std::{error::Error, time::Duration};

fn main() -> Result<(), Box<dyn Error>> {
    process::init(); // a command's supervisor is this very program, started again
    tokio::runtime::Runtime::new()?.block_on(async {
        let store = SqliteStore::open("jobs.db").await?;
        store.migrate().await?;
        let jobs = Jobs::new(store);
        let runner = JobRunner::builder(&jobs).executor(ProcessExecutor::new()).start().await?;
        let sleep = ExecutionSpec::new("process", serde_json::json!({"command": ["sleep", "600"]}));
        let id = jobs.submit("alice", JobSpec::new([sleep])).await?.id;
        jobs.finished(&id, Duration::from_secs(1)).await?; // let it run for a second
        jobs.cancel(&id, &CancelRequest::new(Actor::Owner("alice".into()))).await?;
        jobs.settled(&id, Duration::from_secs(20)).await?; // until every stop has its evidence
        let job = jobs.get(&id, ExecutionPage::ALL).await?.ok_or("no such job")?;
        println!("{}: {:#?}", job.job.status, job.executions[0].stop);
        runner.shutdown(Duration::from_secs(5)).await;
        Ok(())
    })
}
