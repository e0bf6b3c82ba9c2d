//! What a context costs beside a raw token in a locked map, and how fast a cancel is observed.
//!
//! The population lives in both: so many contexts in the manager, so many tokens in the map, under
//! equal keys.

#[path = "support/measure.rs"]
mod measure;
#[path = "support/observer.rs"]
mod observer;

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

use measure::{Mode, Pair, Result, Table, bench, timed};
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

    /// The population of a bench, made when its first round comes.
    fn once(made: &mut Option<Self>, mode: Mode, live: usize) -> Result<&mut Self> {
        if made.is_none() {
            *made = Some(Self::new(mode.pick(live, live.min(1_000)))?);
        }
        made.as_mut().ok_or_else(|| "no population".into())
    }

    fn next_id(&mut self) -> JobId {
        self.next = (self.next + 1) % SPARE;
        self.spare[self.next].clone()
    }

    fn block(&mut self) -> Vec<JobId> {
        (0..BLOCK).map(|_| self.next_id()).collect()
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
    let budget = Some(if live > 1000 { 1.5 } else { 2.0 });
    let mut plain = Pair::new(format!("register+drop, {live} live, plain map"), budget)?;
    let mut same = Pair::new(format!("register+drop, {live} live, plain map, same hasher"), budget)?;
    let mut population = None;
    bench(criterion, &format!("register+drop/{live}"), |rounds| {
        let population = Population::once(&mut population, mode, live)?;
        let mut sum = Duration::ZERO;
        for _ in 0..rounds {
            let ours = population.ours();
            plain.record(ours, population.plain(|all| &all.std_hash));
            same.record(population.ours(), population.plain(|all| &all.same_hash));
            sum += ours;
        }
        Ok(sum)
    })?;
    table.pair(&plain);
    table.pair(&same);
    Ok(())
}

/// Cancels a context at this population, and a raw token, each watched by another thread.
fn observe(criterion: &mut Criterion, mode: Mode, live: usize, wait: Wait) -> Result<Pair> {
    let budget = (wait == Wait::Parked).then_some(1.25);
    let mut pair = Pair::new(format!("cancel -> observed ({wait}), {live} live"), budget)?;
    let mut population = None;
    let observer = Observer::start(wait);
    bench(criterion, &format!("cancel-observed-{wait}/{live}"), |rounds| {
        let population = Population::once(&mut population, mode, live)?;
        let mut sum = Duration::ZERO;
        for _ in 0..rounds {
            let id = population.next_id();
            let reason = CancelReason::requested("bench");
            let context = population.manager.register(id.clone())?;
            let ours = observer.time(Watched::Context(context), || {
                population.manager.cancel(&id, reason);
            })?;
            let token = CancellationToken::new();
            let raw = observer.time(Watched::Token(token.clone()), || token.cancel())?;
            pair.record(ours, raw);
            sum += ours;
        }
        Ok(sum)
    })?;
    Ok(pair)
}

/// How much slower the slowest size is than the fastest. Of ratios, so that the machine's mood between
/// two sizes falls out: the floor knows no size.
fn flatness(pairs: &[Pair]) -> Option<f64> {
    let ratios = pairs.iter().filter(|pair| !pair.is_empty()).map(|pair| pair.ratio(0.5));
    let (least, most) =
        ratios.fold((f64::MAX, 0.0), |(least, most), ratio| (ratio.min(least), ratio.max(most)));
    (most > 0.0).then_some(most / least)
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
    for wait in [Wait::Parked, Wait::Spinning] {
        let mut pairs = Vec::new();
        for live in SIZES {
            pairs.push(observe(&mut criterion, mode, live, wait)?);
        }
        pairs.iter().for_each(|pair| table.pair(pair));
        if let Some(flatness) = flatness(&pairs) {
            let budget = (wait == Wait::Parked).then_some(1.5);
            table.figure(
                &format!("cancel -> observed ({wait}), slowest size / fastest"),
                flatness,
                2,
                budget,
            );
        }
    }
    table.print(mode);
    criterion.final_summary();
    Ok(())
}
