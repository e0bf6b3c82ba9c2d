//! A provider double: work goes on there until it is really stopped.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::AttemptId;
use beacon_jobs::executor::{Capabilities, ExecuteError, ExecutionContext, Executor};
use beacon_jobs::stop::{Handle, StopError, StopRequest, StopStatus};
use serde_json::{Value, json};
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Inert,
    Alive,
    Done,
    Stopped,
}

/// Where an attempt's task, or the provider, can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    BeforeCreate,
    /// The create request is on its way.
    Create,
    AfterSave,
    /// The begin request is on its way.
    Begin,
    /// The stop request is on its way.
    Stop,
}

#[derive(Default)]
struct State {
    work: BTreeMap<AttemptId, Work>,
    calls: Vec<String>,
    /// What the stop calls were told, in order.
    told: Vec<StopRequest>,
    hold: Option<Point>,
    reached: Option<Point>,
    stop_errors: u32,
    acknowledge: u32,
    stubborn: bool,
    fail_next: u32,
    lose_begin_reply: bool,
}

/// The provider.
#[derive(Clone, Default)]
pub struct Provider {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Provider {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let output = act(&mut self.state.lock().unwrap());
        self.changed.notify_waiters();
        output
    }

    pub async fn wait<T>(&self, what: &str, look: impl Fn(&State2<'_>) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = look(&State2(&self.state.lock().unwrap())) {
                    return found;
                }
                changed.await;
            }
        };
        tokio::time::timeout(super::LONG, waiting).await.unwrap_or_else(|_| panic!("never: {what}"))
    }

    /// Holds every task that reaches this point, until `release`.
    pub fn hold(&self, point: Point) {
        self.with(|state| {
            state.hold = Some(point);
            // Who had reached it before is not who is held now.
            state.reached = None;
        });
    }

    pub fn release(&self) {
        self.with(|state| state.hold = None);
    }

    pub async fn reached(&self, point: Point) {
        self.wait(&format!("{point:?}"), |state| (state.0.reached == Some(point)).then_some(())).await;
    }

    /// The next stop calls bring an error.
    pub fn fail_stops(&self, count: u32) {
        self.with(|state| state.stop_errors = count);
    }

    /// The next stop calls are only acknowledged.
    pub fn acknowledge_stops(&self, count: u32) {
        self.with(|state| state.acknowledge = count);
    }

    /// Work is never ended by a stop.
    pub fn stubborn(&self, stubborn: bool) {
        self.with(|state| state.stubborn = stubborn);
    }

    /// The next attempts fail, retryably.
    pub fn fail_attempts(&self, count: u32) {
        self.with(|state| state.fail_next = count);
    }

    /// Begin requests arrive, but their replies are lost.
    pub fn lose_begin_replies(&self) {
        self.with(|state| state.lose_begin_reply = true);
    }

    pub fn set(&self, attempt: AttemptId, work: Work) {
        self.with(|state| state.work.insert(attempt, work));
    }

    pub fn finish(&self, attempt: AttemptId) {
        self.with(|state| state.work.insert(attempt, Work::Done));
    }

    pub fn finish_all(&self) {
        self.with(|state| {
            for work in state.work.values_mut().filter(|work| **work == Work::Alive) {
                *work = Work::Done;
            }
        });
    }

    pub fn alive(&self) -> Vec<AttemptId> {
        self.with(|state| State2(state).alive())
    }

    /// What the stop calls were told, in order.
    pub fn told(&self) -> Vec<StopRequest> {
        self.with(|state| state.told.clone())
    }

    pub fn calls(&self) -> Vec<String> {
        self.with(|state| state.calls.clone())
    }

    pub fn count(&self, call: &str) -> usize {
        self.calls().iter().filter(|name| *name == call).count()
    }

    /// Waits until this many are alive.
    pub async fn wait_alive(&self, count: usize) -> Vec<AttemptId> {
        self.wait(&format!("{count} alive"), |state| {
            let alive = state.alive();
            (alive.len() == count).then_some(alive)
        })
        .await
    }

    async fn pass(&self, point: Point) {
        // A stop that is not held must not hide what is.
        self.with(|state| {
            if point != Point::Stop || state.hold == Some(point) {
                state.reached = Some(point);
            }
        });
        self.wait(&format!("past {point:?}"), |state| (state.0.hold != Some(point)).then_some(())).await;
    }

    fn call(&self, name: &str) {
        self.with(|state| state.calls.push(name.to_owned()));
    }
}

/// A look at the provider's state.
pub struct State2<'a>(&'a State);

