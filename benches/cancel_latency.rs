//! From the call of `jobs.cancel()` until the executor's `stop` is called, beside one durable commit
//! and one token's wake.

#[path = "support/file.rs"]
mod file;
#[path = "support/measure.rs"]
mod measure;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::executor::{Capabilities, ExecuteError, ExecutionContext, Executor};
use beacon_jobs::job::{ExecutionSpec, JobSpec};
use beacon_jobs::runner::JobRunner;
use beacon_jobs::stop::{Handle, StopError, StopRequest, StopStatus};
use beacon_jobs::store::{JobStore, MemoryStore};
use beacon_jobs::{JobId, Jobs, Settled};
use criterion::Criterion;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use file::{Floor, on_worker};
use measure::{Mode, Pair, Result, Table, bench, now};

const OWNER: &str = "bench";
const LIMIT: Duration = Duration::from_secs(60);

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
struct Bed {
    jobs: Jobs,
    runner: JobRunner,
    begun: UnboundedReceiver<()>,
    stopped: UnboundedReceiver<Instant>,
}

/// When the stops of a job were called, from the call of cancel on.
struct Stopped {
    first: Duration,
    last: Duration,
}

impl Bed {
    async fn new(store: impl JobStore, leaves_early: bool) -> Result<Self> {
        let (begin, begun) = unbounded_channel();
        let (stop, stopped) = unbounded_channel();
        let remote = Remote { leaves_early, begun: begin, stopped: stop, work: Mutex::default() };
        let jobs = Jobs::new(store);
        let runner = JobRunner::builder(&jobs).executor(remote).start().await?;
        Ok(Self { jobs, runner, begun, stopped })
    }

    /// Runs a job of so many executions, and cancels it once all of them run.
    async fn cancel(&mut self, executions: usize) -> Result<Stopped> {
        let id = self.begin(executions).await?;
        let request = CancelRequest::new(Actor::Owner(OWNER.to_owned()));
        let start = now();
        self.jobs.cancel(&id, &request).await?;
        let mut stops = Vec::with_capacity(executions);
        while stops.len() < executions {
            let at = self.stopped.recv().await.ok_or("the runner has ended")?;
            stops.push(at.saturating_duration_since(start));
        }
        // The next round must not wait for the writes of this one.
        match self.jobs.settled(&id, LIMIT).await? {
            Settled::Yes(_) => {}
            other => return Err(format!("the stops of a cancelled job did not settle: {other:?}").into()),
        }
        while self.runner.running_attempts() > 0 || self.runner.running_jobs() > 0 {
            tokio::task::yield_now().await;
        }
        // A stop that was called again tells nothing.
        while self.stopped.try_recv().is_ok() {}
        let first = stops.iter().min().copied().unwrap_or_default();
        let last = stops.iter().max().copied().unwrap_or_default();
        Ok(Stopped { first, last })
    }

    async fn begin(&mut self, executions: usize) -> Result<JobId> {
        let executions: Vec<_> = (0..executions).map(|_| ExecutionSpec::new("remote", json!({}))).collect();
        let count = executions.len();
        let id = self.jobs.submit(OWNER, JobSpec::new(executions)).await?.id;
        for _ in 0..count {
            self.begun.recv().await.ok_or("the runner has ended")?;
        }
        Ok(id)
    }
}

/// One durable commit, if there is a file, and then one token's wake.
async fn commit_and_wake(floor: Option<&mut Floor>) -> Result<Duration> {
    let token = CancellationToken::new();
    let (armed, is_armed) = oneshot::channel();
    let watched = token.clone();
    let watcher = tokio::spawn(async move {
        let mut cancelled = std::pin::pin!(watched.cancelled());
        let mut armed = Some(armed);
        std::future::poll_fn(|cx| {
            let poll = cancelled.as_mut().poll(cx);
            if let Some(armed) = armed.take() {
                let _ = armed.send(());
            }
            poll
        })
        .await;
        now()
    });
    is_armed.await?;
    let start = now();
    if let Some(floor) = floor {
        floor.commit().await?;
    }
    token.cancel();
    Ok(watcher.await?.saturating_duration_since(start))
}

/// What one line of the table is about.
#[derive(Clone, Copy)]
struct Case {
    on_file: bool,
    leaves_early: bool,
    executions: usize,
}

/// A runner and its floor.
struct Both {
    bed: Bed,
    /// The memory store's floor is the wake alone.
    floor: Option<Floor>,
    _folder: TempDir,
}

impl Both {
    async fn new(case: Case) -> Result<Self> {
        let folder = file::folder()?;
        let (bed, floor) = if case.on_file {
            let bed = Bed::new(file::store(&folder).await?, case.leaves_early).await?;
            (bed, Some(Floor::open(&folder).await?))
        } else {
            (Bed::new(MemoryStore::new(), case.leaves_early).await?, None)
        };
        Ok(Self { bed, floor, _folder: folder })
    }

    async fn round(&mut self, executions: usize) -> Result<(Stopped, Duration)> {
        Ok((self.bed.cancel(executions).await?, commit_and_wake(self.floor.as_mut()).await?))
    }
}

fn run(criterion: &mut Criterion, table: &mut Table, runtime: &Runtime, case: Case) -> Result<()> {
    let Case { on_file, leaves_early, executions } = case;
    let store = if on_file { "SQLite" } else { "memory" };
    let work = if leaves_early { "leaves" } else { "waits" };
    let name = |which: &str| format!("{store}, {executions} executions, execute {work}: {which} stop");
    let mut first = Pair::new(name("first"), None)?;
    let mut last = Pair::new(name("last"), on_file.then_some(2.0))?;
    let mut both = None;
    bench(criterion, &format!("cancel-stop/{store}/{executions}/execute-{work}"), |rounds| {
        let mut sum = Duration::ZERO;
        for _ in 0..rounds {
            let make = move || Both::new(case);
            let (ours, plain) = on_worker(runtime, &mut both, make, move |mut both: Both| async move {
                let taken = both.round(executions).await;
                (both, taken)
            })?;
            first.record(ours.first, plain);
            last.record(ours.last, plain);
            sum += ours.last;
        }
        Ok(sum)
    })?;
    table.pair(&first);
    table.pair(&last);
    if let Some(both) = both {
        runtime.block_on(both.bed.runner.shutdown(LIMIT));
    }
    Ok(())
}

fn main() -> Result<()> {
    let mode = Mode::of_process();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    let mut table =
        Table::new("jobs.cancel() -> the executor's stop, beside a durable commit and a token's wake");
    let runtime = file::runtime()?;
    for on_file in [true, false] {
        for executions in [1, 12] {
            for leaves_early in [false, true] {
                run(&mut criterion, &mut table, &runtime, Case { on_file, leaves_early, executions })?;
            }
        }
    }
    table.print(mode);
    criterion.final_summary();
    Ok(())
}
