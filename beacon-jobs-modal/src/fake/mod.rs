//! A Modal control plane in this process, for tests: functions, calls, and containers whose work
//! goes on until it is really ended.
//!
//! It speaks Modal's protocol on loopback, keeps a record of what ran when, and can be made to behave
//! badly. What it shows is how an executor deals with such a server; how the real one behaves it
//! does not show.

mod blobs;
mod containers;
mod faults;
mod service;
mod state;
mod web;
mod worker;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beacon_jobs::clock::SystemClock;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use self::faults::Fault;
use self::state::State;
pub use self::worker::{Container, Worker};
use crate::config::Config;
use crate::generated::modal_client_server::ModalClientServer;

/// The token that the control plane knows.
const TOKEN_ID: &str = "ak-of-the-fake";
const TOKEN_SECRET: &str = "as-of-the-fake";

/// The proxy token of its web endpoints.
const PROXY_KEY: &str = "wk-of-the-fake";
const PROXY_SECRET: &str = "ws-of-the-fake";

/// What a function does.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Returns this.
    Returns(Value),
    /// Returns its arguments: `{"args": …, "kwargs": …}`.
    Echoes,
    /// Raises an exception with this text.
    Raises(String),
    /// Goes on until it is cancelled, then ends at once and is reported as terminated.
    GoesOn,
    /// As [`GoesOn`](Self::GoesOn), but when it is cancelled it returns this and is reported as a success.
    Saves(Value),
    /// Pays no heed to a cancel: only the end of its container ends it.
    Swallows,
    /// When it is cancelled it is reported as terminated at once, and a thread of it computes on
    /// until its container ends.
    LeavesAThread,
    /// Whatever it does in a container of the [`Worker`] that the control plane
    /// [employs](ControlPlane::employ).
    Contained,
}

/// How the control plane treats its containers.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Behaviour {
    /// How long an input waits for a container.
    pub start_after: Duration,
    /// How long a container without work lives on.
    pub idle_for: Duration,
    /// How long a container lives on that a cancel is to end; `None`: for ever.
    pub terminate_after: Option<Duration>,
    /// The same after it was stopped by its own name.
    pub stop_after: Option<Duration>,
    /// How long the end of a container is not on record yet.
    pub record_after: Duration,
    /// Whether an input in a container of a [`Worker`] counts as terminated as soon as it is cancelled,
    /// whatever its container says later.
    pub ends_inputs_at_once: bool,
    /// Whether a call that was cancelled takes no input any more.
    pub refuses_inputs_after_cancel: bool,
    /// Whether it tells in which container an input is. Its own records of containers are there all the same.
    pub names_containers: bool,
    /// The largest input, and output, that travels in a message, in bytes.
    pub inline_bytes: u64,
    /// Whether functions take CBOR.
    pub takes_cbor: bool,
    /// Whether inputs are not taken for now, as the queue is full.
    pub queue_is_full: bool,
    /// Whether uploads are wanted in parts.
    pub wants_parts: bool,
    /// How long a web endpoint lets an answer wait before it redirects.
    pub web_leg: Duration,
    /// Whether web endpoints want [`ControlPlane::proxy_token`].
    pub wants_proxy_token: bool,
    /// Whether a function that is asked over the web is cancelled when who asked goes away, as handlers that
    /// stream are. Others are not.
    pub ends_on_disconnect: bool,
    /// Whether the places for uploads are named in the lists alone that newer clients of Modal read.
    pub names_lists_of_places: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            start_after: Duration::ZERO,
            idle_for: Duration::from_millis(200),
            terminate_after: Some(Duration::ZERO),
            stop_after: Some(Duration::ZERO),
            record_after: Duration::ZERO,
            ends_inputs_at_once: false,
            refuses_inputs_after_cancel: false,
            names_containers: true,
            inline_bytes: 8 * 1024,
            takes_cbor: true,
            queue_is_full: false,
            wants_parts: false,
            web_leg: web::LEG,
            wants_proxy_token: false,
            ends_on_disconnect: false,
            names_lists_of_places: false,
        }
    }
}

/// A call, as the control plane has it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CallRecord {
    /// Its id.
    pub id: String,
    /// The function's name.
    pub function: String,
    /// How many inputs it was given. More than one is a double feed.
    pub inputs: usize,
    /// Whether a cancel was taken, and whether one that ends containers.
    pub cancelled: Option<bool>,
    /// The containers that held its input, and whether each still computes.
    pub containers: Vec<(String, bool)>,
}

/// The control plane. It ends when it is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    shared: Arc<Shared>,
    address: SocketAddr,
    servers: Vec<JoinHandle<()>>,
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

