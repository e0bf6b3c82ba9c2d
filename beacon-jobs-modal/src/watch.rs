//! Waiting for a call's output. Nothing here begins or ends anything.

use std::pin::pin;
use std::time::Duration;

use beacon_jobs::executor::{ExecuteError, ExecutionContext};
use beacon_jobs::job::FailureKind;
use serde_json::Value;

use crate::blob;
use crate::call::{Call, Phase};
use crate::convert::{self, Data};
use crate::error::CallError;
use crate::executor::ModalExecutor;
use crate::generated::{DataFormat, FunctionCallInfo, FunctionGetOutputsItem, InputInfo};

/// How long the server holds a poll, as Modal's own client asks.
const HOLD: Duration = Duration::from_secs(55);
/// Pauses between looks at where the input runs: soon at first, for a crash may come soon.
const FIRST_LOOK: Duration = Duration::from_millis(500);
const LAST_LOOK: Duration = Duration::from_secs(30);
/// Pauses after a call that brought no answer.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// How often an input without an output that is not under way is looked at again.
const MOST_EMPTY: u32 = 3;

/// All inputs of a call, whatever became of them.
pub(crate) fn inputs(info: &FunctionCallInfo) -> impl Iterator<Item = &InputInfo> {
    let categories = [
        &info.pending_inputs,
        &info.failed_inputs,
        &info.succeeded_inputs,
        &info.timeout_inputs,
        &info.cancelled_inputs,
    ];
    categories.into_iter().flatten().flat_map(|category| &category.latest)
}

/// How many inputs have not come to an end.
pub(crate) fn unfinished(info: &FunctionCallInfo) -> i32 {
    let ended = [&info.failed_inputs, &info.succeeded_inputs, &info.timeout_inputs, &info.cancelled_inputs];
    let ended: i32 = ended.into_iter().flatten().map(|category| category.total).sum();
    info.total_inputs - ended
}

/// A growing pause.
struct Pause(Duration);

impl Pause {
    fn next(&mut self, last: Duration) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(last);
        pause
    }
}

impl ModalExecutor {
    /// Waits for the output of a call, and saves which containers its input was seen in.
    pub(crate) async fn watch(&self, cx: &ExecutionContext, mut call: Call) -> Result<Value, ExecuteError> {
        let call_id = call.call_id.clone();
        let function_id = call.function_id.clone();
        let phase = call.phase;
        let mut item = pin!(self.item(&call_id, &function_id, phase));
        let mut look = Pause(FIRST_LOOK);
        let item = loop {
            tokio::select! {
                biased;
                item = &mut item => break item?,
                () = self.clock().sleep(look.next(LAST_LOOK)) => {}
            }
            if let Ok(info) = self.client.call_info(&call.function_id, &call.call_id).await
                && call.add_tasks(inputs(&info).map(|input| &*input.task_id))
            {
                self.note(cx, &call).await;
            }
        };
        let format = item.data_format;
        let result = item.result.unwrap_or_default();
        let data = convert::outcome(result)?;
        if data != Data::None && format != i32::from(DataFormat::Cbor) {
            let format = DataFormat::try_from(format).map_or("UNKNOWN", |format| format.as_str_name());
            let message = format!("the function's result came as {format}, not as CBOR");
            return Err(ExecuteError::failed(message));
        }
        let bytes = match data {
            Data::None => return Ok(Value::Null),
            Data::Inline(bytes) => bytes,
            Data::Blob(id) => self.download(&id).await?,
        };
        convert::output(&bytes)
            .map_err(|why| ExecuteError::failed(format!("the function's result cannot be read: {why}")))
    }

    /// Polls until the input has an output. A server that does not answer says nothing about the work.
    async fn item(
        &self,
        call_id: &str,
        function_id: &str,
        phase: Phase,
    ) -> Result<FunctionGetOutputsItem, ExecuteError> {
        let mut pause = Pause(FIRST_PAUSE);
        let mut empty = 0;
        loop {
            let mut patience = None;
            match self.client.outputs(call_id, HOLD).await {
                Ok(answer) => {
                    pause = Pause(FIRST_PAUSE);
                    let unfinished = answer.num_unfinished_inputs > 0;
                    if let Some(item) = answer.outputs.into_iter().next() {
                        return Ok(item);
                    }
                    if unfinished {
                        continue;
                    }
                    // So does a call look that was never fed, and one whose output has expired.
                    let info = self.client.call_info(function_id, call_id).await;
                    empty += u32::from(!matches!(&info, Ok(info) if unfinished_input(info)));
                    if empty >= MOST_EMPTY {
                        return Err(without_output(phase, info));
                    }
                }
                Err(error) if !error.is_transient() && error.retry_after.is_none() => {
                    return Err(error.into_execute_error());
                }
                Err(error) => {
                    tracing::debug!(%error, call = call_id, "no answer to a poll");
                    patience = error.retry_after;
                }
            }
            self.clock().sleep(patience.unwrap_or_else(|| pause.next(LAST_PAUSE))).await;
        }
    }

    async fn download(&self, id: &str) -> Result<Vec<u8>, ExecuteError> {
        let mut pause = Pause(FIRST_PAUSE);
        loop {
            match blob::download(&self.client, &self.http, id).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "an output is not there yet");
                    self.clock().sleep(pause.next(LAST_PAUSE)).await;
                }
                Err(error) => return Err(error.into_execute_error()),
            }
        }
    }
}

fn unfinished_input(info: &FunctionCallInfo) -> bool {
    info.total_inputs > 0 && unfinished(info) > 0
}

fn without_output(phase: Phase, info: Result<FunctionCallInfo, CallError>) -> ExecuteError {
    match (phase, info) {
        (Phase::Created, Ok(info)) if info.total_inputs == 0 => {
            ExecuteError::interrupted("the call never got its input")
        }
        (Phase::Created, Err(error)) => {
            ExecuteError::interrupted("Modal cannot say whether the call got its input").with_source(error)
        }
        _ => ExecuteError::new(
            FailureKind::Provider,
            "the call has ended and its output is gone; Modal keeps outputs for seven days",
        ),
    }
}
