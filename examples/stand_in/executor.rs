//! The executor.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::executor::{Capabilities, ExecuteError, ExecutionContext, Executor};
use beacon_jobs::job::FailureKind;
use beacon_jobs::stop::{Handle, StopError, StopRequest, StopStatus};
use beacon_jobs::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{CallError, Client};
use crate::points::{Point, Points};
use crate::wire::{Create, Input, Look, State, Work};

/// How long one look at work waits for its end.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait after a look that brought no answer.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How soon a stop that was heard is asked about again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What sort of provider the server plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kind {
    /// The executor's name.
    pub name: &'static str,
    /// Work is created inert, and begun by a second request.
    pub two_step: bool,
    /// A handle is enough to wait for the output.
    pub resume: bool,
    /// What was told to end before it began never begins.
    pub refuses_start_after_stop: bool,
    /// After how long the server ends an attempt, whatever happens.
    pub lifetime_limit: Option<Duration>,
    /// How long a call may take.
    pub patience: Duration,
}

impl Kind {
    const TWO_STEP: Self = Self {
        name: "stand-in",
        two_step: true,
        resume: true,
        refuses_start_after_stop: false,
        lifetime_limit: None,
        patience: Duration::from_secs(2),
    };

    /// Two steps, and a begin after a stop begins.
    #[must_use]
    pub const fn two_step() -> Self {
        Self::TWO_STEP
    }

    /// Two steps, and a begin after a stop is refused.
    #[must_use]
    pub const fn refusing() -> Self {
        Self { name: "stand-in-refusing", refuses_start_after_stop: true, ..Self::TWO_STEP }
    }

    /// Creating begins, so after a lost reply nobody can end the work but the server's own limit.
    #[must_use]
    pub const fn one_step() -> Self {
        let lifetime_limit = Some(Duration::from_secs(10));
        Self { name: "stand-in-one-step", two_step: false, lifetime_limit, ..Self::TWO_STEP }
    }

    /// All of them.
    #[must_use]
    pub const fn all() -> [Self; 3] {
        [Self::two_step(), Self::refusing(), Self::one_step()]
    }
}

/// Runs executions at a server.
#[derive(Debug)]
pub struct StandInExecutor {
    client: Client,
    kind: Kind,
    points: Arc<Points>,
}

impl StandInExecutor {
    /// An executor at this server.
    #[must_use]
    pub fn new(client: Client, kind: Kind) -> Self {
        Self { client, kind, points: Arc::default() }
    }

    /// Lets the process die at a point.
    #[must_use]
    pub fn with_points(mut self, points: Arc<Points>) -> Self {
        self.points = points;
        self
    }

    /// Waits for the end of work. A server that does not answer says nothing about the work: who
    /// waits is dropped when the attempt's time is up.
    async fn observe(&self, work: &Work) -> Result<Value, ExecuteError> {
        loop {
            let state = match self.client.look(work, LOOK, self.kind.patience).await {
                Ok(look) => look.state,
                Err(CallError::Unknown) => {
                    return Err(ExecuteError::interrupted("the stand-in does not know the work"));
                }
                Err(_) => {
                    SystemClock.sleep(LOOK_AGAIN).await;
                    continue;
                }
            };
            match state {
                State::Alive => {}
                State::Completed { output } => return Ok(output),
                State::Failed => return Err(ExecuteError::failed("the work failed")),
                State::Created | State::Void => {
                    return Err(ExecuteError::interrupted("the work never began"));
                }
                State::Saved { output } => {
                    return Err(ExecuteError::failed("the work was told to end").with_output(output));
                }
                State::Ended => return Err(ExecuteError::failed("the work was ended")),
            }
        }
    }
}

#[async_trait]
impl Executor for StandInExecutor {
    fn name(&self) -> &str {
        self.kind.name
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.two_step = self.kind.two_step;
        capabilities.resume = self.kind.resume;
        capabilities.refuses_start_after_stop = self.kind.refuses_start_after_stop;
        capabilities.grace = true;
        capabilities.lifetime_limit = self.kind.lifetime_limit;
        capabilities.start_deadline = self.kind.patience;
        capabilities
    }

    fn check_input(&self, input: &Value) -> Result<()> {
        Input::deserialize(input).map(drop).map_err(|error| Error::invalid("input", error.to_string()))
    }

    async fn execute(&self, cx: &ExecutionContext) -> Result<Value, ExecuteError> {
        if let Some(handle) = cx.saved_handle() {
            self.points.pass(Point::MidTakeOver);
            let work: Work = handle.read().map_err(|error| ExecuteError::interrupted(error.to_string()))?;
            return self.observe(&work).await;
        }
        let patience = self.kind.patience;
        let order = Create {
            attempt: cx.attempt_id(),
            job: cx.job_id().clone(),
            index: cx.index(),
            begin: !self.kind.two_step,
            refuses_start_after_stop: self.kind.refuses_start_after_stop,
            lifetime_ms: self.kind.lifetime_limit.and_then(|limit| u64::try_from(limit.as_millis()).ok()),
            input: cx.input()?,
        };
        let created =
            cx.starting(patience, self.client.create(&order, patience)).await?.map_err(no_answer)?;
        self.points.pass(Point::AfterCreate);
        let handle = Handle::of(&created.work).map_err(|error| ExecuteError::failed(error.to_string()))?;
        cx.save_handle(&handle).await?;
        self.points.pass(Point::AfterSave);
        if self.kind.two_step {
            let begin = self.client.begin(&created.work, patience);
            cx.starting(patience, begin).await?.map_err(no_answer)?;
        }
        self.observe(&created.work).await
    }

    async fn stop(&self, handle: &Handle, request: &StopRequest) -> Result<StopStatus, StopError> {
        let work: Work = handle.read()?;
        let told = self.client.stop(&work, request.grace.is_zero(), self.kind.patience).await;
        self.points.pass(Point::MidStop);
        let look = match told {
            Ok(look) => look,
            // It forgets all when it ends, and what it forgot it does not run; but another one may
            // listen there now, so this is no proof.
            Err(CallError::Unknown) => {
                let why = format!("the stand-in at {} does not know the work", self.client.url());
                return Ok(StopStatus::Unconfirmable { why, evidence: None, ask_again: None });
            }
            Err(error) => return Err(StopError::new("the stand-in gave no answer").with_source(error)),
        };
        let evidence = evidence(&look);
        Ok(match look.state {
            State::Alive => StopStatus::Acknowledged { evidence, ask_again: ASK_AGAIN },
            // What exists and has not begun computes nothing. Whether it may still begin is for the
            // attempt's seal to say.
            _ => StopStatus::Confirmed { evidence },
        })
    }
}

impl fmt::Display for StandInExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.kind.name, self.client.url())
    }
}

fn evidence(look: &Look) -> Value {
    json!({ "level": "stand-in", "work": look.work, "said": look.state, "since": look.since })
}

fn no_answer(error: CallError) -> ExecuteError {
    ExecuteError::new(FailureKind::Provider, format!("the stand-in failed: {error}"))
        .retryable()
        .with_source(error)
}
