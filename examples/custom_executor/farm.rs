//! A provider in miniature: a server that counts primes for whoever asks, and goes on counting
//! until it is really told to stop, whether its customer lives or not.
//!
//! One JSON line a request, one a reply, one connection each:
//!
//! | request | reply |
//! |---|---|
//! | `{"op":"create","label":…,"below":…,"stubborn":…}` | `{"id":…,"state":"created"}`: nothing runs yet |
//! | `{"op":"begin","id":…}` | `{"state":"running"}`; after an end: `{"state":"ended"}`, and nothing runs |
//! | `{"op":"wait","id":…}` | its state, once it runs no more or a second has passed |
//! | `{"op":"end","id":…,"force":…}` | its state; without force the work may save what it has |

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How many numbers are tried between two looks at what the customer wants.
const SLICE: u64 = 2_000;

/// Where work is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    /// It exists, and nothing runs.
    Created,
    /// It counts.
    Running {
        /// How far it has come.
        tried: u64,
    },
    /// It has counted all.
    Done {
        /// How many primes there are.
        primes: u64,
    },
    /// It was ended before, and counts no more.
    Ended {
        /// What it saved when it was told to.
        saved: Option<u64>,
    },
    /// There is no such work.
    Unknown,
}

/// What a customer asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Order {
    /// Make work that does not run yet.
    Create {
        /// A word by which the customer knows it.
        label: String,
        /// Up to where primes are counted.
        below: u64,
        /// Whether it pays no heed when it is told to end, until it is forced.
        #[serde(default)]
        stubborn: bool,
    },
    /// Let it run.
    Begin {
        /// Which.
        id: u64,
    },
    /// Tell how it stands, once it stands still.
    Wait {
        /// Which.
        id: u64,
    },
    /// End it.
    End {
        /// Which.
        id: u64,
        /// At once, without saving anything.
        force: bool,
    },
}

/// The answer to an order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// Which work.
    pub(crate) id: u64,
    /// How it stands.
    #[serde(flatten)]
    pub(crate) state: State,
}

/// The server. Dropping it ends its work, as pulling the plug would.
#[derive(Debug)]
pub(crate) struct Farm {
    address: SocketAddr,
    floor: Arc<Floor>,
    door: JoinHandle<()>,
}

/// All work that was ever asked for.
#[derive(Debug, Default)]
struct Floor {
    works: Mutex<HashMap<u64, Arc<Work>>>,
    begun: AtomicUsize,
    trouble: Trouble,
}

/// How many of the next orders of each sort meet trouble on the line: all but a begin are not
/// heard; a begin is, and its reply is lost.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) create: AtomicU32,
    pub(crate) begin: AtomicU32,
    pub(crate) wait: AtomicU32,
    pub(crate) end: AtomicU32,
}

impl Trouble {
    fn strikes(&self, order: &Order) -> bool {
        let left = match order {
            Order::Create { .. } => &self.create,
            Order::Begin { .. } => &self.begin,
            Order::Wait { .. } => &self.wait,
            Order::End { .. } => &self.end,
        };
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

#[derive(Debug)]
struct Work {
    below: u64,
    stubborn: bool,
    state: watch::Sender<State>,
    wish: watch::Sender<Wish>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    GoOn,
    BeDone,
    SaveAndEnd,
    EndNow,
}

impl Farm {
    /// Opens the farm on a free port of this machine.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub(crate) async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let floor = Arc::new(Floor::default());
        let served = Arc::clone(&floor);
        let door = tokio::spawn(async move {
            while let Ok((customer, _)) = listener.accept().await {
                let floor = Arc::clone(&served);
                // A customer that hangs up in the middle is no matter.
                tokio::spawn(async move { floor.serve(customer).await });
            }
        });
        Ok(Self { address, floor, door })
    }

    /// Where it is.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many works count right now: what only the farm itself can know for sure.
    #[must_use]
    pub(crate) fn running(&self) -> usize {
        self.floor.all().iter().filter(|work| matches!(*work.state.borrow(), State::Running { .. })).count()
    }
}

#[allow(dead_code, reason = "levers that only the conformance suite pulls")]
impl Farm {
    /// How many works have ever begun.
    pub(crate) fn begun(&self) -> usize {
        self.floor.begun.load(Ordering::Relaxed)
    }

