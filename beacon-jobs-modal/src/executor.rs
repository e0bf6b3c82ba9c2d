//! The executor: how a call is begun so that it cannot be lost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::clock::Clock;
use beacon_jobs::executor::{Capabilities, ExecuteError, ExecutionContext, Executor};
use beacon_jobs::job::FailureKind;
use beacon_jobs::stop::{Handle, StopError, StopRequest, StopStatus};
use beacon_jobs::{Error, Result};
use serde_json::Value;
use tonic::Code;

use crate::blob;
use crate::builder::{Builder, Limits};
use crate::call::{Call, Input, Phase};
use crate::client::Client;
use crate::config::Config;
use crate::convert;
use crate::error::CallError;
use crate::generated::function_input::ArgsOneof;
use crate::generated::{DataFormat, FunctionGetResponse, FunctionHandleMetadata, FunctionInput};

/// Above this an input of an asynchronous call travels as a blob, where the function's own record
/// says nothing else (`modal` 1.6.4, `blob_utils.py`).
const INLINE_BYTES: u64 = 8 * 1024;
/// How long to wait where Modal's queue is full.
const QUEUE_PAUSE: Duration = Duration::from_secs(1);
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// Runs executions as calls of Modal Functions.
///
/// The input of an execution names the function and its arguments:
///
/// ```json
/// {"app": "training", "function": "train", "environment": "main",
///  "args": ["small"], "kwargs": {"epochs": 3}}
/// ```
///
/// `environment`, `args` and `kwargs` may be left out. The output is what the function returns, as
/// JSON; bytes become `{"base64": "…"}`.
///
/// # How a call begins
/// It is created without an input, which runs nothing; its id is saved; only then it is given its
/// input. So there is no moment at which work runs whose id is not known. (Modal's own
/// clients do both in one step, and lose the id if they die before the reply.)
///
/// # How it ends
/// A stop cancels the call, gracefully without ending its container while there is grace, and
/// then with it. It is confirmed only when Modal's records show that every container that was seen
/// to hold the input has finished, or that the input never started. An input that Modal reports as
/// terminated is not enough: the container runtime of the package `modal` 1.6.4 says so
/// while threads and child processes of the input compute on. `CONTAINERS.md` beside this crate shows what it
/// does with functions of eleven kinds.
///
/// All this is tested against the fake control plane of this crate (feature `fake`), with the fake's own
/// containers and with Modal's runtime in real ones. How Modal's own servers behave is not shown by it.
pub struct ModalExecutor {
    pub(crate) client: Client,
    pub(crate) http: reqwest::Client,
    pub(crate) limits: Limits,
    pub(crate) name: String,
    pub(crate) environment: String,
}

impl ModalExecutor {
    /// An executor for this account, with the usual limits.
    ///
    /// # Errors
    /// `Misconfigured` when the configuration cannot be used. Nothing is sent yet.
    pub fn new(config: &Config) -> Result<Self> {
        Self::builder(config).build()
    }

    /// An executor to be set up.
    #[must_use]
    pub fn builder(config: &Config) -> Builder {
        Builder::new(config.clone())
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.client.clock
    }

    async fn submit(&self, cx: &ExecutionContext) -> Result<Call, ExecuteError> {
        let input = Input::read(&cx.spec().input)
            .map_err(|error| ExecuteError::new(FailureKind::InvalidInput, error.to_string()))?;
        let environment = input.environment.clone().unwrap_or_else(|| self.environment.clone());
        let workspace = self.client.workspace().await.map_err(CallError::into_execute_error)?.to_owned();
        let function = self
            .client
            .function(&input.app, &input.function, &environment)
            .await
            .map_err(CallError::into_execute_error)?;
        let FunctionGetResponse { function_id, handle_metadata } = function;
        let args = self.arguments(&input, &handle_metadata.unwrap_or_default()).await?;

        let limit = self.limits.start_deadline;
        let created = cx.starting(limit, self.client.create_call(&function_id, limit)).await?;
        let created = created.map_err(CallError::into_execute_error)?;
        let mut call = Call {
            call_id: created.function_call_id,
            function_id,
            app: input.app,
            function: input.function,
            environment,
            server: self.client.server().to_owned(),
            workspace,
            phase: Phase::Created,
            tasks: Vec::new(),
        };
        cx.save_handle(&call.handle()?).await?;
        while !cx
            .starting(limit, self.feed(&call, args.clone()))
            .await?
            .map_err(CallError::into_execute_error)?
        {
            self.clock().sleep(QUEUE_PAUSE).await;
        }
        call.phase = Phase::Fed;
        self.note(cx, &call).await;
        if let Err(error) = self.client.finish_inputs(&call.function_id, &call.call_id).await {
            // It runs all the same; Modal only goes on to expect more.
            tracing::warn!(%error, call = call.call_id, "the call could not be told that it has all its inputs");
        }
        Ok(call)
    }