impl ControlPlane {
    /// Starts one on a free port of loopback, with no functions.
    ///
    /// # Errors
    /// When no port can be had.
    ///
    /// # Cancellation safety
    /// Dropping the future starts nothing.
    pub async fn start() -> std::io::Result<Self> {
        let blobs = TcpListener::bind(("127.0.0.1", 0)).await?;
        let calls = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = calls.local_addr()?;
        let state = State::new(blobs.local_addr()?);
        let shared =
            Arc::new(Shared { state: Mutex::new(state), changed: Notify::new(), clock: SystemClock });
        let service = ModalClientServer::new(service::Service(Arc::clone(&shared)))
            .max_decoding_message_size(128 << 20)
            .max_encoding_message_size(128 << 20);
        let incoming = tonic::transport::server::TcpIncoming::from(calls).with_nodelay(Some(true));
        let serve = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
        let serve_blobs = blobs::serve(blobs, Arc::clone(&shared));
        let servers = vec![
            tokio::spawn(async move {
                let _ = serve.await;
            }),
            tokio::spawn(serve_blobs),
        ];
        Ok(Self { shared, address, servers })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A configuration whose token it knows.
    #[must_use]
    pub fn config(&self) -> Config {
        config(&self.url())
    }

    /// The origin of its web endpoints.
    #[must_use]
    pub fn web_origin(&self) -> String {
        format!("http://{}", self.shared.state().blob_address)
    }

    /// Where a function is asked over the web.
    #[must_use]
    pub fn web_url(&self, app: &str, function: &str) -> String {
        format!("{}/web/{app}/{function}", self.web_origin())
    }

    /// The key and the secret of a proxy token that its web endpoints know.
    #[must_use]
    pub const fn proxy_token(&self) -> (&'static str, &'static str) {
        (PROXY_KEY, PROXY_SECRET)
    }

    /// Deploys a function. One with the same names is replaced for the calls to come.
    pub fn deploy(&self, app: &str, function: &str, work: Work) {
        self.shared.state().deploy(app, function, work);
    }

    /// Gives it a worker, for functions that are deployed as [`Work::Contained`].
    pub fn employ(&self, worker: Arc<dyn Worker>) {
        self.shared.state().worker = Some(worker);
    }

    /// Changes how it treats containers, from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.state().behaviour);
    }

    /// Makes the next `times` calls of this name go wrong, such as `FunctionPutInputs`; `POST` and `GET` are those of
    /// web endpoints, which only fail or lose their replies.
    pub fn inject(&self, rpc: &'static str, times: u32, fault: Fault) {
        self.shared.state().faults.add(rpc, times, fault);
    }

    /// Lets all work that goes on return, with `{"done": true}`.
    pub fn complete(&self) {
        self.shared.complete();
    }

    /// Takes the containers away from all inputs that run, as a provider does that needs the machine:
    /// each input starts again in another container, after [`Behaviour::start_after`]. What ran is over when this returns, or, with
    /// `lingers`, computes on until its container is ended by its name.
    pub fn preempt(&self, lingers: bool) {
        self.shared.preempt(lingers);
    }

    /// Ends all containers, however they are to be treated, with what runs in them.
    pub fn end_containers(&self) {
        self.shared.end_containers();
    }

    /// Forgets the outputs, as after seven days.
    pub fn expire_outputs(&self) {
        self.shared.state().expire();
    }

    /// How many containers compute right now.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.shared.state().alive()
    }

    /// How many inputs have ever begun to run.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.shared.state().begun
    }

    /// How many calls of this name have arrived, such as `FunctionMap`.
    #[must_use]
    pub fn received(&self, rpc: &str) -> usize {
        self.shared.state().received.get(rpc).copied().unwrap_or(0)
    }

    /// How many calls have arrived that are not answered, as [`Fault::Stalls`] and [`Fault::Hangs`] have it.
    #[must_use]
    pub fn stuck(&self) -> usize {
        self.shared.state().stuck
    }

    /// All calls, in the order in which they were created.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRecord> {
        self.shared.state().records()
    }

    /// Waits until something has changed, and then until `fits` finds what it looks for.
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

/// A configuration for a control plane of another process, by its [`url`](ControlPlane::url).
#[must_use]
pub fn config(url: &str) -> Config {
    Config::new(TOKEN_ID, TOKEN_SECRET).with_server(url)
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
        // Workers know containers, which know the control plane.
        let mut state = self.shared.state();
        state.worker = None;
        state.tasks.clear();
    }
}
