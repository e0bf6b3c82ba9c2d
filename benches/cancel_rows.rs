//! The cancel of a job of many executions, beside a plain UPDATE of as many rows as it changes.

#[path = "support/file.rs"]
mod file;
#[path = "support/measure.rs"]
mod measure;
#[path = "support/node.rs"]
mod node;
#[path = "support/work.rs"]
mod work;

use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::store::sqlite::SqliteStore;
use criterion::Criterion;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use file::Floor;
use measure::{Mode, Pair, Result, Table, bench, now};
use node::{Node, OWNER};
use work::on_worker;

/// How far the executions are when the cancel comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// None has begun: as many rows change as there are executions.
    Queued,
    /// Each has an attempt with a saved handle: a stop is requested of each as well, a row of its own.
    Running,
}

impl Stage {
    /// How many rows the cancel changes or adds for each execution.
    const fn rows_each(self) -> u32 {
        match self {
            Self::Queued => 1,
            Self::Running => 2,
        }
    }
}

async fn cancel(node: &Node<SqliteStore>, stage: Stage, executions: u32) -> Result<Duration> {
    let id = node.submit(executions).await?;
    // Claimed in both cases, so that no job is left for the next round's claim.
    let held = node.claim().await?;
    if stage == Stage::Running {
        node.run_all(&held).await?;
    }
    let request = CancelRequest::new(Actor::Owner(OWNER.to_owned()));
    let start = now();
    let answer = node.jobs.cancel(&id, &request).await?;
    let took = start.elapsed();
    match answer.outcome {
        CancelOutcome::Cancelled { record, .. } if record.executions_cancelled == u64::from(executions) => {
            Ok(took)
        }
        other => Err(format!("not all was cancelled: {other:?}").into()),
    }
}

async fn update(floor: &mut Floor, rows: u32) -> Result<Duration> {
    let first = floor.fill(rows).await?;
    let start = now();
    floor.update(first, rows).await?;
    Ok(start.elapsed())
}

/// A store and its floor.
struct Bed {
    node: Node<SqliteStore>,
    floor: Floor,
    _folder: TempDir,
}

impl Bed {
    async fn new() -> Result<Self> {
        let folder = file::folder()?;
        Ok(Self {
            node: Node::on(file::store(&folder).await?).await?,
            floor: Floor::open(&folder).await?,
            _folder: folder,
        })
    }

    async fn round(&mut self, stage: Stage, executions: u32) -> Result<(Duration, Duration)> {
        let ours = cancel(&self.node, stage, executions).await?;
        Ok((ours, update(&mut self.floor, executions * stage.rows_each()).await?))
    }
}

fn run(
    criterion: &mut Criterion,
    mode: Mode,
    table: &mut Table,
    runtime: &Runtime,
    (stage, executions): (Stage, u32),
) -> Result<()> {
    let mut pair = Pair::new(format!("{executions} executions, {stage:?}"), Some(2.0))?;
    let name = format!("cancel-rows/{stage:?}/{executions}");
    let executions = mode.pick(executions, executions.min(100));
    let mut bed = None;
    bench(criterion, &name, |rounds| {
        let mut sum = Duration::ZERO;
        for _ in 0..rounds {
            let (ours, plain) = on_worker(runtime, &mut bed, Bed::new, move |mut bed: Bed| async move {
                let taken = bed.round(stage, executions).await;
                (bed, taken)
            })?;
            pair.record(ours, plain);
            sum += ours;
        }
        Ok(sum)
    })?;
    table.pair(&pair);
    Ok(())
}

fn main() -> Result<()> {
    let mode = Mode::of_process();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let mut table =
        Table::new("SQLite: cancel of a job of many executions, beside a plain UPDATE of as many rows");
    let runtime = work::runtime()?;
    for executions in [100, 10_000] {
        for stage in [Stage::Queued, Stage::Running] {
            run(&mut criterion, mode, &mut table, &runtime, (stage, executions))?;
        }
    }
    table.print(mode);
    criterion.final_summary();
    Ok(())
}
