//! What a context costs beside a raw token in a locked map, and how fast a cancel is observed.
//!
//! The population lives in both: so many contexts in the manager, so many tokens in the map, under
//! equal keys.

#[path = "support/measure.rs"]
mod measure;
#[path = "support/observer.rs"]
mod observer;

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use beacon_jobs::cancel::CancelReason;
use beacon_jobs::context::{JobContext, JobContextManager};
use beacon_jobs::{JobId, RandomIds};
use criterion::Criterion;
use tokio_util::sync::CancellationToken;

use measure::{Mode, Pair, Result, Table, timed};
use observer::{Observer, Wait, Watched};

/// Registrations in one timed block: one alone is near the cost of reading the clock.
const BLOCK: usize = 16;
/// Fresh ids, used in turn: so many that their places in a large map are not in the caches.
const SPARE: usize = 1 << 17;
/// Live contexts.
const SIZES: [usize; 4] = [1, 1_000, 100_000, 1_000_000];

/// A plain registry: what one would write without this library.
struct Plain<S>(Mutex<HashMap<JobId, CancellationToken, S>>);

impl<S: BuildHasher + Default> Plain<S> {
    fn new(ids: &[JobId]) -> Self {
        Self(Mutex::new(ids.iter().map(|id| (id.clone(), CancellationToken::new())).collect()))
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, CancellationToken, S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register_and_drop(&self, id: JobId) {
        self.map().insert(id.clone(), CancellationToken::new());
        let removed = self.map().remove(&id);
        drop(removed);
    }
}

/// So many live contexts, and as many tokens in each floor.
struct Population {
    manager: JobContextManager,
    _live: Vec<JobContext>,
    std_hash: Plain<std::hash::RandomState>,
    same_hash: Plain<foldhash::fast::RandomState>,
    spare: Vec<JobId>,
    next: usize,
}

impl Population {
    fn new(live: usize) -> Result<Self> {
        let ids: Vec<JobId> = (0..live).map(|_| JobId::mint(&RandomIds)).collect();
        let manager = JobContextManager::new();
        let mut contexts = Vec::with_capacity(live);
        for id in &ids {
            contexts.push(manager.register(id.clone())?);
        }
        Ok(Self {
            manager,
            _live: contexts,
            std_hash: Plain::new(&ids),
            same_hash: Plain::new(&ids),
            spare: (0..SPARE).map(|_| JobId::mint(&RandomIds)).collect(),
            next: 0,
        })
    }

    fn block(&mut self) -> Vec<JobId> {
        let start = self.next;
        self.next = (self.next + BLOCK) % SPARE;
        self.spare[start..start + BLOCK].to_vec()
    }

    /// Registers and drops a block of contexts.
    fn ours(&mut self) -> Duration {
        let ids = self.block();
        per_call(timed(|| ids.into_iter().for_each(|id| drop(black_box(self.manager.register(id))))).0)
    }

    fn plain<S: BuildHasher + Default>(&mut self, floor: impl Fn(&Self) -> &Plain<S>) -> Duration {
        let ids = self.block();
        let floor = floor(self);
        per_call(timed(|| ids.into_iter().for_each(|id| floor.register_and_drop(id))).0)
    }
}

fn per_call(block: Duration) -> Duration {
    block / u32::try_from(BLOCK).unwrap_or(u32::MAX)
}

/// Registers and drops at this population, beside both floors.
fn register(criterion: &mut Criterion, mode: Mode, live: usize, table: &mut Table) -> Result<()> {
    let budget = if live > 1000 { 1.5 } else { 2.0 };
    let mut plain = Pair::new(format!("register+drop, {live} live, plain map"), Some(budget))?;
    let mut same = Pair::new(format!("register+drop, {live} live, same hasher"), Some(budget))?;
    let population =
        std::cell::LazyCell::new(|| Population::new(mode.pick(live, live.min(1000))).map(RefCell::new));
    criterion.bench_function(&format!("register+drop/{live}"), |bencher| {
        bencher.iter_custom(|rounds| {
            let Ok(population) = &*population else { return Duration::ZERO };
            let mut population = population.borrow_mut();
            let mut sum = Duration::ZERO;
            for _ in 0..rounds {
                let ours = population.ours();
                plain.record(ours, population.plain(|all| &all.std_hash));
                let again = population.ours();
                same.record(again, population.plain(|all| &all.same_hash));
                sum += ours;
            }
            sum
        });
    });
    table.pair(&plain);
    table.pair(&same);
    Ok(())
}

/// Cancels a context at this population, and a raw token, each watched by another thread.
fn observe(
    criterion: &mut Criterion,
    mode: Mode,
    live: usize,
    wait: Wait,
    budget: Option<f64>,
) -> Result<Pair> {
    let mut pair = Pair::new(format!("cancel -> observed ({wait}), {live} live"), budget)?;
    let setup = std::cell::LazyCell::new(|| {
        let population = Population::new(mode.pick(live, live.min(1000)))?;
        Result::Ok(RefCell::new((population, Observer::start(wait))))
    });
    criterion.bench_function(&format!("cancel-observed-{wait}/{live}"), |bencher| {
        bencher.iter_custom(|rounds| {
            let Ok(setup) = &*setup else { return Duration::ZERO };
            let (population, observer) = &mut *setup.borrow_mut();
            let mut sum = Duration::ZERO;
            for round in 0..rounds {
                let id = population.spare[usize::try_from(round).unwrap_or_default() % SPARE].clone();
                let reason = CancelReason::requested("bench");
                let Ok(context) = population.manager.register(id.clone()) else { continue };
                let ours = observer.time(Watched::Context(context), || {
                    population.manager.cancel(&id, reason);
                });
                let token = CancellationToken::new();
                let raw = observer.time(Watched::Token(token.clone()), || token.cancel());
                pair.record(ours, raw);
                sum += ours;
            }
            sum
        });
    });
    Ok(pair)
}

fn main() -> Result<()> {
    let mode = Mode::of_process();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut table = Table::new("Contexts: speed");
    for live in SIZES {
        register(&mut criterion, mode, live, &mut table)?;
    }
    for (wait, budget) in [(Wait::Parked, Some(1.25)), (Wait::Spinning, None)] {
        let mut pairs = Vec::new();
        for live in SIZES {
            pairs.push(observe(&mut criterion, mode, live, wait, budget)?);
        }
        let ratios: Vec<f64> = pairs.iter().map(|pair| pair.ratio(0.5)).collect();
        pairs.iter().for_each(|pair| table.pair(pair));
        // Of ratios, so that the machine's mood between two sizes falls out: the floor knows no size.
        let most = ratios.iter().copied().fold(f64::MIN, f64::max);
        let least = ratios.iter().copied().fold(f64::MAX, f64::min);
        let flat = budget.map(|_| 1.5);
        table.figure(&format!("cancel -> observed ({wait}), slowest size / fastest"), most / least, 2, flat);
    }
    table.print(mode);
    criterion.final_summary();
    Ok(())
}
