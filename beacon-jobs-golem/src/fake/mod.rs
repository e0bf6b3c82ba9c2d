//! A yagna in this process with a provider behind it, for tests: a market, activities whose work goes on
//! until it is really ended, and bills.
//!
//! It speaks the daemon's REST API on loopback with the bodies of yagna 0.17.6, keeps a record of
//! what ran when, and can be made to behave badly. What it shows is how an executor deals with such a daemon;
//! how real ones behave it does not show.

mod activity;
mod faults;
mod market;
mod payment;
mod provider;
mod service;
mod state;
mod stream;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beacon_jobs::clock::SystemClock;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use self::faults::Fault;
use self::state::State;
use crate::config::Config;

/// The app key that the daemon knows.
pub const APPKEY: &str = "key-of-the-fake";
/// The node id of the daemon.
const IDENTITY: &str = "0x00000000000000000000000000000000000f00d1";

/// What a program does that a command runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Prints this, and ends.
    Prints(String),
    /// Prints its arguments, each on a line, and ends.
    Echoes,
    /// Complains of this on its standard error, and ends with code 1.
    Fails(String),
    /// Goes on until it is ended.
    GoesOn,
    /// Prints this line again and again, with a number behind it, and goes on until it is ended. It is streamed, which a stock provider does only
    /// where the script asks for it.
    Repeats(String),
}

/// What the provider does with an agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Approves it.
    Yes,
    /// Rejects it.
    No,
    /// Says nothing.
    Never,
}

/// An offer in the market.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Offered {
    /// The provider's node id.
    pub provider: String,
    /// The name that it gives itself.
    pub name: String,
    /// The price of a second of a processor, of a second of life, and of the start, in GLM.
    pub price: [f64; 3],
    /// Whether it answers a counter-offer.
    pub answers: bool,
}

impl Offered {
    /// An offer at a price.
    #[must_use]
    pub fn new(provider: &str, price: [f64; 3]) -> Self {
        Self { provider: provider.to_owned(), name: format!("{provider}-by-name"), price, answers: true }
    }
}

/// How the daemon and the provider behave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Behaviour {
    /// The offers that a demand finds.
    pub offers: Vec<Offered>,
    /// How much money there is, in GLM.
    pub funds: f64,
    /// What becomes of an agreement.
    pub approval: Approval,
    /// How long that takes. An agreement that was taken back before cannot be approved.
    pub approve_after: Duration,
    /// How long a runtime takes from its script to its first command.
    pub deploy_after: Duration,
    /// The only image hash that can be deployed, if any can.
    pub image: Option<String>,
    /// The provider makes the activity, and its answer is too late: the daemon says 408 and knows of nothing.
    pub create_is_late: bool,
    /// Whether the provider can stream what happens to a script. If not the daemon's stream breaks where it begins.
    pub streams: bool,
    /// How long work lives on that is to end.
    pub end_after: Duration,
    /// The provider's node cannot be reached: nothing arrives, and what waits for it has no answer.
    pub frozen: bool,
    /// The provider's node answers, and nothing there acts on what it is told: agreements end, and work goes on.
    pub agent_is_dead: bool,
    /// The daemon serves `["Ready", "Terminated"]` as the state of whatever was to end, for ever, and says
    /// 408 to a destroy.
    pub half_way: bool,
    /// How long after the end of an agreement its invoice comes; `None`: never.
    pub invoice_after: Option<Duration>,
    /// What an invoice asks, in GLM.
    pub invoice: String,
    /// How often a debit note comes while an activity lives; `None`: never.
    pub note_every: Option<Duration>,
    /// What each asks more than the one before, in GLM.
    pub note: String,
    /// For how long the provider goes on without the acceptance of a note; `None`: for ever.
    pub note_patience: Option<Duration>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            offers: vec![Offered::new("0xprovider", [0.0001, 0.0001, 0.0])],
            funds: 1000.0,
            approval: Approval::Yes,
            approve_after: Duration::ZERO,
            deploy_after: Duration::from_millis(20),
            image: None,
            create_is_late: false,
            streams: true,
            end_after: Duration::from_millis(20),
            frozen: false,
            agent_is_dead: false,
            half_way: false,
            invoice_after: Some(Duration::ZERO),
            invoice: "0.01".to_owned(),
            note_every: None,
            note: "0.001".to_owned(),
            note_patience: None,
        }
    }
}

/// An agreement, as the daemon has it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AgreementRecord {
    /// Its id.
    pub id: String,
    /// Its state, such as `Approved`.
    pub state: String,
    /// The session that it was confirmed under.
    pub session: Option<String>,
    /// The provider's node id.
    pub provider: String,
    /// Its activities, whether each is alive at the provider, and how many scripts it was given.
    pub activities: Vec<(String, bool, usize)>,
}