    /// Saves what is known by now of a call that has begun. Where it is refused, the attempt is to end,
    /// and what its work saves in its grace is still to be waited for.
    pub(crate) async fn note(&self, cx: &ExecutionContext, call: &Call) {
        let saved = match call.handle() {
            Ok(handle) => cx.save_handle(&handle).await,
            Err(error) => Err(error),
        };
        if let Err(error) = saved {
            tracing::debug!(%error, call = call.call_id, "the call's handle is not brought up to date");
        }
    }

    /// Gives the call its input. `false` when Modal did not take it, for now.
    ///
    /// When the answer is lost this goes on until the input is seen to have arrived, or the limit
    /// of the request ends it: until then it may be on its way.
    async fn feed(&self, call: &Call, args: ArgsOneof) -> Result<bool, CallError> {
        // As Modal's own clients: after a final input the container takes no more of anybody's, and ends.
        let input = FunctionInput {
            args_oneof: Some(args),
            final_input: false,
            data_format: DataFormat::Cbor.into(),
        };
        let limit = self.limits.start_deadline;
        let error = match self.client.put_input(&call.function_id, &call.call_id, input, limit).await {
            Ok(taken) => return Ok(taken),
            Err(error) => error,
        };
        if error.retry_after.is_some() {
            return Ok(false);
        }
        if error.is_refusal() {
            return Err(error);
        }
        tracing::debug!(%error, call = call.call_id, "no answer to the input");
        loop {
            self.clock().sleep(LOOK_PAUSE).await;
            if let Ok(info) = self.client.call_info(&call.function_id, &call.call_id).await
                && info.total_inputs > 0
            {
                return Ok(true);
            }
        }
    }

    async fn arguments(
        &self,
        input: &Input,
        function: &FunctionHandleMetadata,
    ) -> Result<ArgsOneof, ExecuteError> {
        let invalid = |message: String| ExecuteError::new(FailureKind::InvalidInput, message);
        let cbor = i32::from(DataFormat::Cbor);
        if !function.supported_input_formats.is_empty() && !function.supported_input_formats.contains(&cbor) {
            return Err(invalid(format!(
                "the function {}/{} takes no CBOR: deploy it again with the Python package modal 1.2 or newer",
                input.app, input.function
            )));
        }
        let bytes = convert::arguments(&input.args, &input.kwargs).map_err(invalid)?;
        let most = function.max_async_object_size_bytes.unwrap_or(INLINE_BYTES);
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) <= most {
            return Ok(ArgsOneof::Args(bytes));
        }
        match blob::upload(&self.client, &self.http, bytes).await {
            Ok(id) => Ok(ArgsOneof::ArgsBlobId(id)),
            Err(error) if error.code() == Code::InvalidArgument => Err(invalid(error.to_string())),
            Err(error) => Err(error.into_execute_error()),
        }
    }
}

#[async_trait]
impl Executor for ModalExecutor {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.two_step = true;
        capabilities.resume = true;
        // Modal does not say whether an input that comes after a cancel is refused.
        capabilities.refuses_start_after_stop = false;
        capabilities.grace = true;
        capabilities.start_deadline = self.limits.start_deadline;
        capabilities.confirm_limit = self.limits.confirm_limit;
        capabilities
    }

    fn check_input(&self, input: &Value) -> Result<()> {
        Input::read(input).map(drop)
    }

    async fn execute(&self, cx: &ExecutionContext) -> Result<Value, ExecuteError> {
        let call = match cx.saved_handle() {
            None => self.submit(cx).await?,
            Some(handle) => {
                let call: Call =
                    handle.read().map_err(|error: Error| ExecuteError::interrupted(error.to_string()))?;
                if let Some(why) = self.elsewhere(&call).await.map_err(CallError::into_execute_error)? {
                    return Err(ExecuteError::interrupted(why));
                }
                call
            }
        };
        self.watch(cx, call).await
    }

    async fn stop(&self, handle: &Handle, request: &StopRequest) -> Result<StopStatus, StopError> {
        self.climb(handle.read()?, request).await
    }
}

impl fmt::Display for ModalExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Modal at {}", self.client.server())
    }
}

impl fmt::Debug for ModalExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModalExecutor")
            .field("name", &self.name)
            .field("server", &self.client.server())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
