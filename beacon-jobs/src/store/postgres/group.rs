//! Calls of many callers that share a statement, and so a commit.
//!
//! There is no task while nothing waits, and no timer: the first call that comes spawns one, which
//! sends what waits until nothing does. So nothing outlives the store or depends on one runtime.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Core;
use super::source::Source;
use super::{progress, stops};
use crate::error::{Error, ErrorKind, Result};
use crate::stop::StopState;
use crate::store::sql::Fault;
use crate::store::{
    FinishExecution, FinishOutcome, ReportProgress, SaveHandle, SaveOutcome, Seal, Signal, StartExecution,
    StartOutcome, StopUpdate,
};

/// A sort of call that is made in batches.
pub(super) trait Kind: Send + Sync + 'static {
    type Item: Send + Sync + 'static;
    type Outcome: Clone + Send + 'static;

    /// Runs a batch, and returns an outcome for each of its items.
    fn run(
        source: &Source,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<(Vec<Self::Outcome>, Vec<Signal>), Fault>> + Send;

    /// The queue of this sort.
    fn group(core: &Core) -> &Group<Self>
    where
        Self: Sized;
}

macro_rules! kinds {
    ($($field:ident $kind:ident: $item:ty => $outcome:ty, $run:path;)+) => {
        /// The queues of a store.
        #[derive(Debug, Default)]
        pub(super) struct Groups {
            $($field: Group<$kind>),+
        }

        impl Groups {
            /// Takes no more calls.
            pub(super) fn close(&self) {
                $(self.$field.close();)+
            }
        }

        $(
            #[derive(Debug)]
            pub(super) struct $kind;

            impl Kind for $kind {
                type Item = $item;
                type Outcome = $outcome;

                async fn run(
                    source: &Source,
                    items: &[$item],
                ) -> Result<(Vec<$outcome>, Vec<Signal>), Fault> {
                    $run(source, items).await
                }

                fn group(core: &Core) -> &Group<Self> {
                    &core.groups.$field
                }
            }
        )+
    };
}

kinds! {
    starts Starts: StartExecution => StartOutcome, progress::start;
    saves Saves: SaveHandle => SaveOutcome, progress::save;
    reports Reports: ReportProgress => bool, progress::report;
    seals Seals: Seal => (), progress::seal;
    finishes Finishes: FinishExecution => FinishOutcome, progress::finish;
    records Records: StopUpdate => Option<StopState>, stops::record;
}

/// What waits for a statement.
pub(super) struct Group<K: Kind> {
    state: Mutex<State<K>>,
}

struct State<K: Kind> {
    waiting: VecDeque<Waiting<K>>,
    turns: u32,
    is_closed: bool,
}

struct Waiting<K: Kind> {
    items: Vec<K::Item>,
    reply: oneshot::Sender<Result<Vec<K::Outcome>, Fault>>,
}

impl<K: Kind> Default for Group<K> {
    fn default() -> Self {
        Self { state: Mutex::new(State { waiting: VecDeque::new(), turns: 0, is_closed: false }) }
    }
}

impl<K: Kind> fmt::Debug for Group<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

/// The most items in a statement of more than one call.
const MOST_ITEMS: usize = 512;

/// How many statements of a sort are under way at most: one that waits for a lock does not hold up
/// the others.
const MOST_TURNS: u32 = 2;

/// How often a turn lets other tasks run while they still add calls, before it sends.
const MOST_YIELDS: u32 = 8;

impl<K: Kind> Group<K> {
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().is_closed = true;
    }
}

/// Has items dealt with in a statement that they may share.
pub(super) async fn ask<K: Kind>(core: &Arc<Core>, items: Vec<K::Item>) -> Result<Vec<K::Outcome>> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = Handle::try_current()
        .map_err(|_| Error::new(ErrorKind::Misconfigured, "the store must be used inside a tokio runtime"))?;
    let (reply, answer) = oneshot::channel();
    let is_one_more = {
        let mut state = K::group(core).lock();
        if state.is_closed {
            return Err(core.source.error(&Fault::closed()));
        }
        state.waiting.push_back(Waiting { items, reply });
        let is_one_more = state.turns < MOST_TURNS;
        state.turns += u32::from(is_one_more);
        is_one_more
    };
    if is_one_more {
        let turn = Turn::<K> { core: Arc::clone(core), is_over: false, kind: std::marker::PhantomData };
        // Not under the lock: a runtime that is ending drops the turn at once, and that takes the lock.
        runtime.spawn(turn.run());
    }
    let answer = answer.await.unwrap_or_else(|_| Err(Fault::stopped()));
    answer.map_err(|fault| core.source.error(&fault))
}

/// A task that sends what waits, until nothing does.
struct Turn<K: Kind> {
    core: Arc<Core>,
    is_over: bool,
    kind: std::marker::PhantomData<fn() -> K>,
}

impl<K: Kind> Turn<K> {
    async fn run(mut self) {
        let mut answered = 1;
        while let Some(batch) = self.next(answered).await {
            answered = batch.len();
            self.perform(batch).await;
        }
    }

    /// Waits for no more than the callers that were just answered, and takes what is there.
    async fn next(&mut self, answered: usize) -> Option<Vec<Waiting<K>>> {
        let mut before = usize::MAX;
        for _ in 0..MOST_YIELDS {
            tokio::task::yield_now().await;
            let waiting = K::group(&self.core).lock().waiting.len();
            if waiting > answered || waiting == before {
                break;
            }
            before = waiting;
        }
        let mut state = K::group(&self.core).lock();
        let mut items = 0;
        let mut calls = 0;
        for call in &state.waiting {
            items += call.items.len();
            if calls > 0 && items > MOST_ITEMS {
                break;
            }
            calls += 1;
        }
        if calls == 0 {
            state.turns -= 1;
            self.is_over = true;
            return None;
        }
        Some(state.waiting.drain(..calls).collect())
    }

    async fn perform(&self, mut batch: Vec<Waiting<K>>) {
        let mut counts = Vec::with_capacity(batch.len());
        let mut items = Vec::new();
        for call in &mut batch {
            counts.push(call.items.len());
            items.append(&mut call.items);
        }
        let fault = match self.try_run(&items).await {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                for (call, count) in batch.into_iter().zip(counts) {
                    let _ = call.reply.send(Ok(outcomes.by_ref().take(count).collect()));
                }
                return;
            }
            Err(fault) => fault,
        };
        // One call must not fail its neighbours.
        let one_by_one = batch.len() > 1 && fault.may_be_one_callers();
        let mut rest = &items[..];
        for (call, count) in batch.into_iter().zip(counts) {
            let (own, others) = rest.split_at(count);
            rest = others;
            let outcome = if one_by_one { self.try_run(own).await } else { Err(fault.clone()) };
            let _ = call.reply.send(outcome);
        }
    }

    async fn try_run(&self, items: &[K::Item]) -> Result<Vec<K::Outcome>, Fault> {
        let (outcomes, signals) = K::run(&self.core.source, items).await?;
        self.core.signal(signals);
        Ok(outcomes)
    }
}

impl<K: Kind> Drop for Turn<K> {
    fn drop(&mut self) {
        // Its runtime ended: what waits is told so, by its reply that is dropped here.
        if !self.is_over {
            let mut state = K::group(&self.core).lock();
            state.turns -= 1;
            let abandoned = std::mem::take(&mut state.waiting);
            drop(state);
            drop(abandoned);
        }
    }
}
