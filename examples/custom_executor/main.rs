//! A custom executor, from the provider to the evidence.
//!
//! `farm.rs` is somebody else's computer: a server whose work goes on until it is really ended.
//! `executor.rs` teaches beacon-jobs to use it. This program starts one, runs a job on it, cancels
//! another, and shows what the farm said.

pub(crate) mod executor;
pub(crate) mod farm;

use std::error::Error;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::job::{ExecutionSpec, JobSpec};
use beacon_jobs::runner::JobRunner;
use beacon_jobs::store::{ExecutionPage, MemoryStore};
use beacon_jobs::{Jobs, Settled};
use serde_json::json;

use self::executor::FarmExecutor;
use self::farm::Farm;

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let farm = Farm::open().await?;
    let jobs = Jobs::new(MemoryStore::new());
    let runner = JobRunner::builder(&jobs).executor(FarmExecutor::new(farm.address())).start().await?;

    let short = JobSpec::new([ExecutionSpec::new("farm", json!({ "below": 100_000 }))]);
    let id = jobs.submit("alice", short).await?.id;
    jobs.finished(&id, Duration::from_secs(60)).await?;
    let detail = jobs.get(&id, ExecutionPage::ALL).await?.ok_or("the job is gone")?;
    println!("a short job is {}: {:?}", detail.job.status, detail.executions[0].output);

    let long = JobSpec::new((1..=3).map(|_| ExecutionSpec::new("farm", json!({ "below": u64::MAX }))));
    let id = jobs.submit("alice", long).await?.id;
    while farm.running() < 3 {
        tokio::task::yield_now().await;
    }
    println!("a long job keeps the farm busy with {} works", farm.running());
    jobs.cancel(&id, &CancelRequest::new(Actor::Owner("alice".into()))).await?;
    let settled = jobs.settled(&id, Duration::from_secs(60)).await?;
    println!("cancelled; the farm is busy with {} works; {settled:?}", farm.running());
    let detail = jobs.get(&id, ExecutionPage::ALL).await?.ok_or("the job is gone")?;
    for execution in &detail.executions {
        println!(
            "{}: {:?}",
            execution.index,
            execution.stop.as_ref().and_then(|stop| stop.evidence.as_ref())
        );
    }
    runner.shutdown(Duration::from_secs(5)).await;
    match settled {
        Settled::Yes(stops) if stops.confirmed == 3 && farm.running() == 0 => Ok(()),
        _ => Err("not every work is shown to have ended".into()),
    }
}
