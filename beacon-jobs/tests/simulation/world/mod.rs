//! The world of one seed: nodes on one store, a provider, and the script that plays.

mod doors;
mod healing;
mod lives;

use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use beacon_jobs::AttemptId;
use beacon_jobs::store::MemoryStore;

use super::checks::Truth;
use super::log::{Figures, Log};
use super::mutations::Break;
use super::node::{Life, Names, Power, WorldClock};
use super::provider::Provider;
use super::rng::Rng;
use super::script::{Faults, Script, Step, Then};

/// A promise that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub check: &'static str,
    pub what: String,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    pub violation: Option<Violation>,
    pub log: Vec<String>,
    pub figures: Figures,
}

struct Trap {
    node: usize,
    call: &'static str,
    before: bool,
    then: Then,
}

#[derive(Debug)]
struct Weather {
    rng: Rng,
    faults: Faults,
    store_away_until: Duration,
    provider_away_until: Duration,
}

pub struct World {
    pub clock: WorldClock,
    pub store: MemoryStore,
    pub provider: Provider,
    pub truth: Mutex<Truth>,
    pub broken: Option<Break>,
    /// Nothing goes wrong any more.
    pub healed: AtomicBool,
    /// Some process has not ended by its own will: what it was doing stays where it is.
    cut_off: AtomicBool,
    pub log: Log,
    pub script: Script,
    weather: Mutex<Weather>,
    traps: Mutex<Vec<Trap>>,
    slots: Mutex<Vec<Option<Arc<Life>>>>,
    /// Processes that have ended, kept so that nothing of them is dropped: a crash runs no code.
    ended: Mutex<Vec<Arc<Life>>>,
    gone: Mutex<BTreeSet<u64>>,
    names: Names,
    lives_begun: AtomicU64,
    figures: Mutex<Figures>,
    violation: Mutex<Option<Violation>>,
}

impl Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

/// The short name of an attempt.
pub fn short(attempt: AttemptId) -> String {
    format!("a{}", attempt.as_uuid().as_u128())
}

/// Plays one seed.
pub fn simulate(seed: u64, broken: Option<Break>, keep_log: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread");
    let (world, violation) = runtime.block_on(async {
        let clock = WorldClock::new();
        let script = Script::of(seed);
        let world = Arc::new(World {
            clock,
            store: MemoryStore::with_clock(Arc::new(clock)),
            provider: Provider::default(),
            truth: Mutex::default(),
            broken,
            healed: AtomicBool::new(false),
            cut_off: AtomicBool::new(false),
            log: Log::new(keep_log),
            weather: Mutex::new(Weather {
                rng: Rng::new(!seed),
                faults: script.faults,
                store_away_until: Duration::ZERO,
                provider_away_until: Duration::ZERO,
            }),
            traps: Mutex::default(),
            slots: Mutex::new(vec![None; script.nodes]),
            ended: Mutex::default(),
            gone: Mutex::default(),
            names: Names::default(),
            lives_begun: AtomicU64::new(0),
            figures: Mutex::new(Figures { seeds: 1, ..Figures::default() }),
            violation: Mutex::default(),
            script,
        });
        beacon_jobs::mutation::set_broken(world.switch());
        let violation = world.play().await.err();
        (world, violation)
    });
    drop(runtime);
    beacon_jobs::mutation::set_broken(None);
    // Nodes hold the world, and the world holds them.
    world.slots.lock().unwrap().clear();
    world.ended.lock().unwrap().clear();
    let figures = *world.figures.lock().unwrap();
    Outcome { violation, log: world.log.take(), figures }
}

impl World {
    /// A promise does not hold. The first one found is the one that is told.
    pub fn violate(&self, check: &'static str, what: impl FnOnce() -> String) {
        let mut violation = self.violation.lock().unwrap();
        if violation.is_none() {
            let what = what();
            self.log(|| format!("VIOLATED {check}: {what}"));
            *violation = Some(Violation { check, what });
        }
    }

    pub fn figures(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.figures.lock().unwrap());
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap()
    }

    /// Draws from the one source of chance. Told besides: how often what goes wrong, and whether the
    /// provider is away.
    pub fn chance<T>(&self, draw: impl FnOnce(&mut Rng, &Faults, bool) -> T) -> T {
        let away = self.clock.elapsed();
        let mut weather = self.weather();
        let away = away < weather.provider_away_until;
        let faults = weather.faults;
        draw(&mut weather.rng, &faults, away)
    }

    pub fn store_is_away(&self) -> bool {
        self.clock.elapsed() < self.weather().store_away_until
    }

    pub fn fault(&self, what: impl FnOnce() -> String, fault: &dyn Debug) {
        self.figures(|figures| figures.faults += 1);
        self.log(|| format!("{}: {fault:?}", what()));
    }

    fn fails(&self) -> Result<(), Violation> {
        self.violation.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    async fn play(self: &Arc<Self>) -> Result<(), Violation> {
        for node in 0..self.script.nodes {
            self.start(node);
        }
        for (at, step) in &self.script.steps {
            tokio::time::sleep(at.saturating_sub(self.clock.elapsed())).await;
            self.fails()?;
            self.step(step);
        }
        tokio::time::sleep(Duration::from_millis(self.chance(|rng, _, _| rng.within(0, 10_000)))).await;
        self.fails()?;
        self.heal().await?;
        self.check_record().await;
        self.fails()?;
        self.close().await;
        self.fails()
    }

    fn step(self: &Arc<Self>, step: &Step) {
        match step.clone() {
            Step::Submit { node, owner, spec } => {
                tokio::spawn(Arc::clone(self).submit(node, owner, *spec));
            }
            Step::Cancel { node, job, many, by, grace } => {
                let jobs = if many { vec![job, job + 2] } else { vec![job] };
                tokio::spawn(Arc::clone(self).cancel(node, jobs, by, grace));
            }
            Step::Crash { node, known } => {
                if let Some(life) = self.life(node) {
                    self.crash(&life, known);
                }
            }
            Step::Freeze { node, time } => {
                if let Some(life) = self.life(node).filter(|life| life.power() == Power::Up) {
                    self.freeze(&life, time);
                }
            }
            Step::Restart { node } => self.start(node),
            Step::Drain { node, limit } => self.drain(node, limit),
            Step::Trap { node, call, before, then } => {
                self.traps.lock().unwrap().push(Trap { node, call, before, then });
            }
            Step::StoreAway { time } => {
                self.log(|| format!("the store is away for {time:?}"));
                self.weather().store_away_until = self.clock.elapsed() + time;
            }
            Step::ProviderAway { time } => {
                self.log(|| format!("the provider is away for {time:?}"));
                self.weather().provider_away_until = self.clock.elapsed() + time;
            }
        }
    }
}
