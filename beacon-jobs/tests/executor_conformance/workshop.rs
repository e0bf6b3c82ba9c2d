//! A provider double: work goes on there until it is really ended, whoever waits for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::conformance::{Fault, TestProvider, Work};
use beacon_jobs::executor::{Capabilities, ExecuteError, ExecutionContext, Executor};
use beacon_jobs::job::FailureKind;
use beacon_jobs::stop::{Handle, StopError, StopRequest, StopStatus};
use beacon_jobs::{AttemptId, Error};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// What sort of provider it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) two_step: bool,
    pub(crate) resume: bool,
    pub(crate) refuses_start_after_stop: bool,
}

/// What is wrong with its executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    BeginsAtCreate,
    BeginsUnasked,
    BeginsWhenResumed,
    BeginsAfterStop,
    BeginsTwice,
    ConfirmsUnseen,
    ConfirmsStrangers,
    ShowsNothing,
    ForcesAtOnce,
    StopsOnce,
    GivesUp,
    RunsAnything,
    LosesOutputs,
    Fickle,
}

/// Where a piece of work is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Created,
    /// Was told to end before it began, and never begins.
    Void,
    Alive(Sort),
    Completed,
    Failed,
    Saved,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sort {
    Ends,
    Fails,
    GoesOn,
    SavesItself,
    Ignores,
}

#[derive(Deserialize)]
struct Input {
    work: Sort,
}

#[derive(Serialize, Deserialize)]
struct Place {
    piece: AttemptId,
}

#[derive(Default)]
struct Floor {
    pieces: BTreeMap<AttemptId, Piece>,
    begun: usize,
    complete: bool,
    stops_fail: u32,
    starts_fail: u32,
    replies_lost: u32,
    watches_fail: u32,
    asked: u64,
}

/// Takes one from a number of faults that are still to come.
fn strikes(left: &mut u32) -> bool {
    let strikes = *left > 0;
    *left = left.saturating_sub(1);
    strikes
}

impl Floor {
    fn begin(&mut self, piece: AttemptId, sort: Sort) -> bool {
        if self.pieces.get(&piece) == Some(&Piece::Void) {
            return false;
        }
        self.begun += 1;
        let state = match sort {
            Sort::Ends => Piece::Completed,
            Sort::Fails => Piece::Failed,
            _ if self.complete => Piece::Completed,
            sort => Piece::Alive(sort),
        };
        self.pieces.insert(piece, state);
        true
    }

    fn end(&mut self, piece: AttemptId, force: bool, voids: bool) -> Option<Piece> {
        let state = self.pieces.get_mut(&piece)?;
        *state = match *state {
            Piece::Created if voids => Piece::Void,
            Piece::Alive(Sort::Ignores) if !force => *state,
            Piece::Alive(Sort::SavesItself) if !force => Piece::Saved,
            Piece::Alive(_) => Piece::Ended,
            state => state,
        };
        Some(*state)
    }
}

#[derive(Clone)]
pub(crate) struct Workshop {
    kind: Kind,
    bug: Option<Bug>,
    floor: Arc<Mutex<Floor>>,
    changed: Arc<Notify>,
}

impl Workshop {
    pub(crate) fn new(kind: Kind, bug: Option<Bug>) -> Self {
        Self { kind, bug, floor: Arc::default(), changed: Arc::default() }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Floor) -> T) -> T {
        let output = act(&mut self.floor.lock().unwrap());
        self.changed.notify_waiters();
        output
    }

    /// One look at a piece, when it has changed; an error when a watch is to fail.
    async fn look(&self, piece: AttemptId) -> Result<Option<Piece>, &'static str> {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let (state, fails) = {
            let mut floor = self.floor.lock().unwrap();
            let state = floor.pieces.get(&piece).copied();
            let fails = !matches!(state, Some(Piece::Alive(_))) && strikes(&mut floor.watches_fail);
            (state, fails)
        };
        if fails {
            return Err("the connection was reset");
        }
        if matches!(state, Some(Piece::Alive(_))) {
            changed.await;
        }
        Ok(state)
    }
}

