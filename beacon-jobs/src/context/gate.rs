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
    waiters: Option<Box<Waiters>>,
}

#[derive(Debug, Default)]
struct Waiters(Vec<Waker>);

impl State {
    fn wait(&mut self, waker: &Waker) {
        let Waiters(waiters) = &mut **self.waiters.get_or_insert_default();
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
        if let Some(waiters) = waiters {
            waiters.0.into_iter().for_each(Waker::wake);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::Context;

    use super::*;

    /// While a hold is in force nothing is inside, in a race of senders and holders on real threads.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nothing_is_inside_while_a_hold_is_in_force() {
        let scope = Arc::new(Scope::default());
        let inside = Arc::new(AtomicUsize::new(0));
        let sent = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let senders = (0..4).map(|_| {
            let (scope, inside, sent) = (Arc::clone(&scope), Arc::clone(&inside), Arc::clone(&sent));
            let is_over = Arc::clone(&is_over);
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    let poll = |_: &mut Context<'_>| {
                        inside.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    };
                    scope.enter(poll).await;
                    sent.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            })
        });
        let senders: Vec<_> = senders.collect();
        let holder = {
            let (scope, inside) = (Arc::clone(&scope), Arc::clone(&inside));
            tokio::spawn(async move {
                for _ in 0..5_000 {
                    let hold = scope.hold().await;
                    assert_eq!(inside.load(Ordering::SeqCst), 0, "a send is inside");
                    std::thread::yield_now();
                    assert_eq!(inside.load(Ordering::SeqCst), 0, "a send came in");
                    drop(hold);
                    tokio::task::yield_now().await;
                }
            })
        };
        let held = holder.await;
        is_over.store(true, Ordering::SeqCst);
        for sender in senders {
            sender.await.unwrap();
        }
        held.unwrap();
        assert!(sent.load(Ordering::SeqCst) >= 5_000, "sends go out between the holds");
    }

    #[tokio::test]
    async fn a_dropped_wait_for_a_hold_lifts_it() {
        let scope = Arc::new(Scope::default());
        drop(scope.hold());
        scope.enter(|_| ()).await;
    }
}
