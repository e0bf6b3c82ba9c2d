use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use super::node::Node;
use crate::cancel::CancelOutcome;
use crate::clock::{until, within};
use crate::executor::{Capabilities, Executor, Reach};
use crate::id::AttemptId;
use crate::metrics;
use crate::mutation::{Mutation, is_broken};
use crate::stop::{Minter, SealedBy, StopItem, StopRequest, StopState, StopStatus};
use crate::store::{HostBound, Seal, StopAnswer, StopUpdate, TakeStops};

/// How many stop calls may be under way at once.
const MOST_CALLS: usize = 256;
const BATCH: u32 = 256;
/// How much sooner force must be due for a stop to be made again at once. What is read at two times is
/// told on this node's clock with the time that each read took.
const SLACK: Duration = Duration::from_millis(100);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// For how long a confirmation that rests on time is looked at again, where the provider sets its
/// work no limit of life.
const UNLIMITED_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Drives open stops until they are settled.
#[derive(Debug)]
pub(super) struct StopDriver {
    node: Arc<Node>,
    calls: Arc<Semaphore>,
    /// Attempts whose stop is being driven here, each with what came for it meanwhile.
    driven: Mutex<HashMap<AttemptId, Option<StopItem>>>,
    /// When the next stop is due that was put off here.
    next_due: Mutex<Option<OffsetDateTime>>,
    tasks: TaskTracker,
}

/// What a stop call has brought to the store.
struct Recorded {
    state: StopState,
    evidence: Option<Value>,
}

impl StopDriver {
    pub(super) fn new(node: Arc<Node>) -> Arc<Self> {
        Arc::new(Self {
            node,
            calls: Arc::new(Semaphore::new(MOST_CALLS)),
            driven: Mutex::default(),
            next_due: Mutex::default(),
            tasks: TaskTracker::new(),
        })
    }

    /// Drives what cancels of this process hand over, until the runner ends. A task of its own, so
    /// that a cancel never waits for [`run`](Self::run), which may be taking stops from the store.
    pub(super) async fn run_local(self: Arc<Self>, mut local: mpsc::UnboundedReceiver<Vec<StopItem>>) {
        while let Some(Some(items)) = self.node.closed.run_until_cancelled(local.recv()).await {
            let may_be_more = items.len() >= CancelOutcome::MOST_OPENED as usize;
            for item in items {
                self.drive(item);
            }
            if may_be_more {
                self.node.wake.stops.notify_one();
            }
        }
    }

    /// Takes stops that are due from the store and drives them, until the runner ends.
    pub(super) async fn run(self: Arc<Self>) {
        while self.node.pause(&self.node.wake.stops, self.pause()).await {
            if let Err(error) = self.take().await {
                tracing::warn!(%error, "open stops could not be read");
            }
        }
    }

    /// How many stops are being driven here now.
    pub(super) fn driven(&self) -> usize {
        self.driven_map().len()
    }

    fn pause(&self) -> Duration {
        let due = *self.next_due.lock().unwrap_or_else(PoisonError::into_inner);
        let poll = self.node.poll();
        due.map_or(poll, |due| until(self.node.clock(), due).min(poll))
    }

    async fn take(self: &Arc<Self>) -> crate::Result<()> {
        // Also while nothing may be taken, or the pause would stay at nothing until something may.
        self.next_due.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(incarnation) = *self.node.incarnation.borrow() else { return Ok(()) };
        let take = TakeStops {
            incarnation,
            executors: self.node.executor_names(),
            host_bound: self.host_bound(),
            // Twice at once is harmless, for stops are idempotent; a lost answer costs this long.
            hold: self.node.options.poll * 5,
            limit: BATCH,
        };
        loop {
            let items = self.node.store().take_stops(&take).await?;
            let full = items.len() >= BATCH as usize;
            for item in items {
                self.drive(item);
            }
            if !full {
                return Ok(());
            }
        }
    }

