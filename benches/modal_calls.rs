//! A job's call at Modal beside a bare tonic client that makes the same calls of the same control plane, and what a
//! thousand of them keep on one node.

#[path = "support/file.rs"]
mod file;
#[path = "support/measure.rs"]
mod measure;
#[path = "support/suite.rs"]
mod suite;
#[path = "support/wire.rs"]
mod wire;

use std::alloc::System;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::job::{ExecutionSpec, ExecutionStatus, JobSpec};
use beacon_jobs::runner::{JobRunner, RunnerOptions};
use beacon_jobs::store::{ExecutionPage, MemoryStore};
use beacon_jobs::{JobId, Jobs, Settled};
use beacon_jobs_modal::ModalExecutor;
use beacon_jobs_modal::fake::{self, ControlPlane, Work};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tempfile::TempDir;

use file::Floor;
use measure::{Mode, Pair, Result, now};
use suite::{Setup, Suite};
use wire::Wire;

/// Counts what is asked of the allocator.
#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const APP: &str = "bench";
const FUNCTION: &str = "goes_on";
const LIMIT: Duration = Duration::from_secs(60);
/// At most this much beside the same calls of a bare client, and the commits that the store makes.
const BUDGET: f64 = 1.2;
/// Submit, claim, start, save of the handle.
const COMMITS_TO_BEGIN: usize = 4;
/// Started with this the bench is a control plane, and nothing else.
const PLANE: &str = "BENCH_IS_A_CONTROL_PLANE";

/// What is measured of a call.
#[derive(Clone, Copy)]
enum Part {
    /// From the call of `Jobs::submit` until its input has begun to run.
    Begin,
    /// From the call of `Jobs::cancel` until the control plane has the cancel.
    Cancel,
}

#[derive(Clone, Copy)]
struct Case {
    on_file: bool,
    part: Part,
}

struct Both {
    plane: ControlPlane,
    jobs: Jobs,
    runner: JobRunner,
    wire: Wire,
    /// The memory store makes no commits.
    floor: Option<Floor>,
    _folder: TempDir,
}

async fn begin(jobs: &Jobs) -> Result<JobId> {
    let spec = ExecutionSpec::new("modal", json!({ "app": APP, "function": FUNCTION }));
    Ok(jobs.submit("bench", JobSpec::new([spec])).await?.id)
}

