//! The transitions of a job's executions from many callers at once, beside plain commits.

#[path = "support/file.rs"]
mod file;
#[path = "support/measure.rs"]
mod measure;
#[path = "support/node.rs"]
mod node;
#[path = "support/suite.rs"]
mod suite;

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::store::sqlite::SqliteStore;
use tempfile::TempDir;
use tokio::task::JoinSet;

use file::Floor;
use measure::{Mode, Pair, Result, now};
use node::{Held, Node, Step};
use suite::{Setup, Suite};

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
}

/// Many callers at once.
struct Crowd(Bed);

/// What a slice took from many callers.
struct Slice {
    took: Duration,
    transitions: u32,
    commits: u64,
    plain: Duration,
}

impl Setup for Crowd {
    type Case = (Mode, usize);
    type Taken = Slice;

    async fn new(_: Self::Case) -> Result<Self> {
        Ok(Self(Bed::new().await?))
    }

    /// Brings a slice of executions through from so many callers.
    async fn round(&mut self, (mode, count): Self::Case) -> Result<Slice> {
        let Self(bed) = self;
        let held = bed.take(mode, SLICE).await?;
        let before = bed.node.store.commits();
        let start = now();
        callers(&bed.node, &held, count).await?;
        let took = start.elapsed();
        let commits = bed.node.store.commits() - before;
        let mut plain = Duration::ZERO;
        for _ in 0..COMMITS {
            plain += bed.plain_commit().await?;
        }
        let transitions = u32::try_from(held.len() * Step::ALL.len())?;
        Ok(Slice { took, transitions, commits, plain: plain / COMMITS })
    }
}

/// One caller alone.
struct Alone(Bed);

impl Setup for Alone {
    type Case = Mode;
    type Taken = Vec<(Duration, Duration)>;

    async fn new(_: Mode) -> Result<Self> {
        Ok(Self(Bed::new().await?))
    }

    /// Brings one execution through, and takes a plain commit after each of its transitions.
    async fn round(&mut self, mode: Mode) -> Result<Self::Taken> {
        let Self(bed) = self;
        let held = bed.take(mode, 1).await?.pop().ok_or("no execution")?;
        let mut taken = Vec::with_capacity(Step::ALL.len());
        for step in Step::ALL {
            let start = now();
            held.step(&bed.node.store, step).await?;
            taken.push((start.elapsed(), bed.plain_commit().await?));
        }
        Ok(taken)
    }
}

fn crowd(suite: &mut Suite, count: usize) -> Result<()> {
    let mut pair = Pair::new(format!("{count} callers: one transition"), None)?;
    let (mut transitions, mut commits) = (0, 0);
    let case = (suite.mode, count);
    suite.rounds::<Crowd>(&format!("transitions/{count}-callers"), case, |slice| {
        pair.record(slice.took / slice.transitions, slice.plain);
        transitions += slice.transitions;
        commits += slice.commits;
        slice.took
    })?;
    if pair.is_empty() {
        return Ok(());
    }
    suite.table.pair(&pair);
    if count == 256 {
        suite.table.least("256 callers: times faster than one commit each", 1.0 / pair.ratio(0.5), Some(5.0));
    }
    let each = f64::from(transitions) / commits.max(1) as f64;
    let budget = (count >= 64).then_some(30.0);
    suite.table.least(&format!("{count} callers: transitions for each commit"), each, budget);
    Ok(())
}

/// One caller alone: each of its transitions beside a plain commit.
fn alone(suite: &mut Suite) -> Result<()> {
    let mut all = Pair::new("1 caller: one transition", Some(1.3))?;
    let mut each = Vec::new();
    for step in Step::ALL {
        each.push(Pair::new(format!("1 caller: {step:?}"), None)?);
    }
    suite.rounds::<Alone>("transitions/1-caller", suite.mode, |taken| {
        for (&(ours, plain), pair) in taken.iter().zip(&mut each) {
            pair.record(ours, plain);
            all.record(ours, plain);
        }
        taken.iter().map(|(ours, _)| ours).sum()
    })?;
    suite.table.pair(&all);
    each.iter().for_each(|pair| suite.table.pair(pair));
    Ok(())
}

fn main() -> Result<()> {
    let mut suite = Suite::new(
        "SQLite: start, save and finish of 10 000 executions, beside plain commits",
        Duration::from_millis(500),
        Duration::from_secs(4),
    )?;
    alone(&mut suite)?;
    for count in [8, 64, 256] {
        crowd(&mut suite, count)?;
    }
    suite.end()
}