    fn host_bound(&self) -> HostBound {
        let bound: BTreeMap<_, _> = self
            .node
            .executors
            .iter()
            .map(|(name, executor)| (name, executor.capabilities()))
            .filter(|(_, capabilities)| capabilities.reach == Reach::ThisHost)
            .collect();
        HostBound {
            here: self.node.host.clone(),
            missing_after: bound.values().map(|it| it.confirm_limit).max().unwrap_or_default(),
            executors: bound.into_keys().cloned().collect(),
        }
    }

    /// Makes one stop call, in a task of its own; while one is under way for the same attempt, the
    /// item waits for its end.
    fn drive(self: &Arc<Self>, mut item: StopItem) {
        item.times_of(self.node.clock().now());
        if let Some(control) = self.node.attempts.get(&item.attempt) {
            control.hasten(item.force_at);
        }
        {
            let mut driven = self.driven_map();
            if let Some(waiting) = driven.get_mut(&item.attempt) {
                *waiting = Some(item);
                return;
            }
            driven.insert(item.attempt, None);
        }
        let driver = Arc::clone(self);
        self.tasks.spawn(async move {
            let attempt = item.attempt;
            let mut next = Some(item);
            while let Some(item) = next {
                let made = (item.tries, item.mode, item.force_at);
                let recorded = driver.call(item).await;
                let mut driven = driver.driven_map();
                next = driven.get_mut(&attempt).and_then(Option::take);
                if let (Some(waited), Some(recorded)) = (&mut next, recorded) {
                    let (tries, mode, force_at) = made;
                    // It was read before that was recorded, if it counts no more answers.
                    let is_stale = waited.tries <= tries;
                    let is_harsher = waited.mode != mode || waited.force_at + SLACK < force_at;
                    if is_stale && (recorded.state == StopState::Confirmed || !is_harsher) {
                        // The store says when it is due again, and what is known by then: a call with less would
                        // find that it is behind, and what it showed would be lost.
                        next = None;
                    } else if is_stale {
                        // Its count stays as it was read: that answer may itself have been overtaken, and then
                        // nobody here knows what is on record.
                        waited.evidence = recorded.evidence;
                    }
                }
                if next.is_none() {
                    driven.remove(&attempt);
                }
            }
        });
    }

    fn driven_map(&self) -> std::sync::MutexGuard<'_, HashMap<AttemptId, Option<StopItem>>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one stop call. Returns what is on record after it, if anything was recorded.
    async fn call(&self, mut item: StopItem) -> Option<Recorded> {
        let node = &self.node;
        let executor = node.executors.get(&item.executor).map(Arc::clone)?;
        let capabilities = executor.capabilities();
        if capabilities.reach == Reach::ThisHost && item.host != node.host {
            self.leave_to_its_host(&item, &capabilities).await;
            return None;
        }
        if matches!(item.sealed, None | Some(SealedBy::Time)) {
            let sealed = self.seal(&item, &capabilities).await;
            let is_new = sealed.is_some();
            item.sealed = sealed.or(item.sealed);
            if is_new && item.handle.is_none() && item.state != StopState::Confirmed {
                // Its minter may have saved a handle since the item was read. Sealed, it will not save
                // another one, so what is read now is the truth; the seal made the stop due at once.
                node.wake.stops.notify_one();
                return None;
            }
        }
        let (answer, ask_again) = match (&item.handle, item.sealed) {
            // Its minter is about to save a handle or to seal it; both make the stop due at once.
            (None, None) => return None,
            (None, Some(_)) => never_saved(&capabilities),
            (Some(_), _) => self.ask(&*executor, &item, &capabilities).await,
        };
        let shown = match &answer {
            StopAnswer::Acknowledged { evidence }
            | StopAnswer::Ended { evidence, .. }
            | StopAnswer::Unconfirmed { evidence: Some(evidence), .. } => Some(evidence.clone()),
            StopAnswer::Nothing { .. } | StopAnswer::Unconfirmed { evidence: None, .. } => {
                item.evidence.clone()
            }
        };
        let state = self.record(&item, &capabilities, answer, self.due_in(&item, ask_again)).await?;
        Some(Recorded { state, evidence: shown })
    }