#[async_trait]
impl TestProvider for Workshop {
    fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(Remote { workshop: self.clone() })
    }

    fn restarted(&self) -> Option<Arc<dyn Executor>> {
        Some(self.executor())
    }

    fn input(&self, work: Work) -> Option<Value> {
        Some(match work {
            Work::Ends => json!({ "work": Sort::Ends }),
            Work::Fails => json!({ "work": Sort::Fails }),
            Work::GoesOn => json!({ "work": Sort::GoesOn }),
            Work::SavesItself => json!({ "work": Sort::SavesItself }),
            Work::Ignores => json!({ "work": Sort::Ignores }),
            Work::Illegal => json!({ "work": "something else" }),
        })
    }

    async fn alive(&self) -> usize {
        self.with(|floor| floor.pieces.values().filter(|piece| matches!(piece, Piece::Alive(_))).count())
    }

    async fn begun(&self) -> usize {
        self.with(|floor| floor.begun)
    }

    async fn complete(&self) {
        self.with(|floor| {
            floor.complete = true;
            for piece in floor.pieces.values_mut().filter(|piece| matches!(piece, Piece::Alive(_))) {
                *piece = Piece::Completed;
            }
        });
    }

    async fn inject(&self, fault: Fault) -> bool {
        self.with(|floor| match fault {
            Fault::StopsFail(times) => floor.stops_fail = times,
            Fault::StartsFail(times) => floor.starts_fail = times,
            Fault::RepliesLost(times) => floor.replies_lost = times,
            Fault::WatchesFail(times) => floor.watches_fail = times,
        });
        true
    }
}

/// The executor of the double.
struct Remote {
    workshop: Workshop,
}

fn unreachable(message: &'static str) -> ExecuteError {
    ExecuteError::new(FailureKind::Provider, message).retryable()
}

impl Remote {
    async fn create(&self, piece: AttemptId, sort: Sort) -> Result<(), ExecuteError> {
        let two_step = self.workshop.kind.two_step;
        let (fails, lost) = self.workshop.with(|floor| {
            if strikes(&mut floor.starts_fail) {
                return (true, false);
            }
            if two_step {
                floor.pieces.insert(piece, Piece::Created);
                if self.workshop.has(Bug::BeginsAtCreate) {
                    floor.begin(piece, sort);
                }
                return (false, false);
            }
            floor.begin(piece, sort);
            (false, strikes(&mut floor.replies_lost))
        });
        if fails {
            return Err(unreachable("connection refused"));
        }
        if lost {
            return Err(unreachable("the reply was lost"));
        }
        Ok(())
    }

    async fn begin(&self, piece: AttemptId, sort: Sort) -> Result<(), ExecuteError> {
        let (begun, lost) = self.workshop.with(|floor| {
            if self.workshop.has(Bug::BeginsAfterStop) {
                floor.pieces.insert(piece, Piece::Created);
            }
            let begun = match floor.pieces.get(&piece) {
                // Begun at its creation already.
                Some(Piece::Alive(_) | Piece::Completed | Piece::Failed) => true,
                _ => floor.begin(piece, sort),
            };
            if self.workshop.has(Bug::BeginsTwice) {
                floor.begin(piece, sort);
            }
            (begun, strikes(&mut floor.replies_lost))
        });
        if lost {
            return Err(unreachable("the reply was lost"));
        }
        if begun { Ok(()) } else { Err(ExecuteError::failed("it was ended before it began")) }
    }

    async fn watch(&self, piece: AttemptId) -> Result<Value, ExecuteError> {
        loop {
            match self.workshop.look(piece).await {
                Ok(Some(Piece::Alive(_))) => {}
                Err(error) if self.workshop.has(Bug::GivesUp) => return Err(unreachable(error)),
                Err(_) => {}
                Ok(Some(Piece::Completed)) if self.workshop.has(Bug::LosesOutputs) => {
                    return Err(ExecuteError::failed("no output"));
                }
                Ok(Some(Piece::Completed)) => return Ok(json!("output")),
                Ok(Some(Piece::Failed)) => return Err(ExecuteError::failed("exit code 1")),
                Ok(Some(Piece::Saved)) => {
                    return Err(ExecuteError::failed("it was told to end").with_output(json!("saved")));
                }
                Ok(Some(Piece::Ended)) => return Err(ExecuteError::failed("it was ended")),
                Ok(Some(Piece::Created | Piece::Void) | None) => {
                    return Err(ExecuteError::interrupted("it never began"));
                }
            }
        }
    }
}

