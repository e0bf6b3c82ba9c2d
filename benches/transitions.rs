//! The transitions of a job's executions from many callers at once, beside plain commits.

#[path = "support/file.rs"]
mod file;
#[path = "support/measure.rs"]
mod measure;
#[path = "support/node.rs"]
mod node;

use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use file::Floor;
use measure::{Mode, Pair, Result, Table, bench, now};
use node::{Held, Node, Step};

const EXECUTIONS: u32 = 10_000;
/// Executions between two looks at the floor.
const SLICE: usize = 500;
/// Plain commits in one look.
const COMMITS: u32 = 20;

/// Brings executions through their three transitions from so many callers, each with one execution
/// at a time, as attempts do.
async fn callers(node: &Arc<Node>, held: &[Held], callers: usize) -> Result<()> {
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

/// What so many callers reached.
struct Crowd {
    /// Nanoseconds for each transition.
    ours: Pair,
    transitions: u64,
    commits: u64,
}

fn crowd(runtime: &Runtime, mode: Mode, count: usize) -> Result<Crowd> {
    let folder = file::folder()?;
    let mut ours = Pair::new(format!("{count} callers: one transition"), None)?;
    runtime.block_on(async {
        let node = Arc::new(Node::new(&folder).await?);
        let mut floor = Floor::open(&folder).await?;
        node.submit(mode.pick(EXECUTIONS, 1_000)).await?;
        let held = node.claim().await?;
        let before = node.store.commits();
        for slice in held.chunks(SLICE.max(count)) {
            let start = now();
            callers(&node, slice, count).await?;
            let took = start.elapsed() / u32::try_from(slice.len() * Step::ALL.len())?;
            let start = now();
            for _ in 0..COMMITS {
                floor.commit().await?;
            }
            ours.record(took, start.elapsed() / COMMITS);
        }
        let transitions = u64::try_from(held.len() * Step::ALL.len())?;
        Ok(Crowd { ours, transitions, commits: node.store.commits() - before })
    })
}

/// One caller alone: each of its transitions beside a plain commit.
fn alone(criterion: &mut Criterion, table: &mut Table) -> Result<()> {
    let runtime = file::runtime()?;
    let folder = file::folder()?;
    let mut all = Pair::new("1 caller: one transition", Some(1.3))?;
    let mut each = Vec::new();
    for step in Step::ALL {
        each.push(Pair::new(format!("1 caller: {step:?}"), None)?);
    }
    let mut made: Option<(Node, Floor)> = None;
    let mut waiting: Vec<Held> = Vec::new();
    bench(criterion, "transitions/alone", |rounds| {
        runtime.block_on(async {
            if made.is_none() {
                made = Some((Node::new(&folder).await?, Floor::open(&folder).await?));
            }
            let (node, floor) = made.as_mut().ok_or("no file")?;
            let mut sum = Duration::ZERO;
            for _ in 0..rounds {
                if waiting.is_empty() {
                    node.submit(1_000).await?;
                    waiting = node.claim().await?;
                }
                let held = waiting.pop().ok_or("no execution")?;
                for (step, pair) in Step::ALL.into_iter().zip(&mut each) {
                    let start = now();
                    held.step(&node.store, step).await?;
                    let ours = start.elapsed();
                    let start = now();
                    floor.commit().await?;
                    let plain = start.elapsed();
                    pair.record(ours, plain);
                    all.record(ours, plain);
                    sum += ours;
                }
            }
            Ok(sum)
        })
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
        .measurement_time(Duration::from_secs(8))
        .configure_from_args();
    let mut table = Table::new("SQLite: start, save and finish of 10 000 executions, beside plain commits");
    alone(&mut criterion, &mut table)?;
    let runtime = file::runtime()?;
    let crowds: &[usize] = match mode {
        Mode::List => &[],
        Mode::Smoke => &[64],
        Mode::Full => &[8, 64, 256],
    };
    for &count in crowds {
        let Crowd { ours, transitions, commits } = crowd(&runtime, mode, count)?;
        table.pair(&ours);
        if count == 256 {
            table.least("256 callers: times faster than one commit each", 1.0 / ours.ratio(0.5), Some(5.0));
        }
        let budget = (count >= 64).then_some(30.0);
        let each = transitions as f64 / commits.max(1) as f64;
        table.least(&format!("{count} callers: transitions for each commit"), each, budget);
    }
    table.print(mode);
    criterion.final_summary();
    Ok(())
}