    async fn record(
        &self,
        item: &StopItem,
        capabilities: &Capabilities,
        answer: StopAnswer,
        due_in: Duration,
    ) -> Option<StopState> {
        let node = &self.node;
        let seen_confirmed = item.state == StopState::Confirmed;
        let lifetime = capabilities.lifetime_limit.unwrap_or(UNLIMITED_LIFE);
        let watch = node.clock().now() < item.requested_at + lifetime;
        let due_in = if seen_confirmed { node.options.max_stop_pause } else { due_in };
        let update = StopUpdate {
            attempt: item.attempt,
            seen_seal: item.sealed,
            seen_confirmed,
            seen_tries: Some(item.tries),
            answer,
            due_in,
            watch,
        };
        let store = node.store();
        let recorded = node.persist("stop", || store.record_stops(std::slice::from_ref(&update))).await;
        let state = recorded.and_then(|mut states| states.pop()).flatten();
        if let Some(state @ (StopState::Confirmed | StopState::Unconfirmed)) = state
            && state != item.state
        {
            let after = Duration::try_from(node.clock().now() - item.requested_at).unwrap_or_default();
            metrics::stop_settled(&item.executor, state, after);
        }
        match state {
            Some(StopState::Confirmed) if seen_confirmed => {}
            Some(StopState::Confirmed) => {
                tracing::info!(job.id = %item.job, index = item.index, attempt = %item.attempt, "stop confirmed");
            }
            Some(_) => self.put_off(node.clock().now() + due_in),
            None => {}
        }
        state
    }

    /// Says of a stop that only another host can drive, and has not, that it is not confirmed.
    async fn leave_to_its_host(&self, item: &StopItem, capabilities: &Capabilities) {
        if self.is_overdue(item, capabilities) && item.state != StopState::Unconfirmed {
            let why =
                format!("only its host {} can end it and show the end, and has not been heard of", item.host);
            let answer = StopAnswer::Unconfirmed { why, evidence: None, settled: true, again: true };
            // Due at once: the host may come back at any time.
            self.record(item, capabilities, answer, Duration::ZERO).await;
        }
    }

    /// Seals an attempt where this node can tell that no request of it is under way.
    async fn seal(&self, item: &StopItem, capabilities: &Capabilities) -> Option<SealedBy> {
        let node = &self.node;
        let now = node.clock().now();
        let mine =
            *node.incarnation.borrow() == Some(item.incarnation) && !is_broken(Mutation::NoSealWithoutTask);
        let by = match item.minter {
            // Its task is here, and knows better than a lease that has run out.
            _ if node.attempts.get(&item.attempt).is_some_and(|attempt| attempt.is_minted) => return None,
            _ if mine && item.sealed.is_some() => return None,
            _ if mine => SealedBy::Minter,
            Minter::Ended(at) if now >= at + capabilities.start_deadline => SealedBy::Ended,
            Minter::Expired(at) if now >= at + capabilities.start_deadline => SealedBy::Time,
            _ => return None,
        };
        if item.sealed == Some(by) {
            return None;
        }
        let seal = Seal { attempt: item.attempt, by };
        let store = node.store();
        node.persist("seal", || store.seal(std::slice::from_ref(&seal))).await.map(|()| by)
    }

