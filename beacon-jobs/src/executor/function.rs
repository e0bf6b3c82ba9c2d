//! The executor that runs an async Rust closure in this process.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use dashmap::DashMap;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Capabilities, ExecuteError, ExecutionContext, Executor, Reach, Telling};
use crate::host::{Liveness, ProcessIdentity};
use crate::id::{AttemptId, JobId};
use crate::job::{ExecutionProgress, FailureKind};
use crate::stop::{Handle, StopError, StopRequest, StopStatus};

/// How soon a stop that waits for the end of a closure is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What a closure is given for one attempt.
#[derive(Clone, Debug)]
pub struct Call {
    /// The job.
    pub job: JobId,
    /// The execution's place in the job's list.
    pub index: u32,
    /// The attempt.
    pub attempt: AttemptId,
    /// Which attempt it is, from 1.
    pub number: u32,
    /// The input as submitted.
    pub input: Value,
    /// Fires when the work is to end. Whoever returns within the grace may save itself; an async
    /// closure that does not is dropped then.
    pub token: CancellationToken,
    telling: Telling,
}

impl Call {
    /// Reads the input as a type.
    ///
    /// # Errors
    /// Kind `invalid_input`, with the path of the field.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ExecuteError> {
        serde_path_to_error::deserialize(&self.input).map_err(|error| {
            let message = format!("input.{}: {}", error.path(), error.inner());
            ExecuteError::new(FailureKind::InvalidInput, message)
        })
    }

    /// Tells how far the attempt has come; see [`ExecutionContext::report_progress`].
    ///
    /// ```
    /// use beacon_jobs::executor::function::FunctionExecutor;
    /// use beacon_jobs::job::ExecutionProgress;
    ///
    /// let steps = FunctionExecutor::new("steps", |call| async move {
    ///     for step in 0..3 {
    ///         call.report_progress(ExecutionProgress::new(step).of(3).with_message("counting"));
    ///         tokio::task::yield_now().await;
    ///     }
    ///     Ok(serde_json::json!(null))
    /// });
    /// ```
    pub fn report_progress(&self, progress: ExecutionProgress) {
        self.telling.tell(progress);
    }
}

type Outcome = Result<Value, ExecuteError>;
type Async = dyn Fn(Call) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync;
type Blocking = dyn Fn(Call) -> Outcome + Send + Sync;

/// Runs a closure of the host program for each attempt.
///
/// An async closure's stop is confirmed when its future was dropped or has returned. A blocking
/// closure cannot be interrupted: its stop is unconfirmable until it returns.
///
/// ```
/// use beacon_jobs::executor::function::FunctionExecutor;
///
/// let double = FunctionExecutor::new("double", |call| async move {
///     let number: i64 = call.read()?;
///     Ok(serde_json::json!(number * 2))
/// });
/// ```
#[derive(Clone)]
pub struct FunctionExecutor {
    name: Arc<str>,
    body: Body,
    running: Arc<AtomicUsize>,
}

/// The closures of this process that have not ended, whichever executor runs them: a later runner
/// in the same process, with executors of its own, is asked about them too.
static LIVE: LazyLock<DashMap<AttemptId, Live>> = LazyLock::new(DashMap::new);

#[derive(Clone)]
enum Body {
    Async(Arc<Async>),
    Blocking(Arc<Blocking>),
}

/// A closure that has not ended.
#[derive(Clone, Debug)]
struct Live {
    /// Told to end, may save itself.
    ask: CancellationToken,
    /// To be dropped now.
    force: CancellationToken,
}

impl FunctionExecutor {
    /// An executor of this name around an async closure.
    pub fn new<F, R>(name: impl Into<Arc<str>>, body: F) -> Self
    where
        F: Fn(Call) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        Self::with_body(name.into(), Body::Async(Arc::new(move |call| Box::pin(body(call)))))
    }

    /// An executor of this name around a blocking closure, run on tokio's blocking threads.
    pub fn blocking<F>(name: impl Into<Arc<str>>, body: F) -> Self
    where
        F: Fn(Call) -> Outcome + Send + Sync + 'static,
    {
        Self::with_body(name.into(), Body::Blocking(Arc::new(body)))
    }

    fn with_body(name: Arc<str>, body: Body) -> Self {
        Self { name, body, running: Arc::default() }
    }

    /// How many of its closures have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }
}

