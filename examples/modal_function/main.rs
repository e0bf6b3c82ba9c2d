//! Runs a Function at Modal, cancels it, and prints what shows that it has ended.
//!
//! With an account: `cargo run --example modal_function -- APP FUNCTION` and `MODAL_TOKEN_ID`, `MODAL_TOKEN_SECRET`, or
//! `~/.modal.toml`. Without arguments it runs against a control plane in this very process, which needs no account
//! and shows nothing about Modal's own.

use std::error::Error;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::job::{ExecutionSpec, ExecutionStatus, JobSpec};
use beacon_jobs::runner::JobRunner;
use beacon_jobs::store::{ExecutionPage, MemoryStore};
use beacon_jobs::{JobId, Jobs, Settled};
use beacon_jobs_modal::fake::{ControlPlane, Work};
use beacon_jobs_modal::{Config, ModalExecutor};
use serde_json::json;

/// How long the Function may take to be given a container.
const PATIENCE: u32 = 600;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let plane = ControlPlane::start().await?;
    let (config, app, function) = match (args.next(), args.next()) {
        (Some(app), Some(function)) => (Config::from_env()?, app, function),
        _ => {
            plane.deploy("training", "train", Work::LeavesAThread);
            (plane.config(), "training".to_owned(), "train".to_owned())
        }
    };
    let jobs = Jobs::new(MemoryStore::new());
    let runner = JobRunner::builder(&jobs).executor(ModalExecutor::new(&config)?).start().await?;
    let input = json!({ "app": app, "function": function });
    let id = jobs.submit("alice", JobSpec::new([ExecutionSpec::new("modal", input)])).await?.id;
    if runs(&jobs, &id).await? {
        let cancel = CancelRequest::new(Actor::Owner("alice".into())).with_grace(Duration::from_secs(2));
        jobs.cancel(&id, &cancel).await?;
        match jobs.settled(&id, Duration::from_secs(120)).await? {
            Settled::Yes(stops) => {
                println!("settled: {} confirmed, {} not", stops.confirmed, stops.unconfirmed)
            }
            other => println!("not settled yet: {other:?}"),
        }
    }
    let job = jobs.get(&id, ExecutionPage::ALL).await?.ok_or("no such job")?;
    println!("{}: {:#?}", job.job.status, job.executions[0]);
    runner.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// Waits until the call has its input. `false` when it is over by then.
async fn runs(jobs: &Jobs, id: &JobId) -> Result<bool, Box<dyn Error>> {
    for _ in 0..PATIENCE {
        let job = jobs.get(id, ExecutionPage::ALL).await?.ok_or("no such job")?;
        if job.job.status.is_terminal() {
            return Ok(false);
        }
        if job.executions[0].status == ExecutionStatus::Running {
            return Ok(true);
        }
        jobs.finished(id, Duration::from_secs(1)).await?;
    }
    Ok(true)
}