    /// Asks the executor to stop the attempt.
    async fn ask(
        &self,
        executor: &dyn Executor,
        item: &StopItem,
        capabilities: &Capabilities,
    ) -> (StopAnswer, Duration) {
        let node = &self.node;
        let pause = self.backoff(item.tries);
        let nothing = |why: String| {
            if self.is_overdue(item, capabilities) {
                (StopAnswer::Unconfirmed { why, evidence: None, settled: false, again: true }, pause)
            } else {
                (StopAnswer::Nothing { why }, pause)
            }
        };
        let Some(handle) = &item.handle else { return nothing("no handle was saved".to_owned()) };
        let Ok(_permit) = self.calls.acquire().await else { return nothing("the runner ends".to_owned()) };
        let (grace, overdue) = around(node.clock().now(), item.force_at);
        let request = StopRequest::new(item.attempt, grace, item.sealed.is_some())
            .with_overdue(overdue)
            .with_evidence(item.evidence.clone());
        let call = executor.stop(handle, &request);
        match within(node.clock(), node.options.stop_call_limit, call).await {
            Some(Ok(StopStatus::Confirmed { evidence })) => {
                let seals = capabilities.refuses_start_after_stop;
                (StopAnswer::Ended { evidence, seals }, node.options.poll)
            }
            Some(Ok(StopStatus::Acknowledged { evidence, ask_again })) => {
                let ask_again = ask_again.max(self.backoff(item.tries.saturating_sub(4)) / 4);
                if self.is_overdue(item, capabilities) {
                    let why = "the provider has heard, and does not show the end".to_owned();
                    let evidence = Some(evidence);
                    (StopAnswer::Unconfirmed { why, evidence, settled: false, again: true }, ask_again)
                } else {
                    (StopAnswer::Acknowledged { evidence }, ask_again)
                }
            }
            Some(Ok(StopStatus::Unconfirmable { why, evidence, ask_again })) => {
                let again = ask_again.is_some();
                let ask_again = ask_again.unwrap_or(pause).max(self.backoff(item.tries) / 4);
                (StopAnswer::Unconfirmed { why, evidence, settled: true, again }, ask_again)
            }
            Some(Err(error)) => {
                tracing::warn!(job.id = %item.job, attempt = %item.attempt, %error, "stop call failed");
                nothing(format!("the provider did not answer: {error}"))
            }
            None => nothing(format!("the provider did not answer within {:?}", node.options.stop_call_limit)),
        }
    }

    fn is_overdue(&self, item: &StopItem, capabilities: &Capabilities) -> bool {
        self.node.clock().now() >= item.requested_at + capabilities.confirm_limit
    }

    fn backoff(&self, tries: u32) -> Duration {
        FIRST_PAUSE.saturating_mul(1 << tries.min(16)).min(self.node.options.max_stop_pause)
    }

    /// When the stop is due again: also when its grace ends, for then it is asked by force.
    fn due_in(&self, item: &StopItem, ask_again: Duration) -> Duration {
        let grace = until(self.node.clock(), item.force_at);
        let pause = ask_again.min(self.node.options.max_stop_pause);
        if grace.is_zero() { pause } else { pause.min(grace) }
    }

    fn put_off(&self, due: OffsetDateTime) {
        let mut next = self.next_due.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none_or(|known| due < known) {
            *next = Some(due);
            drop(next);
            // Lets the loop reckon its pause anew.
            self.node.wake.stops.notify_one();
        }
    }
}

/// How long it is until a time, and for how long it has passed: one of them is zero.
fn around(now: OffsetDateTime, at: OffsetDateTime) -> (Duration, Duration) {
    let span = |span: time::Duration| Duration::try_from(span).unwrap_or_default();
    (span(at - now), span(now - at))
}

/// The stop of a sealed attempt for which no handle was ever saved.
fn never_saved(capabilities: &Capabilities) -> (StopAnswer, Duration) {
    let answer = if capabilities.two_step {
        StopAnswer::Ended {
            evidence: json!({
                "never_began": true,
                "shown_by": "no handle was saved, and nothing begins without one",
            }),
            seals: false,
        }
    } else {
        let limit = capabilities.lifetime_limit;
        let until =
            limit.map_or_else(String::new, |limit| format!("; the provider ends it within {limit:?}"));
        StopAnswer::Unconfirmed {
            why: format!("it may have begun, and no handle was saved to stop it by{until}"),
            evidence: None,
            settled: true,
            again: false,
        }
    };
    (answer, Duration::ZERO)
}
