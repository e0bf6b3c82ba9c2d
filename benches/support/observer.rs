//! Another thread that waits for a context or a token to be cancelled, and says when it saw it.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use beacon_jobs::context::JobContext;
use tokio_util::sync::CancellationToken;

use crate::measure::{Result, now};

/// Long enough for a thread that is about to park to have parked.
const SETTLE: Duration = Duration::from_micros(20);

/// How the thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// In the future that the context or token gives, its thread parked.
    Parked,
    /// By asking again and again.
    Spinning,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parked => "parked",
            Self::Spinning => "spinning",
        })
    }
}

/// What it waits for.
pub(crate) enum Watched {
    Context(JobContext),
    Token(CancellationToken),
}

impl Watched {
    async fn cancelled(&self) {
        match self {
            Self::Context(context) => drop(context.cancelled().await),
            Self::Token(token) => token.cancelled().await,
        }
    }

    fn is_cancelled(&self) -> bool {
        match self {
            Self::Context(context) => context.is_cancelled(),
            Self::Token(token) => token.is_cancelled(),
        }
    }
}

pub(crate) struct Observer {
    watch: Sender<Watched>,
    seen: Receiver<Instant>,
    is_waiting: Arc<AtomicBool>,
}

impl Observer {
    /// Starts the thread; it ends with this value.
    pub(crate) fn start(wait: Wait) -> Self {
        let (watch, watched) = channel::<Watched>();
        let (tell, seen) = channel();
        let is_waiting = Arc::new(AtomicBool::new(false));
        let waits = Arc::clone(&is_waiting);
        thread::spawn(move || {
            for watched in watched {
                match wait {
                    Wait::Parked => park_until(watched.cancelled(), || waits.store(true, Ordering::Release)),
                    Wait::Spinning => {
                        waits.store(true, Ordering::Release);
                        while !watched.is_cancelled() {
                            std::hint::spin_loop();
                        }
                    }
                }
                if tell.send(now()).is_err() {
                    return;
                }
            }
        });
        Self { watch, seen, is_waiting }
    }

    /// The time from right before `cancel` until the thread has seen it.
    pub(crate) fn time(&self, watched: Watched, cancel: impl FnOnce()) -> Result<Duration> {
        self.is_waiting.store(false, Ordering::Release);
        self.watch.send(watched).map_err(|_| "the observing thread has ended")?;
        while !self.is_waiting.load(Ordering::Acquire) {
            thread::yield_now();
        }
        let armed = now();
        while armed.elapsed() < SETTLE {
            std::hint::spin_loop();
        }
        let start = now();
        cancel();
        Ok(self.seen.recv()?.saturating_duration_since(start))
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn park_until(future: impl Future<Output = ()>, waits: impl FnOnce()) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let mut waits = Some(waits);
    while future.as_mut().poll(&mut context) == Poll::Pending {
        if let Some(waits) = waits.take() {
            waits();
        }
        thread::park();
    }
}
