//! The world of one seed: nodes on one store, a provider, and the script that plays.

use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::job::JobSpec;
use beacon_jobs::runner::{JobRunner, RunnerOptions};
use beacon_jobs::store::{Heartbeat, JobStore, MemoryStore, Signal, SignalSender};
use beacon_jobs::{AttemptId, ErrorKind, IncarnationId, JobId, Jobs};

use super::checks::Truth;
use super::executor::Remote;
use super::faulty_store::FaultyStore;
use super::log::{Figures, Log};
use super::mutations::Break;
use super::node::{Life, Names, NodeClock, Power, WorldClock};
use super::provider::{Kind, Provider};
use super::rng::Rng;
use super::script::{By, Faults, OWNERS, Script, Step, Then};

/// Everything heals within this time.
const HEALING: Duration = Duration::from_secs(1_500);

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

    /// A call of a node begins or ends: here it can be caught.
    pub async fn pass(self: &Arc<Self>, life: &Arc<Life>, call: &'static str, before: bool) {
        self.catch(life, call, before);
        life.gate().await;
    }

    /// Catches a node if there is a trap for it here.
    pub fn catch(self: &Arc<Self>, life: &Arc<Life>, call: &'static str, before: bool) {
        let sprung = {
            let mut traps = self.traps.lock().unwrap();
            let fits = |trap: &Trap| {
                (trap.node, trap.call, trap.before) == (life.node, call, before) && life.power() == Power::Up
            };
            traps.iter().position(fits).map(|place| traps.remove(place))
        };
        if let Some(trap) = sprung {
            let when = if before { "before" } else { "after" };
            self.log(|| format!("n{} is caught {when} {call}", life.node));
            match trap.then {
                Then::Crash { known } => self.crash(life, known),
                Then::Freeze { time } => self.freeze(life, time),
            }
        }
    }

    pub fn lives(&self) -> Vec<Arc<Life>> {
        self.slots.lock().unwrap().iter().flatten().cloned().collect()
    }

    fn life(&self, node: usize) -> Option<Arc<Life>> {
        self.slots.lock().unwrap()[node % self.script.nodes].clone()
    }

    pub fn joined(&self, life: &Life, incarnation: IncarnationId) {
        self.log(|| format!("n{} life {} joins as {incarnation}", life.node, life.number));
        self.truth.lock().unwrap().incarnations.insert(incarnation, life.number);
    }

    pub fn beat(&self, life: &Life, incarnation: IncarnationId, beat: Heartbeat) {
        if beat == Heartbeat::Lost {
            self.log(|| format!("n{} has lost the lease of {incarnation}", life.node));
            self.figures(|figures| figures.lost_leases += 1);
        }
    }

    /// The incarnations whose process can be seen to be gone.
    pub fn known_gone(&self) -> BTreeSet<IncarnationId> {
        let gone = self.gone.lock().unwrap();
        if gone.is_empty() {
            return BTreeSet::new();
        }
        let truth = self.truth.lock().unwrap();
        truth.incarnations.iter().filter(|(_, life)| gone.contains(life)).map(|(id, _)| *id).collect()
    }

    fn crash(&self, life: &Arc<Life>, known: bool) {
        self.log(|| format!("n{} life {} crashes, known {known}", life.node, life.number));
        self.figures(|figures| figures.crashes += 1);
        self.cut_off.store(true, Ordering::Relaxed);
        self.end(life, known);
    }

    fn end(&self, life: &Arc<Life>, known: bool) {
        life.set_power(Power::Crashed);
        if known {
            self.gone.lock().unwrap().insert(life.number);
        }
        self.leave(life);
        self.ended.lock().unwrap().push(Arc::clone(life));
    }

    fn leave(&self, life: &Life) {
        let mut slots = self.slots.lock().unwrap();
        if slots[life.node].as_ref().is_some_and(|other| other.number == life.number) {
            slots[life.node] = None;
        }
    }

    fn freeze(self: &Arc<Self>, life: &Arc<Life>, time: Duration) {
        self.log(|| format!("n{} freezes for {time:?}", life.node));
        self.figures(|figures| figures.freezes += 1);
        life.set_power(Power::Frozen);
        let (world, life) = (Arc::clone(self), Arc::clone(life));
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            if life.power() == Power::Frozen {
                world.log(|| format!("n{} thaws", life.node));
                life.set_power(Power::Up);
            }
        });
    }

    /// Starts a process in an empty slot, again and again until it has entered the store.
    fn start(self: &Arc<Self>, node: usize) {
        if self.life(node).is_some() {
            return;
        }
        let number = self.lives_begun.fetch_add(1, Ordering::Relaxed);
        let life = Arc::new(Life::new(node, number));
        self.slots.lock().unwrap()[node] = Some(Arc::clone(&life));
        self.log(|| format!("n{node} life {number} starts"));
        let ahead = self.script.ahead[node];
        let signals = SignalSender::new();
        tokio::spawn(Arc::clone(self).pass_signals_on(Arc::clone(&life), signals.clone()));
        let store = FaultyStore { world: Arc::clone(self), life: Arc::clone(&life), signals };
        let jobs = Jobs::builder(store)
            .clock(Arc::new(NodeClock { life: Arc::clone(&life), clock: self.clock, ahead }))
            .ids(Arc::new(self.names.clone()))
            .poll(self.script.poll)
            .build();
        *life.jobs.lock().unwrap() = Some(jobs.clone());
        let mut options = RunnerOptions::default();
        options.node_name = format!("n{node}");
        options.lease = self.script.lease;
        options.poll = self.script.poll;
        options.max_executions = self.script.max_executions;
        options.settle_limit = Duration::from_secs(8);
        options.stop_call_limit = Duration::from_secs(6);
        options.max_stop_pause = Duration::from_secs(5);
        options.keep = None;
        let mut builder = JobRunner::builder(&jobs).options(options);
        for kind in Kind::ALL {
            builder = builder.executor(Remote { world: Arc::clone(self), life: Arc::clone(&life), kind });
        }
        let world = Arc::clone(self);
        tokio::spawn(async move {
            match builder.start().await {
                Ok(runner) => *life.runner.lock().unwrap() = Some(runner),
                Err(error) => {
                    world.log(|| format!("n{node} does not start: {error}"));
                    world.cut_off.store(true, Ordering::Relaxed);
                    world.end(&life, true);
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    world.start(node);
                }
            }
        });
    }

    /// Passes the store's hints on to one node, or loses, repeats or delays them.
    async fn pass_signals_on(self: Arc<Self>, life: Arc<Life>, to: SignalSender) {
        let mut signals = self.store.signals();
        loop {
            let signal = tokio::select! {
                biased;
                () = life.crashed() => return,
                signal = signals.next() => signal,
            };
            let (lost, twice, late) = self.chance(|rng, faults, _| {
                let late = rng.percent(faults.signal_late).then(|| rng.millis(0, 3_000));
                (rng.percent(faults.signal_lost), rng.percent(faults.signal_twice), late)
            });
            if lost && signal != Signal::Missed {
                continue;
            }
            for _ in 0..=u8::from(twice) {
                match late {
                    None => to.send(signal.clone()),
                    Some(time) => {
                        let (to, signal) = (to.clone(), signal.clone());
                        tokio::spawn(async move {
                            tokio::time::sleep(time).await;
                            to.send(signal);
                        });
                    }
                }
            }
        }
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

    fn drain(self: &Arc<Self>, node: usize, limit: Duration) {
        let Some(life) = self.life(node) else { return };
        let Some(runner) = life.runner.lock().unwrap().take() else { return };
        self.log(|| format!("n{node} drains for {limit:?}"));
        self.figures(|figures| figures.drains += 1);
        let world = Arc::clone(self);
        tokio::spawn(async move {
            let report = runner.shutdown(limit).await;
            world.log(|| format!("n{node} is drained: {report:?}"));
            if report.unsettled + report.open_stops > 0 {
                world.cut_off.store(true, Ordering::Relaxed);
            } else {
                // What a stop brought last may still be on its way to the store.
                world.leave(&life);
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            world.end(&life, true);
        });
    }

    /// A node that is up, this one rather than another.
    async fn door(&self, node: usize) -> (Arc<Life>, Jobs) {
        loop {
            let near = (0..self.script.nodes).filter_map(|next| self.life(node + next));
            if let Some(life) = near.into_iter().find(|life| life.power() == Power::Up)
                && let Some(jobs) = life.jobs()
            {
                return (life, jobs);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn submit(self: Arc<Self>, node: usize, owner: &'static str, spec: JobSpec) {
        if let Some(id) = &spec.id {
            let as_asked = (owner.to_owned(), spec.clone());
            self.truth.lock().unwrap().specs.insert(id.clone(), as_asked);
        }
        for next in node.. {
            let (life, jobs) = self.door(next).await;
            let answer = tokio::select! {
                biased;
                () = life.crashed() => continue,
                answer = jobs.submit(owner, spec.clone()) => answer,
            };
            match answer {
                Ok(_) => return,
                Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(error) => {
                    return self.violate("P7 a job may be submitted again", || error.to_string());
                }
            }
        }
    }

    /// Cancels jobs of one owner.
    async fn cancel(self: Arc<Self>, node: usize, of: Vec<usize>, by: By, grace: Option<Duration>) {
        let ids: Vec<_> = of.iter().map(|job| JobId::new(format!("job-{job}")).unwrap()).collect();
        let owner = OWNERS[of[0] % 2];
        let actor = match by {
            By::Owner => Actor::Owner(owner.to_owned()),
            By::Admin => Actor::Admin("root".to_owned()),
            By::Stranger => Actor::Owner("mallory".to_owned()),
        };
        let reason = format!("request {}", self.figures.lock().unwrap().cancels);
        self.figures(|figures| figures.cancels += 1);
        let request = CancelRequest::new(actor).with_reason(reason);
        let request = match grace {
            Some(grace) => request.with_grace(grace),
            None => request.immediate(),
        };
        if by != By::Stranger {
            let asked =
                ids.iter().map(|id| (id.clone(), request.by.name().to_owned(), request.reason.clone()));
            self.truth.lock().unwrap().requests.extend(asked);
        }
        for next in node..node + 3 {
            let (life, jobs) = self.door(next).await;
            let call = async {
                match &ids[..] {
                    [id] => jobs.cancel(id, &request).await.map(|answer| vec![answer]),
                    ids => jobs.cancel_many(ids, &request).await,
                }
            };
            let answers = tokio::select! {
                biased;
                () = life.crashed() => continue,
                answers = call => answers,
            };
            self.log(|| format!("cancel of {ids:?} by {:?} at n{}: {answers:?}", request.by, life.node));
            match answers {
                Ok(answers) => {
                    let cancelled = ids.into_iter().zip(answers).filter(|(_, answer)| {
                        matches!(
                            answer.outcome,
                            CancelOutcome::Cancelled { .. } | CancelOutcome::AlreadyCancelled { .. }
                        )
                    });
                    self.truth.lock().unwrap().acknowledged.extend(cancelled.map(|(id, _)| id));
                    return;
                }
                Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::OutcomeUnknown) => {}
                Err(error) => return self.violate("P2 a cancel is answered", || error.to_string()),
            }
        }
    }

    /// Everything that was wrong is over, and after a while all is settled.
    async fn heal(self: &Arc<Self>) -> Result<(), Violation> {
        self.log(|| "everything heals".to_owned());
        self.healed.store(true, Ordering::Relaxed);
        self.traps.lock().unwrap().clear();
        {
            let mut weather = self.weather();
            weather.faults = Faults::default();
            weather.store_away_until = Duration::ZERO;
            weather.provider_away_until = Duration::ZERO;
        }
        for object in self.provider.objects.lock().unwrap().values_mut() {
            object.ignores = false;
        }
        for life in self.lives() {
            life.set_power(Power::Up);
        }
        let deadline = self.clock.elapsed() + HEALING;
        let mut quiet = 0;
        while quiet < 3 {
            for node in 0..self.script.nodes {
                self.start(node);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.tick();
            self.fails()?;
            let left = self.unsettled();
            quiet = if left.is_none() { quiet + 1 } else { 0 };
            if let Some(left) = left.filter(|_| self.clock.elapsed() > deadline) {
                self.violate("P7 everything ends after healing", || left);
            }
        }
        let let_off = self.truth.lock().unwrap().let_off.len() as u64;
        self.figures(|figures| figures.let_off += let_off);
        Ok(())
    }

    /// Ends all nodes, and looks whether anything is left of them.
    async fn close(self: &Arc<Self>) {
        for life in self.lives() {
            let runner = life.runner.lock().unwrap().take();
            let Some(runner) = runner else { continue };
            let report = runner.shutdown(Duration::from_secs(60)).await;
            let contexts = life.jobs().map_or(0, |jobs| jobs.contexts().count());
            if report.interrupted + report.unsettled + report.open_stops + contexts > 0 {
                self.violate("P10 nothing is left", || format!("n{}: {report:?} {contexts}", life.node));
            }
        }
        // Whatever is still on its way arrives.
        tokio::time::sleep(Duration::from_secs(120)).await;
        for life in self.lives() {
            self.end(&life, true);
        }
        // The readers of signals end with their nodes.
        tokio::task::yield_now().await;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if tasks > 0 && !self.cut_off.load(Ordering::Relaxed) {
            self.violate("P10 nothing is left", || format!("{tasks} tasks"));
        }
    }
}
