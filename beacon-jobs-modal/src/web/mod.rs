//! Plain web endpoints: what can be stopped of them, and what cannot.

mod builder;
mod call;
mod exchange;
mod inference;
mod input;
mod reply;

use std::fmt;

use async_trait::async_trait;
use beacon_jobs::executor::{Capabilities, ExecuteError, ExecutionContext, Executor};
use beacon_jobs::stop::{Handle, StopError, StopRequest, StopStatus};
use beacon_jobs::{Error, Result};
use reqwest::Response;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tonic::Code;

pub use self::builder::WebBuilder;
use self::call::WebCall;
use self::exchange::Endpoint;
pub use self::inference::{InferenceReply, InferenceRequest};
use self::input::Input;
use crate::call::{Call, Phase};
use crate::executor::ModalExecutor;

/// Runs executions by asking a web endpoint at Modal, by plain HTTP.
///
/// The input of an execution names the endpoint and what it is sent, as JSON by POST:
///
/// ```json
/// {"url": "https://me--app-generate.modal.run", "body": {"prompt": "hello"}, "reply": "any"}
/// ```
///
/// `body` and `reply` may be left out. The output is the endpoint's JSON; other text is a string, and other bytes are
/// `{"base64": "…"}`. With `"reply": "inference"` a body that tells of a failure is one, whatever the HTTP status
/// says: see [`InferenceRequest`]. Endpoints are asked only at `https://….modal.run`, and where
/// [`WebBuilder::with_origin`] allows it.
///
/// # What can be stopped
/// **With a token of Modal's API** ([`WebBuilder::with_native`]): the first answer, at the latest after 150 seconds,
/// names the call; from then on it is cancelled by that name and confirmed by the records of its containers, as by
/// [`ModalExecutor`]. Until then a cancel waits for that answer, because to close the connection would lose the name and
/// stop next to nothing. The containers of such a call are looked for from the stop on, not before: one that Modal had
/// taken the call away from earlier is not among the evidence. That Modal takes the names of web calls for this is not
/// verified.
///
/// **Without one**: a cancel closes the connection, and that is all. With the container runtime of the package `modal`
/// 1.5.4, run by itself, only handlers that stream their response came to an end by that; plain `def` and `async def`
/// handlers computed to their end. So such a stop is never confirmed: it is shown as unconfirmed, with the
/// [time by which](WebBuilder::with_lifetime_limit) the function's own timeout ends it. Where a stop matters, deploy
/// a Function and use [`ModalExecutor`].
///
/// A request is sent once for each attempt. If its answer is lost before it named the call, nobody can say what runs: the
/// attempt fails, and its stop is shown as unconfirmed.
pub struct WebExecutor {
    name: String,
    endpoint: Endpoint,
    native: Option<ModalExecutor>,
    limits: builder::Limits,
}

impl WebExecutor {
    /// An executor to be set up.
    #[must_use]
    pub fn builder() -> WebBuilder {
        WebBuilder::new()
    }

    async fn begin(&self, cx: &ExecutionContext, input: &Input) -> Result<Response, ExecuteError> {
        let (sent, was_sent) = oneshot::channel();
        let mut post = Box::pin(self.endpoint.post(input, sent)?);
        let answer = if self.native.is_some() {
            // Its answer brings the name by which it can be ended.
            cx.starting(self.endpoint.leg_limit, post).await?
        } else {
            let early = cx.starting(self.limits.start_deadline, async {
                tokio::select! {
                    biased;
                    answer = &mut post => Some(answer),
                    _ = was_sent => None,
                }
            });
            match early.await? {
                Some(answer) => answer,
                None => post.await,
            }
        };
        answer.map_err(exchange::lost)
    }

