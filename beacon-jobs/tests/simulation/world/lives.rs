//! How processes begin, stand still and end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use beacon_jobs::runner::{JobRunner, RunnerOptions};
use beacon_jobs::store::{Heartbeat, JobStore, Signal, SignalSender};
use beacon_jobs::{IncarnationId, Jobs};

use super::super::executor::Remote;
use super::super::faulty_store::FaultyStore;
use super::super::node::{Life, NodeClock, Power};
use super::super::provider::Kind;
use super::super::script::Then;
use super::{Trap, World};

impl World {
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

    pub(super) fn life(&self, node: usize) -> Option<Arc<Life>> {
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

    pub(super) fn crash(&self, life: &Arc<Life>, known: bool) {
        self.log(|| format!("n{} life {} crashes, known {known}", life.node, life.number));
        self.figures(|figures| figures.crashes += 1);
        self.cut_off.store(true, Ordering::Relaxed);
        self.end(life, known);
    }

    pub(super) fn end(&self, life: &Arc<Life>, known: bool) {
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

    pub(super) fn freeze(self: &Arc<Self>, life: &Arc<Life>, time: Duration) {
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
    pub(super) fn start(self: &Arc<Self>, node: usize) {
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

    pub(super) fn drain(self: &Arc<Self>, node: usize, limit: Duration) {
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
}
