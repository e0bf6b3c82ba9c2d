//! From the call of `jobs.cancel()` until the executor's `stop` is called, beside one durable commit
//! and one token's wake.

#[path = "support/file.rs"]
mod file;
#[path = "support/measure.rs"]
mod measure;
#[path = "support/remote.rs"]
mod remote;
#[path = "support/work.rs"]
mod work;

use std::time::Duration;

use beacon_jobs::store::MemoryStore;
use criterion::Criterion;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use file::Floor;
use measure::{Mode, Pair, Result, Table, bench, now};
use remote::{Bed, LIMIT, Stopped};
use work::on_worker;

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
    let runtime = work::runtime()?;
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
