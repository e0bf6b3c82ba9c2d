//! Runners whose jobs are cancelled, and when the stops were called.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::executor::{Capabilities, ExecuteError, ExecutionContext, Executor};
use beacon_jobs::job::{ExecutionSpec, JobSpec};
use beacon_jobs::runner::{JobRunner, RunnerOptions};
use beacon_jobs::stop::{Handle, StopError, StopRequest, StopStatus};
use beacon_jobs::store::JobStore;
use beacon_jobs::{JobId, Jobs, Settled};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::measure::{Pair, Result, now};
use crate::suite::{Setup, Suite};

pub(crate) const OWNER: &str = "bench";
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Remote work that goes on until it is stopped, and says when each stop was called.
#[derive(Debug)]
struct Remote {
    /// Whether `execute` returns when the job's token fires, before the work has ended.
    leaves_early: bool,
    begun: UnboundedSender<()>,
    stopped: UnboundedSender<Instant>,
    work: Mutex<HashMap<Value, oneshot::Sender<()>>>,
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("remote")
    }
}

impl Remote {
    fn work(&self) -> std::sync::MutexGuard<'_, HashMap<Value, oneshot::Sender<()>>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Executor for Remote {
    fn name(&self) -> &str {
        "remote"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.two_step = true;
        capabilities
    }

    async fn execute(&self, cx: &ExecutionContext) -> Result<Value, ExecuteError> {
        let handle = Handle::new(json!({ "call": cx.attempt_id().to_string() }));
        let (end, ended) = oneshot::channel();
        self.work().insert(handle.as_value().clone(), end);
        cx.save_handle(&handle).await?;
        // The bench may be over.
        let _ = self.begun.send(());
        if self.leaves_early {
            cx.token().cancelled().await;
        } else {
            let _ = ended.await;
        }
        Err(ExecuteError::failed("stopped"))
    }

    async fn stop(&self, handle: &Handle, _: &StopRequest) -> Result<StopStatus, StopError> {
        let _ = self.stopped.send(now());
        drop(self.work().remove(handle.as_value()));
        Ok(StopStatus::Confirmed { evidence: json!({ "ended": true }) })
    }
}

/// A runner whose jobs are cancelled, and what they report.
pub(crate) struct Bed {
    pub(crate) jobs: Jobs,
    pub(crate) runner: JobRunner,
    begun: UnboundedReceiver<()>,
    stopped: UnboundedReceiver<Instant>,
}

/// When the stops of a job were called, from the call of cancel on.
pub(crate) struct Stopped {
    pub(crate) first: Duration,
    pub(crate) last: Duration,
}

impl Bed {
    pub(crate) async fn new(store: impl JobStore, leaves_early: bool) -> Result<Self> {
        Self::with(store, leaves_early, RunnerOptions::default()).await
    }

    pub(crate) async fn with(
        store: impl JobStore,
        leaves_early: bool,
        options: RunnerOptions,
    ) -> Result<Self> {
        let (begin, begun) = unbounded_channel();
        let (stop, stopped) = unbounded_channel();
        let remote = Remote { leaves_early, begun: begin, stopped: stop, work: Mutex::default() };
        let jobs = Jobs::new(store);
        let runner = JobRunner::builder(&jobs).executor(remote).options(options).start().await?;
        Ok(Self { jobs, runner, begun, stopped })
    }

    /// Runs a job of so many executions, and cancels it once all of them run.
    pub(crate) async fn cancel(&mut self, executions: usize) -> Result<Stopped> {
        let jobs = self.jobs.clone();
        self.cancel_by(&jobs, executions).await
    }

    /// The same, with the cancel given to this door.
    pub(crate) async fn cancel_by(&mut self, jobs: &Jobs, executions: usize) -> Result<Stopped> {
        let id = self.begin(executions).await?;
        let start = now();
        jobs.cancel(&id, &request()).await?;
        let mut stops = Vec::with_capacity(executions);
        while stops.len() < executions {
            let at = self.stopped.recv().await.ok_or("the runner has ended")?;
            stops.push(at.saturating_duration_since(start));
        }
        self.settle(&id).await?;
        let first = stops.iter().min().copied().unwrap_or_default();
        let last = stops.iter().max().copied().unwrap_or_default();
        Ok(Stopped { first, last })
    }

    /// The next round must not wait for the writes of this one.
    pub(crate) async fn settle(&mut self, id: &JobId) -> Result<()> {
        match self.jobs.settled(id, LIMIT).await? {
            Settled::Yes(_) => {}
            other => return Err(format!("the stops of a cancelled job did not settle: {other:?}").into()),
        }
        while self.runner.running_attempts() > 0 || self.runner.running_jobs() > 0 {
            tokio::task::yield_now().await;
        }
        // A stop that was called again tells nothing.
        while self.stopped.try_recv().is_ok() {}
        Ok(())
    }

    /// Submits a job of so many executions, and waits until all of them run.
    pub(crate) async fn begin(&mut self, executions: usize) -> Result<JobId> {
        let executions: Vec<_> = (0..executions).map(|_| ExecutionSpec::new("remote", json!({}))).collect();
        let count = executions.len();
        let id = self.jobs.submit(OWNER, JobSpec::new(executions)).await?.id;
        for _ in 0..count {
            self.begun.recv().await.ok_or("the runner has ended")?;
        }
        Ok(id)
    }

    /// When a stop was first called here since the last [`settle`](Self::settle).
    pub(crate) fn first_stop(&mut self) -> Option<Instant> {
        self.stopped.try_recv().ok()
    }
}

/// Rounds of a job's cancel and its floor: a line each for its first and its last stop.
pub(crate) fn stops<S: Setup<Taken = (Stopped, Duration)>>(
    suite: &mut Suite,
    name: &str,
    case: S::Case,
    line: &str,
    budget: Option<f64>,
) -> Result<()> {
    let mut first = Pair::new(format!("{line}: first stop"), None)?;
    let mut last = Pair::new(format!("{line}: last stop"), budget)?;
    suite.rounds::<S>(name, case, |(ours, plain)| {
        first.record(ours.first, plain);
        last.record(ours.last, plain);
        ours.last
    })?;
    suite.table.pair(&first);
    suite.table.pair(&last);
    Ok(())
}

pub(crate) fn request() -> CancelRequest {
    CancelRequest::new(Actor::Owner(OWNER.to_owned()))
}
