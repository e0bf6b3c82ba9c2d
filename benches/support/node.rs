//! A node that has only a store: jobs brought as far as a bench wants them, without a runner.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::time::Duration;

use beacon_jobs::host::ProcessIdentity;
use beacon_jobs::job::{ExecutionSpec, JobSpec};
use beacon_jobs::stop::Handle;
use beacon_jobs::store::{
    Claim, ClaimedJob, ExecutionResult, FinishExecution, FinishJob, FinishJobOutcome, FinishOutcome,
    JobStore, NodeIdentity, SaveHandle, SaveOutcome, StartExecution, StartOutcome,
};
use beacon_jobs::{AttemptId, IncarnationId, JobId, Jobs, RandomIds};
use serde_json::json;

use crate::measure::Result;

pub(crate) const OWNER: &str = "bench";
pub(crate) const EXECUTOR: &str = "remote";
/// No bench lasts as long.
const LEASE: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Node<S> {
    pub(crate) store: S,
    pub(crate) jobs: Jobs,
    pub(crate) incarnation: IncarnationId,
}

/// An execution of a job that the node holds, with the attempt that it will have.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    start: StartExecution,
}

impl<S: JobStore + Clone> Node<S> {
    /// Enters this store.
    pub(crate) async fn on(store: S) -> Result<Self> {
        let incarnation = IncarnationId::mint(&RandomIds);
        let identity = NodeIdentity {
            incarnation,
            name: "bench".to_owned(),
            process: ProcessIdentity::current(),
            executors: vec![EXECUTOR.to_owned()],
        };
        store.join(&identity, LEASE).await?;
        Ok(Self { jobs: Jobs::new(store.clone()), store, incarnation })
    }

    /// A queued job of so many executions.
    pub(crate) async fn submit(&self, executions: u32) -> Result<JobId> {
        let executions =
            (0..executions).map(|index| ExecutionSpec::new(EXECUTOR, json!({ "question": index })));
        Ok(self.jobs.submit(OWNER, JobSpec::new(executions)).await?.id)
    }

    /// Takes the one job that waits.
    pub(crate) async fn claim(&self) -> Result<Vec<Held>> {
        let job = self.claim_up_to(1).await?.pop().ok_or("no job waits")?;
        Self::hold(&job)
    }

    /// Takes so many jobs that wait, or all.
    pub(crate) async fn claim_up_to(&self, limit: u32) -> Result<Vec<ClaimedJob>> {
        let claim = Claim {
            incarnation: self.incarnation,
            executors: vec![EXECUTOR.to_owned()],
            running: Vec::new(),
            limit,
        };
        Ok(self.store.claim(&claim).await?)
    }

    pub(crate) fn hold(job: &ClaimedJob) -> Result<Vec<Held>> {
        let held = (0..u32::try_from(job.executions.len())?).map(|index| Held {
            start: StartExecution {
                fence: job.fence,
                job: job.id.clone(),
                index,
                attempt: AttemptId::mint(&RandomIds),
            },
        });
        Ok(held.collect())
    }

    /// Brings a job through to its outcome.
    pub(crate) async fn complete(&self, job: &ClaimedJob) -> Result<()> {
        for held in Self::hold(job)? {
            for step in Step::ALL {
                held.step(&self.store, step).await?;
            }
        }
        let finish = FinishJob { fence: job.fence, job: job.id.clone(), timed_out: false };
        match self.store.finish_job(&finish).await? {
            FinishJobOutcome::Finished(_) => Ok(()),
            other => Err(format!("a job got no outcome: {other:?}").into()),
        }
    }

    /// Brings all to running, in two calls.
    pub(crate) async fn run_all(&self, held: &[Held]) -> Result<()> {
        let starts: Vec<_> = held.iter().map(|held| held.start.clone()).collect();
        self.store.start(&starts).await?;
        let saves: Vec<_> = held.iter().map(Held::save).collect();
        match self.store.save_handles(&saves).await?.iter().all(|saved| *saved == SaveOutcome::Granted) {
            true => Ok(()),
            false => Err("a handle was refused".into()),
        }
    }
}

impl Held {
    fn save(&self) -> SaveHandle {
        let StartExecution { fence, job, index, attempt } = self.start.clone();
        let handle = Handle::new(json!({ "call": attempt.to_string() }));
        SaveHandle { fence, job, index, attempt, handle }
    }

    /// One of the three transitions of an execution, in a call of its own.
    pub(crate) async fn step(&self, store: &impl JobStore, step: Step) -> Result<()> {
        let is_done = match step {
            Step::Start => {
                matches!(
                    store.start(std::slice::from_ref(&self.start)).await?[..],
                    [StartOutcome::Started { .. }]
                )
            }
            Step::Save => store.save_handles(&[self.save()]).await? == [SaveOutcome::Granted],
            Step::Finish => {
                let StartExecution { fence, job, index, attempt } = self.start.clone();
                let result = ExecutionResult::Completed(json!({ "answer": index }));
                let finish = FinishExecution { fence, job, index, attempt, result, sealed: true };
                store.finish(&[finish]).await? == [FinishOutcome::Finished]
            }
        };
        if is_done { Ok(()) } else { Err(format!("{step:?} was refused").into()) }
    }
}

/// The transitions of an execution that runs through.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Start,
    Save,
    Finish,
}

impl Step {
    pub(crate) const ALL: [Self; 3] = [Self::Start, Self::Save, Self::Finish];
}
