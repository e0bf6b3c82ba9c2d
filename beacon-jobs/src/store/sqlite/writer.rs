//! The one writer: it takes what waits, commits it, and answers.
//!
//! There is no task while nothing waits. The first call that comes spawns one, which ends when the
//! queue is empty, so nothing outlives the store or depends on one runtime.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use super::batch::{self, Shared};
use super::link::Link;
use super::own;
use super::queue::{Lengths, Own, Queue, Reply, Work};
use super::source::Source;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::store::sql::Fault;
use crate::store::{Signal, SignalSender};

/// How often the writer lets other tasks run while they still add calls, before it commits.
const MOST_YIELDS: u32 = 8;

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) source: Source,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) signals: SignalSender,
    state: Mutex<State>,
    idle: Notify,
    commits: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    /// Absent while the writer uses it, and when it was lost.
    connection: Option<SqliteConnection>,
    is_running: bool,
    is_closed: bool,
}

impl Writer {
    pub(super) fn new(source: Source, clock: Arc<dyn Clock>, connection: SqliteConnection) -> Arc<Self> {
        let state = State { connection: Some(connection), ..State::default() };
        Arc::new(Self {
            source,
            clock,
            signals: SignalSender::new(),
            state: Mutex::new(state),
            idle: Notify::new(),
            commits: AtomicU64::new(0),
        })
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Has a call run before all others but its like.
    pub(super) async fn first<T>(self: &Arc<Self>, call: impl FnOnce(Reply<T>) -> Own) -> Result<T> {
        self.ask(|queue, reply| queue.push_first(call(reply))).await
    }

    /// Has a call run in a transaction of its own.
    pub(super) async fn own<T>(self: &Arc<Self>, call: impl FnOnce(Reply<T>) -> Own) -> Result<T> {
        self.ask(|queue, reply| queue.push_own(call(reply))).await
    }

    /// Has a call run in a transaction that it shares.
    pub(super) async fn shared<T>(self: &Arc<Self>, call: impl FnOnce(Reply<T>) -> Shared) -> Result<T> {
        self.ask(|queue, reply| queue.push_shared(call(reply))).await
    }

    async fn ask<T>(self: &Arc<Self>, push: impl FnOnce(&mut Queue, Reply<T>)) -> Result<T> {
        let answer = self.push(push)?;
        let answer = answer.await.unwrap_or_else(|_| Err(Fault::stopped()));
        answer.map_err(|fault| self.source.error(&fault))
    }

    fn push<T>(
        self: &Arc<Self>,
        push: impl FnOnce(&mut Queue, Reply<T>),
    ) -> Result<oneshot::Receiver<Result<T, Fault>>> {
        let runtime = Handle::try_current().map_err(|_| {
            Error::new(ErrorKind::Misconfigured, "the store must be used inside a tokio runtime")
        })?;
        let (reply, answer) = Reply::new();
        let mut state = self.lock();
        if state.is_closed {
            reply.send(Err(Fault::closed()));
            return Ok(answer);
        }
        push(&mut state.queue, reply);
        if !state.is_running {
            state.is_running = true;
            let turn = Turn { writer: Arc::clone(self), connection: state.connection.take(), is_over: false };
            drop(state);
            runtime.spawn(turn.run());
        }
        Ok(answer)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no more calls, answers those that wait, and closes the connection.
    pub(super) async fn close(&self) {
        let connection = loop {
            let idle = self.idle.notified();
            {
                let mut state = self.lock();
                state.is_closed = true;
                if !state.is_running {
                    break state.connection.take();
                }
            }
            idle.await;
        };
        if let Some(connection) = connection {
            // The file is whole without a clean end; only its WAL would stay.
            let _ = connection.close().await;
        }
    }

    /// Sends hints, those about a job once: a batch may have changed it often.
    pub(super) fn signal(&self, signals: Vec<Signal>) {
        let mut jobs = HashSet::new();
        for signal in signals {
            let is_news = match &signal {
                Signal::Job(job) => jobs.insert(job.clone()),
                _ => true,
            };
            if is_news {
                self.signals.send(signal);
            }
        }
    }

    fn count(&self, link: &Link<'_>) {
        self.commits.fetch_add(link.commits(), Ordering::Relaxed);
    }
}

/// The writer at work, from the first call that waits until none does. When it is dropped before
/// that, by the end of its runtime or by a panic, every call that waits is answered.
struct Turn {
    writer: Arc<Writer>,
    connection: Option<SqliteConnection>,
    is_over: bool,
}

impl Turn {
    async fn run(mut self) {
        while let Some((work, early)) = self.next() {
            let callers = work.callers();
            if let Err(fault) = self.perform(work).await {
                // Nothing could be begun: what had waited as long would meet the same.
                let early = self.writer.lock().queue.take_early(early);
                early.fail(&fault);
            }
            self.gather(callers).await;
        }
    }

    /// What to do next. The turn is over when there is nothing.
    fn next(&mut self) -> Option<(Work, Lengths)> {
        let mut state = self.writer.lock();
        let work = state.queue.next();
        if work.is_none() {
            state.is_running = false;
            state.connection = self.connection.take();
            self.is_over = true;
        }
        work.map(|work| (work, state.queue.lengths()))
    }

    /// Lets the callers that were just answered come again, so that they share a commit.
    async fn gather(&self, answered: usize) {
        let mut before = usize::MAX;
        for _ in 0..MOST_YIELDS {
            tokio::task::yield_now().await;
            let state = self.writer.lock();
            let waiting = state.queue.len();
            if state.queue.is_urgent() || waiting >= answered || waiting == before {
                return;
            }
            before = waiting;
        }
    }

    /// Does it, and answers. Fails when not even a transaction could be begun.
    async fn perform(&mut self, work: Work) -> Result<(), Fault> {
        if let Err(fault) = self.writer.source.check_place() {
            work.fail(&fault);
            return Err(fault);
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match self.writer.source.connect().await {
                Ok(connection) => connection,
                Err(fault) => {
                    work.fail(&fault);
                    return Err(fault);
                }
            },
        };
        let (is_broken, outcome) = match work {
            Work::Own(call) => self.perform_own(&mut connection, call).await,
            Work::Batch(calls) => self.perform_batch(&mut connection, calls).await,
        };
        if !is_broken {
            self.connection = Some(connection);
        }
        outcome
    }

    async fn perform_own(&self, connection: &mut SqliteConnection, call: Own) -> (bool, Result<(), Fault>) {
        let mut link = Link::own(connection);
        let outcome = own::run(&mut link, &self.writer, call).await;
        self.writer.count(&link);
        (link.is_broken(), outcome.or_else(|fault| if link.has_begun() { Ok(()) } else { Err(fault) }))
    }

    async fn perform_batch(
        &self,
        connection: &mut SqliteConnection,
        calls: Vec<Shared>,
    ) -> (bool, Result<(), Fault>) {
        let mut link = Link::own(connection);
        let fault = match self.try_batch(&mut link, &calls, false).await {
            Ok(outcomes) => {
                for (call, outcome) in calls.into_iter().zip(outcomes) {
                    call.answer(outcome);
                }
                return (link.is_broken(), Ok(()));
            }
            Err(fault) => fault,
        };
        if !fault.may_be_one_callers() || link.is_broken() {
            calls.into_iter().for_each(|call| call.fail(&fault));
            return (link.is_broken(), if link.has_begun() { Ok(()) } else { Err(fault) });
        }
        // One call must not fail its neighbours.
        let mut is_broken = false;
        for call in calls {
            let mut link = Link::own(connection);
            match self.try_batch(&mut link, std::slice::from_ref(&call), true).await {
                Ok(mut outcomes) => match outcomes.pop() {
                    Some(outcome) => call.answer(outcome),
                    None => drop(call),
                },
                Err(fault) => call.fail(&fault),
            }
            is_broken |= link.is_broken();
        }
        (is_broken, Ok(()))
    }

    async fn try_batch(
        &self,
        link: &mut Link<'_>,
        calls: &[Shared],
        closely: bool,
    ) -> Result<Vec<batch::Outcome>, Fault> {
        let result = batch::run(link, &*self.writer.clock, calls, closely).await;
        let result = link.settle(result).await;
        self.writer.count(link);
        let (outcomes, signals) = result?;
        self.writer.signal(signals);
        Ok(outcomes)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // After a turn that ended well another may be running already.
        if !self.is_over {
            let mut state = self.writer.lock();
            state.is_running = false;
            let abandoned = std::mem::take(&mut state.queue);
            drop(state);
            abandoned.fail(&Fault::stopped());
        }
        self.writer.idle.notify_waiters();
    }
}