    /// Declares everything counted that runs.
    pub(crate) fn be_done(&self) {
        self.floor.all().iter().for_each(|work| work.wish(Wish::BeDone));
    }

    /// What is wrong with the line.
    pub(crate) fn trouble(&self) -> &Trouble {
        &self.floor.trouble
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.door.abort();
        self.floor.all().iter().for_each(|work| work.wish(Wish::EndNow));
    }
}

impl Floor {
    fn all(&self) -> Vec<Arc<Work>> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    fn find(&self, id: u64) -> Option<Arc<Work>> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner).get(&id).map(Arc::clone)
    }

    async fn serve(&self, customer: TcpStream) -> std::io::Result<()> {
        let mut customer = BufReader::new(customer);
        let mut line = String::new();
        customer.read_line(&mut line).await?;
        let order: Order = serde_json::from_str(&line)?;
        if self.trouble.strikes(&order) {
            if matches!(order, Order::Begin { .. }) {
                self.obey(order).await;
            }
            return Ok(());
        }
        let mut reply = serde_json::to_vec(&self.obey(order).await)?;
        reply.push(b'\n');
        customer.get_mut().write_all(&reply).await
    }

    async fn obey(&self, order: Order) -> Reply {
        let id = match &order {
            Order::Create { below, stubborn, .. } => return self.create(*below, *stubborn),
            Order::Begin { id } | Order::Wait { id } | Order::End { id, .. } => *id,
        };
        let Some(work) = self.find(id) else { return Reply { id, state: State::Unknown } };
        match order {
            Order::Begin { .. } => {
                if work.begin() {
                    self.begun.fetch_add(1, Ordering::Relaxed);
                }
            }
            Order::End { force, .. } => work.end(force),
            Order::Wait { .. } | Order::Create { .. } => work.stand_still().await,
        }
        let state = work.state.borrow().clone();
        Reply { id, state }
    }

    fn create(&self, below: u64, stubborn: bool) -> Reply {
        let mut works = self.works.lock().unwrap_or_else(PoisonError::into_inner);
        let id = works.len() as u64 + 1;
        let (state, wish) = (watch::Sender::new(State::Created), watch::Sender::new(Wish::GoOn));
        works.insert(id, Arc::new(Work { below, stubborn, state, wish }));
        Reply { id, state: State::Created }
    }
}

impl Work {
    /// Only what was created and never ended begins.
    fn begin(self: &Arc<Self>) -> bool {
        let begins = self.state.send_if_modified(|state| {
            let begins = *state == State::Created;
            if begins {
                *state = State::Running { tried: 0 };
            }
            begins
        });
        if begins {
            tokio::spawn(Arc::clone(self).count());
        }
        begins
    }

    fn end(&self, force: bool) {
        self.state.send_if_modified(|state| {
            let unbegun = *state == State::Created;
            if unbegun {
                *state = State::Ended { saved: None };
            }
            unbegun
        });
        self.wish(if force { Wish::EndNow } else { Wish::SaveAndEnd });
    }

    fn wish(&self, wish: Wish) {
        self.wish.send_modify(|known| *known = wish.max(*known));
    }

    async fn count(self: Arc<Self>) {
        let (mut tried, mut primes) = (0, 0);
        while tried < self.below {
            match *self.wish.borrow() {
                Wish::GoOn => {}
                Wish::BeDone => break,
                Wish::SaveAndEnd if self.stubborn => {}
                Wish::SaveAndEnd => return self.stop_with(State::Ended { saved: Some(primes) }),
                Wish::EndNow => return self.stop_with(State::Ended { saved: None }),
            }
            let next = self.below.min(tried + SLICE);
            primes += (tried..next).filter(|number| is_prime(*number)).count() as u64;
            tried = next;
            self.state.send_modify(|state| *state = State::Running { tried });
            tokio::task::yield_now().await;
        }
        self.stop_with(State::Done { primes });
    }

    fn stop_with(&self, end: State) {
        self.state.send_modify(|state| *state = end);
    }

    async fn stand_still(&self) {
        let mut state = self.state.subscribe();
        tokio::select! {
            _ = state.wait_for(|state| !matches!(state, State::Running { .. })) => {}
            () = SystemClock.sleep(LONGEST_WAIT) => {}
        }
    }
}

fn is_prime(number: u64) -> bool {
    number >= 2
        && (2..)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
}