impl State2<'_> {
    pub fn work(&self, attempt: AttemptId) -> Option<Work> {
        self.0.work.get(&attempt).copied()
    }

    pub fn alive(&self) -> Vec<AttemptId> {
        self.0.work.iter().filter(|(_, work)| **work == Work::Alive).map(|(id, _)| *id).collect()
    }

    pub fn told(&self) -> &[StopRequest] {
        &self.0.told
    }

    pub fn first(&self) -> Option<AttemptId> {
        self.0.work.keys().next().copied()
    }

    pub fn count(&self, call: &str) -> usize {
        self.0.calls.iter().filter(|name| *name == call).count()
    }
}

/// The executor of the double.
#[derive(Clone)]
pub struct Remote {
    pub provider: Provider,
    pub capabilities: Capabilities,
}

impl Remote {
    pub fn two_step(provider: &Provider) -> Self {
        let mut capabilities = Capabilities::default();
        capabilities.two_step = true;
        capabilities.grace = true;
        capabilities.start_deadline = Duration::ZERO;
        Self { provider: provider.clone(), capabilities }
    }

    pub fn one_step(provider: &Provider) -> Self {
        let mut remote = Self::two_step(provider);
        remote.capabilities.two_step = false;
        remote
    }

    pub fn resumable(provider: &Provider) -> Self {
        let mut remote = Self::two_step(provider);
        remote.capabilities.resume = true;
        remote
    }

    async fn watch(&self, attempt: AttemptId) -> Result<Value, ExecuteError> {
        let work = self
            .provider
            .wait("the end of the work", |state| state.work(attempt).filter(|work| *work != Work::Alive))
            .await;
        match work {
            Work::Done => Ok(json!("output")),
            Work::Inert => Err(ExecuteError::interrupted("it never began")),
            _ => Err(ExecuteError::failed("it was stopped")),
        }
    }
}

#[async_trait]
impl Executor for Remote {
    fn name(&self) -> &str {
        "remote"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn execute(&self, cx: &ExecutionContext) -> Result<Value, ExecuteError> {
        let attempt = cx.attempt_id();
        let provider = &self.provider;
        if cx.saved_handle().is_some() {
            provider.call("attach");
            return self.watch(attempt).await;
        }
        provider.pass(Point::BeforeCreate).await;
        let two_step = self.capabilities.two_step;
        cx.starting(super::LONG, async {
            provider.call("create");
            provider.pass(Point::Create).await;
            provider
                .with(|state| state.work.insert(attempt, if two_step { Work::Inert } else { Work::Alive }));
        })
        .await?;
        cx.save_handle(&Handle::new(json!({ "object": attempt }))).await?;
        if two_step {
            provider.pass(Point::AfterSave).await;
            let lost = cx
                .starting(super::LONG, async {
                    provider.call("begin");
                    provider.pass(Point::Begin).await;
                    provider.with(|state| {
                        state.work.insert(attempt, Work::Alive);
                        state.lose_begin_reply
                    })
                })
                .await?;
            if lost {
                return Err(ExecuteError::failed("the reply was lost").retryable());
            }
        }
        let fails = provider.with(|state| {
            let fails = state.fail_next > 0;
            state.fail_next = state.fail_next.saturating_sub(1);
            fails
        });
        if fails {
            // The work goes on at the provider: the attempt's end does not end it.
            return Err(ExecuteError::failed("told to fail").retryable());
        }
        self.watch(attempt).await
    }

    async fn stop(&self, handle: &Handle, request: &StopRequest) -> Result<StopStatus, StopError> {
        let attempt: AttemptId = serde_json::from_value(handle.as_value()["object"].clone()).unwrap();
        assert_eq!(attempt, request.attempt);
        self.provider.with(|state| {
            state.calls.push("stop".to_owned());
            state.told.push(request.clone());
        });
        self.provider.pass(Point::Stop).await;
        self.provider.with(|state| {
            if state.stop_errors > 0 {
                state.stop_errors -= 1;
                return Err(StopError::new("the double says no"));
            }
            if state.acknowledge > 0 || state.stubborn {
                state.acknowledge = state.acknowledge.saturating_sub(1);
                return Ok(StopStatus::Acknowledged {
                    evidence: json!({ "heard": state.told.len() }),
                    ask_again: Duration::from_millis(10),
                });
            }
            let was = state.work.get(&attempt).copied();
            // Like a provider that takes input after a stop: an inert object may still begin later.
            if was == Some(Work::Alive) {
                state.work.insert(attempt, Work::Stopped);
            }
            Ok(StopStatus::Confirmed { evidence: json!({ "was": format!("{was:?}") }) })
        })
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("remote double")
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}
