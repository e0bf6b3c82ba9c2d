//! A store of one's own: jobs live in another store, and every cancel leaves a line in a journal.
//!
//! `cargo run --example custom_store` submits a job, lets a stranger and then its owner cancel it,
//! and prints the journal. `tests/custom_store.rs` runs the store through the store suite.

mod journal;

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::executor::function::FunctionExecutor;
use beacon_jobs::job::{ExecutionSpec, JobSpec};
use beacon_jobs::runner::JobRunner;
use beacon_jobs::store::MemoryStore;
use beacon_jobs::{Jobs, Settled};
use serde_json::Value;
use tokio::sync::Notify;

use self::journal::JournaledStore;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let jobs = Jobs::new(JournaledStore::new(MemoryStore::new(), io::stdout()));
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let sleep = FunctionExecutor::new("sleep", move |call| {
        begins.notify_one();
        async move {
            call.token.cancelled().await;
            Ok(Value::Null)
        }
    });
    let runner = JobRunner::builder(&jobs).executor(sleep).start().await?;
    let job = jobs.submit("alice", JobSpec::new([ExecutionSpec::new("sleep", Value::Null)])).await?.id;

    begun.notified().await;
    for owner in ["mallory", "alice", "alice"] {
        let request = CancelRequest::new(Actor::Owner(owner.to_owned())).with_reason("wrong model");
        jobs.cancel(&job, &request).await?;
    }

    if let Settled::Yes(stops) = jobs.settled(&job, PATIENCE).await? {
        println!("stops: {}, confirmed: {}", stops.total, stops.confirmed);
    }
    runner.shutdown(PATIENCE).await;
    Ok(())
}
