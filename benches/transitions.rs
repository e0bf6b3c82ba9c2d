//! The transitions of a job's executions from many callers at once, beside plain commits.

#[path = "support/file.rs"]
mod file;
#[path = "support/measure.rs"]
mod measure;
#[path = "support/node.rs"]
mod node;
#[path = "support/work.rs"]
mod work;

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::store::sqlite::SqliteStore;
use criterion::Criterion;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use file::Floor;
use measure::{Mode, Pair, Result, Table, bench, now};
use node::{Held, Node, Step};
use work::on_worker;

const EXECUTIONS: u32 = 10_000;
/// Executions between two looks at the floor: a whole number for each caller.
const SLICE: usize = 512;
/// Plain commits in one look.
const COMMITS: u32 = 20;

/// Brings executions through their three transitions from so many callers, each with one execution
/// at a time, as attempts do.
async fn callers(node: &Arc<Node<SqliteStore>>, held: &[Held], callers: usize) -> Result<()> {
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    for caller in 0..callers {
        let mine: Vec<Held> = held.iter().skip(caller).step_by(callers).cloned().collect();
        let node = Arc::clone(node);
        tasks.spawn(async move {
            for held in mine {
                for step in Step::ALL {
                    held.step(&node.store, step).await?;
                }
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// A file with a job whose executions wait to be brought through, and its floor.
struct Bed {
    node: Arc<Node<SqliteStore>>,
    floor: Floor,
    waiting: Vec<Held>,
    _folder: TempDir,
}

impl Bed {
    async fn new() -> Result<Self> {
        let folder = file::folder()?;
        let node = Arc::new(Node::on(file::store(&folder).await?).await?);
        let floor = Floor::open(&folder).await?;
        Ok(Self { node, floor, waiting: Vec::new(), _folder: folder })
    }

    /// So many executions of one job.
    async fn take(&mut self, mode: Mode, count: usize) -> Result<Vec<Held>> {
        if self.waiting.len() < count {
            self.node.submit(mode.pick(EXECUTIONS, 1_000)).await?;
            self.waiting = self.node.claim().await?;
        }
        Ok(self.waiting.split_off(self.waiting.len().saturating_sub(count)))
    }

    async fn plain_commit(&mut self) -> Result<Duration> {
        let start = now();
        self.floor.commit().await?;
        Ok(start.elapsed())
    }

    /// Brings a slice of executions through from so many callers.
    async fn crowd_of(&mut self, mode: Mode, count: usize) -> Result<Slice> {
        let held = self.take(mode, SLICE).await?;
        let before = self.node.store.commits();
        let start = now();
        callers(&self.node, &held, count).await?;
        let took = start.elapsed();
        let commits = self.node.store.commits() - before;
        let mut plain = Duration::ZERO;
        for _ in 0..COMMITS {
            plain += self.plain_commit().await?;
        }
        Ok(Slice { took, transitions: held.len() * Step::ALL.len(), commits, plain: plain / COMMITS })
    }

    /// Brings one execution through, and takes a plain commit after each of its transitions.
    async fn one(&mut self, mode: Mode) -> Result<Vec<(Duration, Duration)>> {
        let held = self.take(mode, 1).await?.pop().ok_or("no execution")?;
        let mut taken = Vec::with_capacity(Step::ALL.len());
        for step in Step::ALL {
            let start = now();
            held.step(&self.node.store, step).await?;
            taken.push((start.elapsed(), self.plain_commit().await?));
        }
        Ok(taken)
    }
}

/// What a slice took from many callers.
struct Slice {
    took: Duration,
    transitions: usize,
    commits: u64,
    plain: Duration,
}

/// Many callers at once.
fn crowd(
    criterion: &mut Criterion,
    mode: Mode,
    runtime: &Runtime,
    table: &mut Table,
    count: usize,
) -> Result<()> {
    let mut pair = Pair::new(format!("{count} callers: one transition"), None)?;
    let (mut transitions, mut commits) = (0, 0);
    let mut bed = None;
    bench(criterion, &format!("transitions/{count}-callers"), |rounds| {
        let mut sum = Duration::ZERO;
        for _ in 0..rounds {
            let slice = on_worker(runtime, &mut bed, Bed::new, move |mut bed| async move {
                let slice = bed.crowd_of(mode, count).await;
                (bed, slice)
            })?;
            pair.record(slice.took / u32::try_from(slice.transitions)?, slice.plain);
            transitions += slice.transitions;
            commits += slice.commits;
            sum += slice.took;
        }
        Ok(sum)
    })?;
    if pair.is_empty() {
        return Ok(());
    }
    table.pair(&pair);
    if count == 256 {
        table.least("256 callers: times faster than one commit each", 1.0 / pair.ratio(0.5), Some(5.0));
    }
    let each = transitions as f64 / commits.max(1) as f64;
    let budget = (count >= 64).then_some(30.0);
    table.least(&format!("{count} callers: transitions for each commit"), each, budget);
    Ok(())
}

/// One caller alone: each of its transitions beside a plain commit.
fn alone(criterion: &mut Criterion, mode: Mode, runtime: &Runtime, table: &mut Table) -> Result<()> {
    let mut all = Pair::new("1 caller: one transition", Some(1.3))?;
    let mut each = Vec::new();
    for step in Step::ALL {
        each.push(Pair::new(format!("1 caller: {step:?}"), None)?);
    }
    let mut bed = None;
    bench(criterion, "transitions/1-caller", |rounds| {
        let mut sum = Duration::ZERO;
        for _ in 0..rounds {
            let taken = on_worker(runtime, &mut bed, Bed::new, move |mut bed| async move {
                let taken = bed.one(mode).await;
                (bed, taken)
            })?;
            for ((ours, plain), pair) in taken.into_iter().zip(&mut each) {
                pair.record(ours, plain);
                all.record(ours, plain);
                sum += ours;
            }
        }
        Ok(sum)
    })?;
    table.pair(&all);
    each.iter().for_each(|pair| table.pair(pair));
    Ok(())
}

fn main() -> Result<()> {
    let mode = Mode::of_process();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    let mut table = Table::new("SQLite: start, save and finish of 10 000 executions, beside plain commits");
    let runtime = work::runtime()?;
    alone(&mut criterion, mode, &runtime, &mut table)?;
    for count in [8, 64, 256] {
        crowd(&mut criterion, mode, &runtime, &mut table, count)?;
    }
    table.print(mode);
    criterion.final_summary();
    Ok(())
}