#[async_trait]
impl Executor for Remote {
    fn name(&self) -> &str {
        "workshop"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        if self.workshop.has(Bug::Fickle) {
            let times = self.workshop.with(|floor| {
                floor.asked += 1;
                floor.asked
            });
            capabilities.lifetime_limit = Some(Duration::from_secs(times));
        }
        capabilities.two_step = self.workshop.kind.two_step;
        capabilities.resume = self.workshop.kind.resume;
        capabilities.refuses_start_after_stop = self.workshop.kind.refuses_start_after_stop;
        capabilities.grace = true;
        capabilities.start_deadline = Duration::ZERO;
        capabilities
    }

    fn check_input(&self, input: &Value) -> beacon_jobs::Result<()> {
        Input::deserialize(input).map(drop).map_err(|error| Error::invalid("input", error.to_string()))
    }

    async fn execute(&self, cx: &ExecutionContext) -> Result<Value, ExecuteError> {
        const DEADLINE: Duration = Duration::from_secs(5);
        if let Some(handle) = cx.saved_handle() {
            let place: Place = handle.read().map_err(|error| ExecuteError::interrupted(error.to_string()))?;
            if self.workshop.has(Bug::BeginsWhenResumed) {
                self.begin(place.piece, Sort::GoesOn).await?;
            }
            return self.watch(place.piece).await;
        }
        let Input { work } = match cx.input() {
            Err(_) if self.workshop.has(Bug::RunsAnything) => Input { work: Sort::GoesOn },
            input => input?,
        };
        let piece = cx.attempt_id();
        cx.starting(DEADLINE, self.create(piece, work)).await??;
        let handle = Handle::of(&Place { piece }).map_err(|error| ExecuteError::failed(error.to_string()))?;
        let saved = cx.save_handle(&handle).await;
        if self.workshop.has(Bug::BeginsUnasked) {
            self.begin(piece, work).await?;
        }
        saved?;
        if self.workshop.kind.two_step {
            cx.starting(DEADLINE, self.begin(piece, work)).await??;
        }
        self.watch(piece).await
    }

    async fn stop(&self, handle: &Handle, request: &StopRequest) -> Result<StopStatus, StopError> {
        let Ok(Place { piece }) = handle.read() else {
            if self.workshop.has(Bug::ConfirmsStrangers) {
                return Ok(StopStatus::Confirmed { evidence: json!({ "gone": true }) });
            }
            return Err(StopError::new("the handle is not one of this workshop"));
        };
        let voids = self.workshop.kind.refuses_start_after_stop;
        let force = request.grace.is_zero() || self.workshop.has(Bug::ForcesAtOnce);
        let (before, answer) = self.workshop.with(|floor| {
            let before = floor.pieces.get(&piece).copied();
            let fails = strikes(&mut floor.stops_fail);
            let answer =
                (!fails && !self.workshop.has(Bug::ConfirmsUnseen)).then(|| floor.end(piece, force, voids));
            (before, if fails { None } else { answer.or(Some(Some(Piece::Ended))) })
        });
        let is_over = matches!(before, Some(Piece::Ended | Piece::Completed));
        if self.workshop.has(Bug::StopsOnce) && is_over {
            return Ok(StopStatus::Unconfirmable {
                why: "nothing there".to_owned(),
                evidence: None,
                ask_again: None,
            });
        }
        let Some(state) = answer else { return Err(StopError::new("connection refused")) };
        let evidence = json!({ "piece": piece, "state": format!("{state:?}") });
        Ok(match state {
            Some(Piece::Alive(_)) => {
                StopStatus::Acknowledged { evidence, ask_again: Duration::from_millis(10) }
            }
            Some(_) if self.workshop.has(Bug::ShowsNothing) => {
                StopStatus::Confirmed { evidence: Value::Null }
            }
            Some(_) => StopStatus::Confirmed { evidence },
            None => StopStatus::Unconfirmable {
                why: "no such piece of work".to_owned(),
                evidence: None,
                ask_again: None,
            },
        })
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "workshop {:?}", self.workshop.kind)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("kind", &self.workshop.kind).finish_non_exhaustive()
    }
}
