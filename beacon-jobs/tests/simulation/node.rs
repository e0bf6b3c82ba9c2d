//! A node: its clock, its names, and the ways in which it can be cut off from the world.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::clock::Clock;
use beacon_jobs::runner::JobRunner;
use beacon_jobs::{IdSource, Jobs};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// The world's clock: tokio's, which is paused and jumps.
#[derive(Clone, Copy, Debug)]
pub struct WorldClock {
    start: Instant,
}

impl WorldClock {
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn time(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.elapsed()
    }

    pub async fn until(&self, at: OffsetDateTime) {
        if let Ok(left) = Duration::try_from(at - self.time()) {
            tokio::time::sleep(left).await;
        }
    }
}

#[async_trait]
impl Clock for WorldClock {
    fn now(&self) -> OffsetDateTime {
        self.time()
    }
    fn uptime(&self) -> Duration {
        self.elapsed()
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Names in the order in which they are asked for.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<AtomicU64>);

impl IdSource for Names {
    fn uuid(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::Relaxed)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    Up,
    Frozen,
    Crashed,
}

type Act = Box<dyn FnOnce() + Send>;

/// One process of a node, from its start to its end.
pub struct Life {
    pub node: usize,
    pub number: u64,
    power: Mutex<Power>,
    /// Not a `watch` channel, which wakes its readers in an order drawn by chance.
    changed: Notify,
    /// What its threads do when they go on, before any of its tasks moves.
    at_thaw: Mutex<Vec<Act>>,
    pub jobs: Mutex<Option<Jobs>>,
    pub runner: Mutex<Option<JobRunner>>,
}

impl Life {
    pub fn new(node: usize, number: u64) -> Self {
        Self {
            node,
            number,
            power: Mutex::new(Power::Up),
            changed: Notify::new(),
            at_thaw: Mutex::default(),
            jobs: Mutex::default(),
            runner: Mutex::default(),
        }
    }

    pub fn power(&self) -> Power {
        *self.power.lock().unwrap()
    }

    /// A crash is for good.
    pub fn set_power(&self, power: Power) {
        let mut known = self.power.lock().unwrap();
        if *known != power && *known != Power::Crashed {
            *known = power;
            drop(known);
            let acts = std::mem::take(&mut *self.at_thaw.lock().unwrap());
            if power == Power::Up {
                acts.into_iter().for_each(|act| act());
            }
            self.changed.notify_waiters();
        }
    }

    /// Does this when the process thaws, if it does.
    pub fn at_thaw(&self, act: impl FnOnce() + Send + 'static) {
        self.at_thaw.lock().unwrap().push(Box::new(act));
    }

    async fn is(&self, wanted: Power) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.power() == wanted {
                return;
            }
            changed.await;
        }
    }

    /// Goes on at once on a node that is up, after the thaw of a frozen one, and never after a crash.
    pub async fn gate(&self) {
        if self.power() != Power::Up {
            self.is(Power::Up).await;
        }
    }

    /// Returns when the process has crashed.
    pub async fn crashed(&self) {
        self.is(Power::Crashed).await;
    }

    pub fn jobs(&self) -> Option<Jobs> {
        self.jobs.lock().unwrap().clone()
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{} life {}", self.node, self.number)
    }
}

/// The clock of a node: while it is frozen nothing on it wakes up.
#[derive(Debug)]
pub struct NodeClock {
    pub life: Arc<Life>,
    pub clock: WorldClock,
    /// How far its wall time is ahead of the store's, or behind.
    pub ahead: time::Duration,
}

#[async_trait]
impl Clock for NodeClock {
    fn now(&self) -> OffsetDateTime {
        self.clock.time() + self.ahead
    }
    fn uptime(&self) -> Duration {
        self.clock.elapsed()
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
        self.life.gate().await;
    }
}