/// The daemon. It ends when it is dropped.
#[derive(Debug)]
pub struct Yagna {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Mutex<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    clock: SystemClock,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Yagna {
    /// Starts one on a free port of loopback, with one offer in its market.
    ///
    /// # Errors
    /// When no port can be had.
    ///
    /// # Cancellation safety
    /// Dropping the future starts nothing.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            changed: Notify::new(),
            clock: SystemClock,
        });
        let server = Mutex::new(serve(&shared, listener));
        Ok(Self { shared, address, server })
    }

    /// Ends the daemon as SIGKILL does: nobody is answered any more, what it was doing stays undone, and what is on
    /// record stays so. The provider goes on.
    pub fn kill(&self) {
        self.server().abort();
        self.shared.state().is_down = true;
        self.shared.changed.notify_waiters();
    }

    /// Starts the daemon again, at the same address and with its records.
    ///
    /// # Errors
    /// When the port is not free any more.
    ///
    /// # Cancellation safety
    /// Dropping the future leaves it down.
    pub async fn restart(&self) -> std::io::Result<()> {
        let dead = std::mem::replace(&mut *self.server(), tokio::spawn(async {}));
        // Its port is free when it is gone.
        let _ = dead.await;
        let listener = TcpListener::bind(self.address).await?;
        self.shared.state().is_down = false;
        *self.server() = serve(&self.shared, listener);
        Ok(())
    }

    fn server(&self) -> MutexGuard<'_, JoinHandle<()>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A configuration whose key it knows.
    #[must_use]
    pub fn config(&self) -> Config {
        Config::new(APPKEY).with_api_url(self.url())
    }

    /// Makes commands with this entry point do this, in runtimes to come.
    pub fn install(&self, entry_point: &str, work: Work) {
        self.shared.state().programs.insert(entry_point.to_owned(), work);
    }

    /// Changes how it behaves, from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.state().behaviour);
        self.shared.changed.notify_waiters();
    }

    /// Makes the next `times` calls of this name go wrong, such as `CreateActivity`.
    pub fn inject(&self, call: &'static str, times: u32, fault: Fault) {
        self.shared.state().faults.add(call, times, fault);
    }

    /// Lets all work that goes on end by itself, having printed `done`.
    pub fn complete(&self) {
        self.shared.complete();
    }

    /// Ends all agreements as their time is up, with what runs under them.
    pub fn expire(&self) {
        self.shared.expire();
    }

    /// How many activities live at the provider right now, known to the daemon or not.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.shared.state().activities.values().filter(|it| it.alive).count()
    }

    /// How many activities live whose commands run right now.
    #[must_use]
    pub fn computing(&self) -> usize {
        self.shared.state().activities.values().filter(|it| it.alive && it.computes).count()
    }

    /// How many scripts have ever begun to run a command.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.shared.state().begun
    }

    /// How many allocations are not released.
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.shared.state().allocations.values().filter(|it| !it.released).count()
    }

    /// How many demands are published.
    #[must_use]
    pub fn demands(&self) -> usize {
        self.shared.state().demands.len()
    }

    /// What was accepted of all agreements, in GLM.
    #[must_use]
    pub fn accepted(&self) -> f64 {
        self.shared.state().accepted()
    }

    /// How many invoices were accepted.
    #[must_use]
    pub fn invoices_accepted(&self) -> usize {
        self.shared.state().bills.values().filter(|it| it.is_invoice && it.status == "ACCEPTED").count()
    }

    /// How many calls of this name have arrived, such as `CreateActivity`.
    #[must_use]
    pub fn received(&self, call: &str) -> usize {
        self.shared.state().received.get(call).copied().unwrap_or(0)
    }

    /// How many calls have arrived that are not answered, as [`Fault::Stalls`] and [`Fault::Hangs`] have it.
    #[must_use]
    pub fn stuck(&self) -> usize {
        self.shared.state().stuck
    }

    /// How many streams of scripts are open.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.shared.state().listeners
    }

    /// All agreements, in the order in which they were made.
    #[must_use]
    pub fn agreements(&self) -> Vec<AgreementRecord> {
        self.shared.state().records()
    }

    /// Waits until `fits` finds what it looks for, looking again with every change.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn until(&self, fits: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if fits(self) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Yagna {
    fn drop(&mut self) {
        self.server().abort();
    }
}

fn serve(shared: &Arc<Shared>, listener: TcpListener) -> JoinHandle<()> {
    let router = service::router(Arc::clone(shared));
    tokio::spawn(async move {
        // It ends by being aborted.
        let _ = axum::serve(listener, router).await;
    })
}