/// Waits until its handle is saved.
async fn runs(jobs: &Jobs, id: &JobId) -> Result<()> {
    loop {
        let job = jobs.get(id, ExecutionPage::ALL).await?.ok_or("the job is gone")?;
        if job.executions.iter().all(|execution| execution.status == ExecutionStatus::Running) {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

fn request() -> CancelRequest {
    CancelRequest::new(Actor::Owner("bench".into())).immediate()
}

async fn runner(jobs: &Jobs, url: &str, most: usize) -> Result<JobRunner> {
    let mut options = RunnerOptions::default();
    (options.max_jobs, options.max_executions) = (most, most);
    let executor = ModalExecutor::new(&fake::config(url))?;
    Ok(JobRunner::builder(jobs).options(options).executor(executor).start().await?)
}

impl Both {
    async fn begun(&self, count: usize) {
        self.plane.until(|plane| plane.begun() >= count).await;
    }

    async fn cancels(&self, count: usize) {
        self.plane.until(|plane| plane.received("FunctionCallCancel") >= count).await;
    }

    async fn ours(&self, part: Part) -> Result<Duration> {
        let (begun, cancels) = (self.plane.begun(), self.plane.received("FunctionCallCancel"));
        let start = now();
        let id = begin(&self.jobs).await?;
        self.begun(begun + 1).await;
        let begin_took = start.elapsed();
        runs(&self.jobs, &id).await?;
        let start = now();
        let request = request();
        let (cancelled, ()) = tokio::join!(self.jobs.cancel(&id, &request), self.cancels(cancels + 1));
        let cancel_took = start.elapsed();
        cancelled?;
        match self.jobs.settled(&id, LIMIT).await? {
            Settled::Yes(_) => {}
            other => return Err(format!("the stop does not end: {other:?}").into()),
        }
        Ok(match part {
            Part::Begin => begin_took,
            Part::Cancel => cancel_took,
        })
    }

    async fn plain(&mut self, part: Part) -> Result<Duration> {
        let (begun, cancels) = (self.plane.begun(), self.plane.received("FunctionCallCancel"));
        let start = now();
        self.commits(COMMITS_TO_BEGIN).await?;
        let call_id = self.wire.begin(APP, FUNCTION).await?;
        self.begun(begun + 1).await;
        let begin_took = start.elapsed();
        let start = now();
        self.commits(1).await?;
        self.wire.cancel(&call_id).await?;
        self.cancels(cancels + 1).await;
        let cancel_took = start.elapsed();
        Ok(match part {
            Part::Begin => begin_took,
            Part::Cancel => cancel_took,
        })
    }

    async fn commits(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            if let Some(floor) = &mut self.floor {
                floor.commit().await?;
            }
        }
        Ok(())
    }
}

impl Setup for Both {
    type Case = Case;
    type Taken = (Duration, Duration);

    async fn new(case: Case) -> Result<Self> {
        let plane = ControlPlane::start().await?;
        plane.deploy(APP, FUNCTION, Work::GoesOn);
        let folder = file::folder()?;
        let (jobs, floor) = if case.on_file {
            (Jobs::new(file::store(&folder).await?), Some(Floor::open(&folder).await?))
        } else {
            (Jobs::new(MemoryStore::new()), None)
        };
        let runner = runner(&jobs, &plane.url(), 64).await?;
        let wire = Wire::connect(&plane.url()).await?;
        Ok(Self { plane, jobs, runner, wire, floor, _folder: folder })
    }

    async fn round(&mut self, case: Case) -> Result<(Duration, Duration)> {
        Ok((self.ours(case.part).await?, self.plain(case.part).await?))
    }

    async fn end(self) -> Result<()> {
        self.runner.shutdown(LIMIT).await;
        Ok(())
    }
}

/// A control plane in a process of its own, so that its memory is not counted here.
struct Plane {
    process: Child,
    url: String,
}

impl Plane {
    fn start() -> Result<Self> {
        let mut process =
            Command::new(std::env::current_exe()?).env(PLANE, "1").stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        let stdout = process.stdout.take().ok_or("the control plane says nothing")?;
        BufReader::new(stdout).read_line(&mut url)?;
        Ok(Self { process, url: url.trim().to_owned() })
    }

    /// How many connections this process has to it.
    fn connections(&self) -> Result<usize> {
        let port: u16 = self.url.rsplit(':').next().unwrap_or_default().parse()?;
        let remote = format!("0100007F:{port:04X}");
        let sockets = std::fs::read_to_string("/proc/net/tcp")?;
        // The third column is where it goes to, the fourth 01 when it is established.
        Ok(sockets
            .lines()
            .filter(|line| {
                let mut columns = line.split_whitespace().skip(2);
                columns.next() == Some(&*remote) && columns.next() == Some("01")
            })
            .count())
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn be_a_plane() -> Result<()> {
    let plane = ControlPlane::start().await?;
    plane.deploy(APP, FUNCTION, Work::GoesOn);
    println!("{}", plane.url());
    std::future::pending().await
}

fn asked() -> usize {
    let stats = MEMORY.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// Bytes for each of so many calls that run, and the connections of them all.
async fn kept(count: usize) -> Result<(f64, usize)> {
    let plane = Plane::start()?;
    let folder = file::folder()?;
    let jobs = Jobs::new(file::store(&folder).await?);
    let runner = runner(&jobs, &plane.url, count).await?;
    let before = asked();
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        ids.push(begin(&jobs).await?);
    }
    for id in &ids {
        runs(&jobs, id).await?;
    }
    let bytes = asked().saturating_sub(before) as f64 / count as f64;
    let connections = plane.connections()?;
    for id in &ids {
        jobs.cancel(id, &request()).await?;
    }
    for id in &ids {
        if !matches!(jobs.settled(id, LIMIT).await?, Settled::Yes(_)) {
            return Err("a stop does not end".into());
        }
    }
    runner.shutdown(LIMIT).await;
    Ok((bytes, connections))
}

fn main() -> Result<()> {
    if std::env::var_os(PLANE).is_some() {
        return suite::runtime()?.block_on(be_a_plane());
    }
    let mut suite = Suite::new(
        "a call at Modal, beside a bare client's same calls and as many durable commits",
        Duration::from_millis(200),
        Duration::from_secs(4),
    )?;
    for (on_file, store) in [(false, "memory"), (true, "SQLite")] {
        for (part, name) in [(Part::Begin, "submit -> runs"), (Part::Cancel, "cancel -> received")] {
            let line = format!("{store}, {name}");
            suite.pair::<Both>(
                &format!("modal/{store}/{name}"),
                Case { on_file, part },
                Pair::new(line, Some(BUDGET))?,
            )?;
        }
    }
    if suite.mode != Mode::List {
        let count = suite.mode.pick(1_000, 10);
        let (bytes, connections) = suite.runtime.block_on(suite.runtime.spawn(kept(count)))??;
        suite.table.figure(&format!("{count} calls that run: bytes for each"), bytes, 1, None);
        suite.table.figure(&format!("{count} calls that run: connections"), connections as f64, 0, Some(4.0));
    }
    suite.end()
}