/// Takes an attempt off the list of live ones when its future is dropped or its thread has
/// returned.
struct Ended {
    running: Arc<AtomicUsize>,
    attempt: AttemptId,
}

impl Ended {
    fn later(executor: &FunctionExecutor, attempt: AttemptId, live: Live) -> Self {
        LIVE.insert(attempt, live);
        executor.running.fetch_add(1, Ordering::AcqRel);
        Self { running: Arc::clone(&executor.running), attempt }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        LIVE.remove(&self.attempt);
        self.running.fetch_sub(1, Ordering::AcqRel);
    }
}

#[async_trait]
impl Executor for FunctionExecutor {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            two_step: true,
            reach: Reach::ThisHost,
            grace: true,
            start_deadline: Duration::ZERO,
            ..Capabilities::default()
        }
    }

    async fn execute(&self, cx: &ExecutionContext) -> Outcome {
        if cx.saved_handle().is_some() {
            return Err(ExecuteError::interrupted("a closure does not outlive its process"));
        }
        let attempt = cx.attempt_id();
        let live = Live { ask: cx.token(), force: CancellationToken::new() };
        let call = Call {
            job: cx.job_id().clone(),
            index: cx.index(),
            attempt,
            number: cx.attempt_number(),
            input: cx.spec().input.clone(),
            token: live.ask.clone(),
            telling: cx.telling().clone(),
        };
        let ended = Ended::later(self, attempt, live.clone());
        let handle = Handle::of(&ProcessIdentity::current())
            .map_err(|error| ExecuteError::failed("the handle could not be written").with_source(error))?;
        cx.save_handle(&handle).await?;
        match &self.body {
            Body::Async(body) => {
                let future = cx.starting(ASK_AGAIN, async { body(call) }).await?;
                let output = tokio::select! {
                    biased;
                    output = future => output,
                    () = live.force.cancelled() => Err(ExecuteError::refused("it was stopped by force")),
                };
                drop(ended);
                output
            }
            Body::Blocking(body) => {
                let body = Arc::clone(body);
                let thread = cx
                    .starting(ASK_AGAIN, async {
                        tokio::task::spawn_blocking(move || {
                            // Moved in, so that it is dropped when the closure returns, not when
                            // somebody stops waiting for it.
                            let _ended = ended;
                            body(call)
                        })
                    })
                    .await?;
                thread.await.unwrap_or_else(|error| {
                    Err(ExecuteError::new(FailureKind::Panicked, "the closure panicked").with_source(error))
                })
            }
        }
    }

    async fn stop(&self, handle: &Handle, request: &StopRequest) -> Result<StopStatus, StopError> {
        let process: ProcessIdentity = handle.read()?;
        if process != ProcessIdentity::current() {
            return Ok(elsewhere(&process));
        }
        let Some(live) = LIVE.get(&request.attempt).map(|live| live.clone()) else {
            return Ok(StopStatus::Confirmed {
                evidence: json!({ "level": "function", "shown_by": "its process no longer holds it", "pid": process.pid }),
            });
        };
        live.ask.cancel();
        if request.grace.is_zero() {
            live.force.cancel();
        }
        Ok(match self.body {
            Body::Async(_) => StopStatus::Acknowledged {
                evidence: json!({ "level": "function", "asked": true }),
                ask_again: request.grace.max(ASK_AGAIN),
            },
            Body::Blocking(_) => StopStatus::Unconfirmable {
                why: "a blocking closure cannot be interrupted; it ends when it returns".to_owned(),
                evidence: None,
                ask_again: Some(ASK_AGAIN),
            },
        })
    }
}

/// The stop of a closure of another process.
fn elsewhere(process: &ProcessIdentity) -> StopStatus {
    match process.liveness() {
        Liveness::Gone => StopStatus::Confirmed {
            evidence: json!({ "level": "function", "shown_by": "its process is gone", "process": process }),
        },
        Liveness::Alive | Liveness::Unknown => StopStatus::Acknowledged {
            evidence: json!({ "level": "function", "lives_in": process }),
            ask_again: Duration::from_secs(1),
        },
    }
}

impl fmt::Display for FunctionExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "function {}", self.name)
    }
}

impl fmt::Debug for FunctionExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionExecutor")
            .field("name", &self.name)
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}
