//! All work that was ever asked for, and what happened to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::{IdSource, JobId, RandomIds};
use serde_json::json;
use tokio::sync::watch;

use crate::wire::{Caller, Create, Entry, Event, Faults, Look, State, WhenTold, Work, micros};

/// Who did what work did by itself.
fn itself() -> Caller {
    Caller { name: "itself".to_owned(), asked: None }
}

/// The work of one server. It goes on whether anybody asks for it or not, as long as the runtime.
#[derive(Debug)]
pub struct Floor {
    name: String,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pieces: Vec<Piece>,
    log: Vec<Entry>,
    /// About all executions.
    faults: Faults,
    /// About one, as its first attempt told them.
    faults_of: HashMap<(JobId, u32), Faults>,
    /// Work that goes on until it is ended comes to its end by itself.
    completing: bool,
}

#[derive(Debug)]
struct Piece {
    order: Create,
    told: bool,
    ending: bool,
    begun: bool,
    since: i64,
    state: watch::Sender<State>,
}

impl Floor {
    /// An empty one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { name: RandomIds.uuid().to_string(), inner: Mutex::default() })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many pieces of work compute right now.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.inner().pieces.iter().filter(|piece| *piece.state.borrow() == State::Alive).count()
    }

    /// How many pieces of work have ever begun.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.inner().pieces.iter().filter(|piece| piece.begun).count()
    }

    /// What happened so far, in its order.
    #[must_use]
    pub fn log(&self) -> Vec<Entry> {
        self.inner().log.clone()
    }

    /// Misbehaves like this about all executions from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.inner().faults = faults;
    }

    /// Misbehaves like this about one execution from now on.
    pub fn set_faults_of(&self, job: JobId, index: u32, faults: Faults) {
        self.inner().faults_of.insert((job, index), faults);
    }

    /// Lets all work that goes on come to its end by itself, and what begins later too.
    pub fn complete(&self) {
        let mut inner = self.inner();
        inner.completing = true;
        for number in 0..inner.pieces.len() {
            inner.complete(number);
        }
    }

    /// Counts one call down where a fault is left for it: first of its execution, then of all.
    pub(crate) fn strikes(&self, work: &Place, fault: impl Fn(&mut Faults) -> &mut u32) -> bool {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let own = work.execution(&inner.pieces).and_then(|execution| inner.faults_of.get_mut(&execution));
        own.into_iter().chain([&mut inner.faults]).any(|faults| {
            let left = fault(faults);
            let strikes = *left > 0;
            *left = left.saturating_sub(1);
            strikes
        })
    }

    /// The longer time of the execution's faults and those of all.
    pub(crate) fn takes(&self, work: &Place, time: impl Fn(&Faults) -> u64) -> Duration {
        let inner = self.inner();
        let own = work.execution(&inner.pieces).and_then(|execution| inner.faults_of.get(&execution));
        Duration::from_millis(own.map_or(0, &time).max(time(&inner.faults)))
    }

    /// Notes how an execution misbehaves, before anything of it exists.
    pub(crate) fn announce(&self, order: &Create) {
        let execution = (order.job.clone(), order.index);
        self.inner().faults_of.entry(execution).or_insert_with(|| order.input.faults.clone());
    }

    /// Makes work that does not run yet, or runs at once if its order says so.
    pub(crate) fn create(self: &Arc<Self>, order: Create, from: &Caller) -> Look {
        let begins = order.begin;
        let number = {
            let mut inner = self.inner();
            let number = inner.pieces.len();
            let state = watch::Sender::new(State::Created);
            let piece = Piece { order, told: false, ending: false, begun: false, since: 0, state };
            inner.pieces.push(piece);
            inner.note(number, Event::Created, from);
            number
        };
        if begins {
            self.begin_piece(number, from);
        }
        self.look_at(number)
    }

    /// Lets work run; `None` when there is none such.
    pub(crate) fn begin(self: &Arc<Self>, work: &Work, from: &Caller) -> Option<Look> {
        let number = self.find(work)?;
        self.begin_piece(number, from);
        Some(self.look_at(number))
    }

    /// Tells work to end; `None` when there is none such.
    pub(crate) fn stop(self: &Arc<Self>, work: &Work, force: bool, from: &Caller) -> Option<Look> {
        let number = self.find(work)?;
        let place = Place::Piece(number);
        let works_on = self.takes(&place, |faults| faults.works_on_ms);
        let mut inner = self.inner();
        inner.note(number, Event::Told, from);
        let never = inner.never_confirms(number);
        let piece = &mut inner.pieces[number];
        piece.told = true;
        let state = piece.state.borrow().clone();
        match state {
            State::Created if piece.order.refuses_start_after_stop => {
                inner.turn(number, State::Void, Event::Void, from);
            }
            State::Alive if never => {}
            State::Alive if !force && piece.order.input.when_told == WhenTold::Ignores => {}
            State::Alive if piece.ending => {}
            State::Alive => {
                let saves = !force && piece.order.input.when_told == WhenTold::SavesItself;
                if works_on.is_zero() {
                    inner.end(number, saves, from);
                } else {
                    piece.ending = true;
                    let (floor, from) = (Arc::clone(self), from.clone());
                    tokio::spawn(async move {
                        SystemClock.sleep(works_on).await;
                        floor.inner().end(number, saves, &from);
                    });
                }
            }
            _ => {}
        }
        drop(inner);
        Some(self.look_at(number))
    }

    /// Tells how work stands, once it computes no more or the time is over; `None` when there is none
    /// such.
    pub(crate) async fn look(&self, work: &Work, wait: Duration, from: &Caller) -> Option<Look> {
        let number = self.find(work)?;
        let mut state = {
            let mut inner = self.inner();
            inner.note(number, Event::Looked, from);
            inner.pieces[number].state.subscribe()
        };
        tokio::select! {
            _ = state.wait_for(|state| *state != State::Alive) => {}
            () = SystemClock.sleep(wait) => {}
        }
        Some(self.look_at(number))
    }

    fn find(&self, work: &Work) -> Option<usize> {
        let number = usize::try_from(work.work).ok()?;
        (work.stand_in == self.name && number < self.inner().pieces.len()).then_some(number)
    }

    /// Where calls about this work find their faults.
    pub(crate) fn place(&self, work: &Work) -> Place {
        self.find(work).map_or(Place::Nowhere, Place::Piece)
    }

    fn look_at(&self, number: usize) -> Look {
        let inner = self.inner();
        let piece = &inner.pieces[number];
        Look {
            work: Work { stand_in: self.name.clone(), work: number as u64 },
            state: piece.state.borrow().clone(),
            since: piece.since,
        }
    }

    fn begin_piece(self: &Arc<Self>, number: usize, from: &Caller) {
        let mut inner = self.inner();
        let piece = &mut inner.pieces[number];
        if *piece.state.borrow() != State::Created {
            let event = if piece.begun { Event::BegunAgain } else { Event::RefusedToBegin };
            return inner.note(number, event, from);
        }
        piece.begun = true;
        let (own, limit) = (piece.order.input.milliseconds, piece.order.lifetime_ms);
        inner.turn(number, State::Alive, Event::Begun, from);
        if inner.completing && own.is_none() {
            return inner.complete(number);
        }
        drop(inner);
        if let Some(own) = own {
            let floor = Arc::clone(self);
            tokio::spawn(async move {
                SystemClock.sleep(Duration::from_millis(own)).await;
                floor.inner().come_to_its_end(number);
            });
        }
        if let Some(limit) = limit {
            let floor = Arc::clone(self);
            tokio::spawn(async move {
                SystemClock.sleep(Duration::from_millis(limit)).await;
                floor.inner().end(number, false, &itself());
            });
        }
    }
}

