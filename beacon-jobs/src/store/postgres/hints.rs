//! Hints between the nodes that share a database.
//!
//! A cancel sends its hint with its commit. All others are gathered and sent a few times a second at
//! most: a commit that sends one waits for every other that does.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use tokio::runtime::Handle;

use super::Core;
use super::link::{Call, Nature};
use super::source::{Lane, Source};
use super::statements::Statement;
use crate::clock::{Clock, SystemClock};
use crate::id::JobId;
use crate::store::Signal;

/// The least time between two messages of a store.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the listener waits before it tries to connect again.
const RECONNECT: Duration = Duration::from_millis(500);

/// How many bytes of names go with one message; Postgres takes 8 000 bytes in all.
const MOST_BYTES: usize = 6_000;

/// How many changed jobs wait to be told at most; those beyond are found at the next poll.
const MOST_JOBS: usize = 1_024;

/// A message between stores.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Message {
    /// The store that sent it, which has told its own listeners already.
    from: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cancelled: Vec<JobId>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    queued: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stops_due: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    jobs: Vec<JobId>,
}

/// What is to be told to other stores.
#[derive(Debug)]
pub(super) struct Hints {
    pub(super) channel: String,
    pub(super) from: String,
    state: Mutex<State>,
    /// Whether what other stores tell comes through just now.
    hears: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    queued: bool,
    stops_due: bool,
    jobs: BTreeSet<JobId>,
    is_sending: bool,
    is_listening: bool,
}

impl State {
    /// What goes with the next message; `None` when there is nothing.
    fn take(&mut self, from: &str) -> Option<Message> {
        let mut message = Message {
            from: from.to_owned(),
            queued: std::mem::take(&mut self.queued),
            stops_due: std::mem::take(&mut self.stops_due),
            ..Message::default()
        };
        let mut bytes = 0;
        while bytes < MOST_BYTES
            && let Some(job) = self.jobs.pop_first()
        {
            bytes += job.as_str().len() + 3;
            message.jobs.push(job);
        }
        (message.queued || message.stops_due || !message.jobs.is_empty()).then_some(message)
    }
}

impl Hints {
    pub(super) fn new(schema: &str, from: String) -> Self {
        Self {
            channel: format!("beacon_jobs.{schema}"),
            from,
            state: Mutex::default(),
            hears: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the listening connection is up, as far as is known.
    pub(super) fn hears(&self) -> bool {
        self.hears.load(Ordering::Acquire)
    }

    /// Gathers signals for the other stores; the first spawns a task that sends what was gathered.
    pub(super) fn tell(&self, core: &Arc<Core>, signals: &[Signal]) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut state = self.lock();
        for signal in signals {
            match signal {
                Signal::Queued => state.queued = true,
                Signal::StopsDue => state.stops_due = true,
                Signal::Job(job) if state.jobs.len() < MOST_JOBS => {
                    state.jobs.insert(job.clone());
                }
                // Cancels have told it themselves.
                _ => {}
            }
        }
        let is_news = state.queued || state.stops_due || !state.jobs.is_empty();
        if is_news && !state.is_sending {
            state.is_sending = true;
            runtime.spawn(send(Sending(Arc::clone(core))));
        }
    }

    /// Whether this call is the one that must start to listen.
    pub(super) fn begins_to_listen(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_listening, true)
    }
}

/// Marks that a task sends; when it is dropped, the next hint spawns another.
struct Sending(Arc<Core>);

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(hints) = &self.0.hints {
            hints.lock().is_sending = false;
        }
    }
}

async fn send(sending: Sending) {
    let core = &sending.0;
    let Some(hints) = &core.hints else { return };
    loop {
        let message = {
            let mut state = hints.lock();
            match state.take(&hints.from) {
                Some(message) => message,
                None => {
                    // Under the lock, or a hint that comes now would find a sender that is gone.
                    state.is_sending = false;
                    return;
                }
            }
        };
        let call = Call::new(Statement::Notify).bind(&hints.channel).bind(crate::store::sql::json(&message));
        if let Err(fault) = core.source.run(Lane::Common, Nature::Read, &call).await {
            tracing::debug!(%fault, "other nodes were not told of a change; they find it at their next poll");
        }
        SystemClock.sleep(PAUSE).await;
    }
}

/// Passes on what other stores tell, until the store is dropped.
pub(super) async fn listen(core: Weak<Core>) {
    loop {
        let Some(pool) = core.upgrade().map(|core| pool(&core.source)) else { return };
        let heard = listen_on(&core, &pool).await;
        pool.close().await;
        if core.upgrade().is_none_or(|core| core.closed.is_cancelled()) {
            return;
        }
        if let Err(error) = heard {
            tracing::warn!(%error, "no hints come from other nodes just now; changes are found by polling");
            SystemClock.sleep(RECONNECT).await;
        }
    }
}

/// A pool of the one connection that listens.
fn pool(source: &Source) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(source.options().clone())
}

/// Listens until the connection is lost.
async fn listen_on(core_of: &Weak<Core>, pool: &PgPool) -> Result<(), sqlx::Error> {
    let Some((channel, from, closed)) = core_of.upgrade().and_then(|core| {
        let hints = core.hints.as_ref()?;
        Some((hints.channel.clone(), hints.from.clone(), core.closed.clone()))
    }) else {
        return Ok(());
    };
    let mut listener = PgListener::connect_with(pool).await?;
    // By itself it would connect again before it says that a connection was lost.
    listener.eager_reconnect(false);
    listener.listen(&channel).await?;
    let hearing = Hearing(Weak::clone(core_of));
    hearing.begin();
    loop {
        let notification = tokio::select! {
            biased;
            () = closed.cancelled() => return Ok(()),
            notification = listener.try_recv() => notification,
        };
        let Some(notification) = notification? else { return Ok(()) };
        let Some(core) = core_of.upgrade() else { return Ok(()) };
        pass_on(&core, &from, notification.payload());
    }
}

/// That hints of the other stores arrive; no longer, when it is dropped.
struct Hearing(Weak<Core>);

impl Hearing {
    fn begin(&self) {
        if let Some(core) = self.0.upgrade() {
            self.set(&core, true);
            // Only now is nothing missed any more: what came before is to be read again.
            core.signals.send(Signal::Missed);
        }
    }

    fn set(&self, core: &Core, hears: bool) {
        if let Some(hints) = &core.hints {
            hints.hears.store(hears, Ordering::Release);
        }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        if let Some(core) = self.0.upgrade() {
            self.set(&core, false);
        }
    }
}

fn pass_on(core: &Core, from: &str, payload: &str) {
    let Ok(message) = serde_json::from_str::<Message>(payload) else {
        // Somebody else's words, or a newer version's: something may have changed.
        core.signals.send(Signal::Missed);
        return;
    };
    if message.from == from {
        return;
    }
    let cancelled = message.cancelled.into_iter().map(Signal::Cancelled);
    let queued = message.queued.then_some(Signal::Queued);
    let stops_due = message.stops_due.then_some(Signal::StopsDue);
    let jobs = message.jobs.into_iter().map(Signal::Job);
    for signal in cancelled.chain(queued).chain(stops_due).chain(jobs) {
        core.signals.send(signal);
    }
}