    /// Goes from answer to answer until one holds the output.
    async fn follow(
        &self,
        cx: &ExecutionContext,
        mut call: WebCall,
        first: Option<Response>,
    ) -> Result<Response, ExecuteError> {
        let give_up = self.endpoint.clock.uptime() + self.limits.lifetime;
        let mut saved = call.clone();
        let mut answer = first;
        loop {
            if let Some(answer) = answer {
                let is_last = self.endpoint.learn(&mut call, &answer);
                if call != saved {
                    // Also of a call that is over: whoever has cancelled it meanwhile asks for its end by its name.
                    let handle =
                        Handle::of(&call).map_err(|error| ExecuteError::failed(error.to_string()))?;
                    cx.save_handle(&handle).await?;
                    saved = call.clone();
                }
                if is_last? {
                    return Ok(answer);
                }
            }
            let next = call.next.as_deref().ok_or_else(|| {
                ExecuteError::interrupted("the endpoint's answer was waited for by a process that is gone")
            })?;
            answer = Some(self.endpoint.wait(next, give_up).await?);
        }
    }

    /// Ends a call by Modal's own protocol, if there is a token for that.
    async fn end(&self, call: &WebCall, request: &StopRequest) -> Result<StopStatus, StopError> {
        let unconfirmable = |why: String| {
            let evidence = Some(json!({ "call": call.call_id, "connection": "closed" }));
            Ok(StopStatus::Unconfirmable { why, evidence, ask_again: None })
        };
        let limit = self.limits.lifetime;
        let Some(call_id) = &call.call_id else {
            return unconfirmable(format!(
                "the endpoint did not name its call, so that closing the connection is all that can be done; \
                 the function's own timeout ends it within {limit:?}"
            ));
        };
        let Some(native) = &self.native else {
            return unconfirmable(format!(
                "the connection is closed, which stops only handlers that stream; there is no token of Modal's API to \
                 cancel {call_id} by; the function's own timeout ends it within {limit:?}"
            ));
        };
        let function_id = match native.client.function_of(call_id).await {
            Ok(id) => id,
            Err(error) if error.code() == Code::NotFound || error.is_not_offered() => {
                return unconfirmable(format!(
                    "Modal does not know the web call {call_id} by its name: {error}"
                ));
            }
            Err(error) => return Err(error.into()),
        };
        let workspace = native.client.workspace().await?.to_owned();
        let call = Call {
            call_id: call_id.clone(),
            function_id,
            app: String::new(),
            function: String::new(),
            environment: String::new(),
            server: native.client.server().to_owned(),
            workspace,
            phase: Phase::Fed,
            tasks: Vec::new(),
        };
        native.climb(call, request).await
    }
}

#[async_trait]
impl Executor for WebExecutor {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        // Where the call has a name; else its stop is not confirmed either way.
        capabilities.resume = true;
        capabilities.grace = self.native.is_some();
        capabilities.lifetime_limit = Some(self.limits.lifetime);
        capabilities.start_deadline =
            if self.native.is_some() { self.endpoint.leg_limit } else { self.limits.start_deadline };
        capabilities.confirm_limit = self.limits.confirm_limit;
        capabilities
    }

    fn check_input(&self, input: &Value) -> Result<()> {
        self.endpoint.check(&Input::read(input)?)
    }

    async fn execute(&self, cx: &ExecutionContext) -> Result<Value, ExecuteError> {
        let input = Input::read(&cx.spec().input).and_then(|input| {
            self.endpoint.check(&input)?;
            Ok(input)
        });
        let input = input.map_err(|error| {
            ExecuteError::new(beacon_jobs::job::FailureKind::InvalidInput, error.to_string())
        })?;
        let (call, first) = match cx.saved_handle() {
            Some(handle) => {
                let call =
                    handle.read().map_err(|error: Error| ExecuteError::interrupted(error.to_string()))?;
                (call, None)
            }
            None => (WebCall::new(&input.url), Some(self.begin(cx, &input).await?)),
        };
        let answer = self.follow(cx, call, first).await?;
        reply::read(answer, input.reply).await
    }

    async fn stop(&self, handle: &Handle, request: &StopRequest) -> Result<StopStatus, StopError> {
        self.end(&handle.read()?, request).await
    }
}

impl fmt::Display for WebExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("web endpoints at Modal")
    }
}

impl fmt::Debug for WebExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebExecutor")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .field("native", &self.native)
            .finish_non_exhaustive()
    }
}
