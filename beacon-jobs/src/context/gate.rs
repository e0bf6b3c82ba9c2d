use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::scope::Scope;

/// Holds back new sends of a job while a cancel of it commits in this process.
///
/// A send enters for the one poll in which its request may go out. A hold waits until no send is
/// inside, and lets none in until it is dropped; so when a hold is granted, what was sent is on
/// its way, and nothing else is.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: u32,
    inside: u32,
    // Boxed: almost every context lives without a waiter, and there may be a million contexts.
    waiters: Option<Box<Vec<Waker>>>,
}

impl State {
    fn wait(&mut self, waker: &Waker) {
        let waiters = self.waiters.get_or_insert_default();
        if !waiters.iter().any(|waiting| waiting.will_wake(waker)) {
            waiters.push(waker.clone());
        }
    }
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let waiters = self.state().waiters.take();
        for waker in waiters.into_iter().flat_map(|waiters| *waiters) {
            waker.wake();
        }
    }

    /// Waits until no hold is in force, then lets `poll` run once inside the gate.
    ///
    /// # Cancellation safety
    /// Dropping the future before it is ready leaves the gate as it was.
    pub(super) async fn enter<T>(&self, poll: impl FnOnce(&mut std::task::Context<'_>) -> T) -> T {
        let mut poll = Some(poll);
        poll_fn(move |cx| {
            {
                let mut state = self.state();
                if state.held > 0 {
                    state.wait(cx.waker());
                    return Poll::Pending;
                }
                state.inside += 1;
            }
            let leave = Leave(self);
            let Some(poll) = poll.take() else { return Poll::Pending };
            let output = poll(cx);
            drop(leave);
            Poll::Ready(output)
        })
        .await
    }
}

struct Leave<'a>(&'a Gate);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.state().inside -= 1;
        self.0.wake();
    }
}

/// A hold on a job's sends, in force until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    scope: Arc<Scope>,
}

impl Hold {
    /// Holds at once, then waits until no send is inside.
    ///
    /// # Cancellation safety
    /// Dropping the future lifts the hold.
    pub(super) fn new(scope: Arc<Scope>) -> impl Future<Output = Self> {
        scope.gate().state().held += 1;
        let hold = Self { scope };
        async move {
            poll_fn(|cx| {
                let mut state = hold.scope.gate().state();
                if state.inside > 0 {
                    state.wait(cx.waker());
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            hold
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.scope.gate().state().held -= 1;
        self.scope.gate().wake();
    }
}
