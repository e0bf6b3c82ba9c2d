//! What it takes to teach beacon-jobs a new provider: one trait with two methods that matter.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::executor::{Capabilities, ExecuteError, ExecutionContext, Executor};
use beacon_jobs::job::{ExecutionProgress, FailureKind};
use beacon_jobs::stop::{Handle, StopError, StopRequest, StopStatus};
use beacon_jobs::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::farm::{Order, Reply, State};

/// The longest time that one request may take; every call to a provider has a deadline.
const CALL: Duration = Duration::from_secs(5);
/// How long to wait after a look at the work that brought no answer.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How soon a stop that was heard is asked about again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Counts primes on a farm.
#[derive(Clone, Debug)]
pub(crate) struct FarmExecutor {
    farm: SocketAddr,
}

/// The input of an execution.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    below: u64,
    #[serde(default)]
    stubborn: bool,
}

/// By what the work is found again, from any process.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    farm: SocketAddr,
    id: u64,
}

impl FarmExecutor {
    /// An executor that runs on the farm at this address.
    #[must_use]
    pub(crate) const fn new(farm: SocketAddr) -> Self {
        Self { farm }
    }

    /// Waits for the end of work that runs already. A farm that does not answer says nothing about
    /// the work: who waits is dropped when the attempt's time is up.
    async fn observe(&self, cx: &ExecutionContext, place: &Place) -> Result<Value, ExecuteError> {
        loop {
            let Ok(reply) = ask(place.farm, &Order::Wait { id: place.id }).await else {
                SystemClock.sleep(LOOK_AGAIN).await;
                continue;
            };
            match reply.state {
                // For those who look on: nothing depends on it.
                State::Running { tried } => {
                    let tried = u32::try_from(tried).unwrap_or(u32::MAX);
                    cx.report_progress(ExecutionProgress::new(tried).with_message("numbers tried"));
                }
                State::Done { primes } => return Ok(json!({ "primes": primes })),
                State::Created => return Err(ExecuteError::interrupted("the work never began")),
                State::Unknown => return Err(ExecuteError::interrupted("the farm does not know the work")),
                State::Ended { saved } => {
                    let output = json!({ "primes_so_far": saved });
                    return Err(ExecuteError::failed("the work was ended at the farm").with_output(output));
                }
            }
        }
    }
}

#[async_trait]
impl Executor for FarmExecutor {
    fn name(&self) -> &str {
        "farm"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        // Work is created, then begun: in between, its handle is saved.
        capabilities.two_step = true;
        // A handle is all that it takes to wait for the end.
        capabilities.resume = true;
        // What was ended before it began never begins.
        capabilities.refuses_start_after_stop = true;
        // Work may save what it has.
        capabilities.grace = true;
        capabilities.start_deadline = CALL;
        capabilities
    }

    fn check_input(&self, input: &Value) -> Result<()> {
        Input::deserialize(input).map(drop).map_err(|error| Error::invalid("input", error.to_string()))
    }

    async fn execute(&self, cx: &ExecutionContext) -> Result<Value, ExecuteError> {
        if let Some(handle) = cx.saved_handle() {
            let place: Place = handle.read().map_err(|error| ExecuteError::interrupted(error.to_string()))?;
            return self.observe(cx, &place).await;
        }
        let Input { below, stubborn } = cx.input()?;
        let create = Order::Create { label: cx.attempt_id().to_string(), below, stubborn };
        let created = cx.starting(CALL, ask(self.farm, &create)).await?.map_err(unreachable)?;
        let place = Place { farm: self.farm, id: created.id };
        let handle = Handle::of(&place).map_err(|error| ExecuteError::failed(error.to_string()))?;
        cx.save_handle(&handle).await?;
        cx.starting(CALL, ask(self.farm, &Order::Begin { id: place.id })).await?.map_err(unreachable)?;
        self.observe(cx, &place).await
    }

    async fn stop(&self, handle: &Handle, request: &StopRequest) -> Result<StopStatus, StopError> {
        let place: Place = handle.read()?;
        let order = Order::End { id: place.id, force: request.grace.is_zero() };
        let reply = ask(place.farm, &order)
            .await
            .map_err(|error| StopError::new("the farm gave no answer").with_source(error))?;
        let evidence = json!({ "level": "farm", "farm": place.farm, "work": place.id, "said": reply.state });
        Ok(match reply.state {
            State::Ended { .. } | State::Done { .. } => StopStatus::Confirmed { evidence },
            State::Created | State::Running { .. } => {
                StopStatus::Acknowledged { evidence, ask_again: ASK_AGAIN }
            }
            // This farm forgets all when it is restarted, and what it forgot it does not run; but
            // another one may listen there now, so this is no proof.
            State::Unknown => StopStatus::Unconfirmable {
                why: format!("the farm at {} does not know work {}", place.farm, place.id),
                evidence: None,
                ask_again: None,
            },
        })
    }
}

impl fmt::Display for FarmExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "farm at {}", self.farm)
    }
}

fn unreachable(error: std::io::Error) -> ExecuteError {
    ExecuteError::new(FailureKind::Provider, format!("the farm gave no answer: {error}"))
        .retryable()
        .with_source(error)
}

/// Sends one order and reads the reply.
async fn ask(farm: SocketAddr, order: &Order) -> std::io::Result<Reply> {
    tokio::time::timeout(CALL, async {
        let mut connection = BufReader::new(TcpStream::connect(farm).await?);
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        connection.get_mut().write_all(&line).await?;
        let mut reply = String::new();
        connection.read_line(&mut reply).await?;
        Ok(serde_json::from_str(&reply)?)
    })
    .await?
}