/// What a call is about, to find the faults for it.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Execution(JobId, u32),
    Piece(usize),
    Nowhere,
}

impl Place {
    fn execution(&self, pieces: &[Piece]) -> Option<(JobId, u32)> {
        match self {
            Self::Execution(job, index) => Some((job.clone(), *index)),
            Self::Piece(number) => {
                pieces.get(*number).map(|piece| (piece.order.job.clone(), piece.order.index))
            }
            Self::Nowhere => None,
        }
    }
}

impl Inner {
    /// Writes a line of the log, and tells its time. Under the lock: the log's order is the order in
    /// which things were.
    fn note(&mut self, number: usize, event: Event, from: &Caller) {
        let at = micros();
        let piece = &mut self.pieces[number];
        if !matches!(event, Event::Looked | Event::Told) {
            piece.since = at;
        }
        let order = &piece.order;
        let (attempt, job, index) = (order.attempt, order.job.clone(), order.index);
        self.log.push(Entry {
            at,
            event,
            work: number as u64,
            attempt,
            job,
            index,
            from: from.name.clone(),
            asked: from.asked,
        });
    }

    fn turn(&mut self, number: usize, state: State, event: Event, from: &Caller) {
        self.note(number, event, from);
        self.pieces[number].state.send_replace(state);
    }

    fn never_confirms(&self, number: usize) -> bool {
        let order = &self.pieces[number].order;
        let own = self.faults_of.get(&(order.job.clone(), order.index));
        self.faults.never_confirms || own.is_some_and(|faults| faults.never_confirms)
    }

    fn is_alive(&self, number: usize) -> bool {
        *self.pieces[number].state.borrow() == State::Alive
    }

    fn end(&mut self, number: usize, saves: bool, from: &Caller) {
        if !self.is_alive(number) {
            return;
        }
        if saves {
            self.turn(number, State::Saved { output: json!({ "saved": number }) }, Event::Saved, from);
        } else {
            self.turn(number, State::Ended, Event::Ended, from);
        }
    }

    fn come_to_its_end(&mut self, number: usize) {
        // Work that is about to be ended brings nothing more.
        if !self.is_alive(number) || self.pieces[number].ending {
            return;
        }
        if self.pieces[number].order.input.fails {
            self.turn(number, State::Failed, Event::Failed, &itself());
        } else {
            let output = json!({ "attempt": self.pieces[number].order.attempt });
            self.turn(number, State::Completed { output }, Event::Completed, &itself());
        }
    }

    fn complete(&mut self, number: usize) {
        if self.pieces[number].order.input.milliseconds.is_none() {
            self.come_to_its_end(number);
        }
    }
}
