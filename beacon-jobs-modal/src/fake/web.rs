//! Functions as web endpoints: an answer within a leg, else a redirect to where it will be.
//!
//! Whoever asks may go away: what runs goes on, unless [`Behaviour::ends_on_disconnect`](super::Behaviour) has it otherwise.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use beacon_jobs::clock::Clock;
use serde::Deserialize;
use serde_json::Value;

use super::faults::Fault;
use super::{PROXY_KEY, PROXY_SECRET, Shared};
use crate::generated::function_input::ArgsOneof;
use crate::generated::generic_result::{DataOneof, GenericStatus};
use crate::generated::{DataFormat, FunctionInput, GenericResult};

#[derive(Deserialize)]
struct Asked {
    #[serde(rename = "__modal_function_call_id")]
    call: Option<String>,
}

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new().route("/web/{app}/{function}", get(wait).post(begin))
}

async fn begin(
    State(shared): State<Arc<Shared>>,
    Path((app, function)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = refusal(&shared, &headers) {
        return refusal;
    }
    let fault = shared.state().fault("POST");
    shared.changed.notify_waiters();
    if let Some(Fault::Fails(_)) = fault {
        return (StatusCode::SERVICE_UNAVAILABLE, "made to fail").into_response();
    }
    let body: Value = match serde_json::from_slice(&body) {
        Ok(body) => body,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let Some(call) = shared.call_endpoint(&app, &function, &body) else {
        return (StatusCode::NOT_FOUND, "modal-http: invalid function call").into_response();
    };
    if let Some(Fault::ReplyLost) = fault {
        return (StatusCode::BAD_GATEWAY, "the reply is lost").into_response();
    }
    answer(&shared, &call, &format!("/web/{app}/{function}")).await
}

async fn wait(
    State(shared): State<Arc<Shared>>,
    Path((app, function)): Path<(String, String)>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = refusal(&shared, &headers) {
        return refusal;
    }
    let fault = shared.state().fault("GET");
    shared.changed.notify_waiters();
    match fault {
        Some(Fault::Fails(_)) => return (StatusCode::SERVICE_UNAVAILABLE, "made to fail").into_response(),
        Some(Fault::ReplyLost) => return (StatusCode::BAD_GATEWAY, "the reply is lost").into_response(),
        _ => {}
    }
    match asked.call {
        Some(call) => answer(&shared, &call, &format!("/web/{app}/{function}")).await,
        None => (StatusCode::METHOD_NOT_ALLOWED, "this endpoint takes POST").into_response(),
    }
}

fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let says = |name: &str, value: &str| {
        headers.get(name).is_some_and(|header| header.as_bytes() == value.as_bytes())
    };
    let is_known = says("modal-key", PROXY_KEY) && says("modal-secret", PROXY_SECRET);
    let is_refused = shared.state().behaviour.wants_proxy_token && !is_known;
    is_refused.then(|| (StatusCode::UNAUTHORIZED, "modal-http: missing credentials").into_response())
}

/// The answer within a leg, or where to ask on.
async fn answer(shared: &Arc<Shared>, call: &str, path: &str) -> Response {
    let mut leaver = Leaver { shared: Arc::clone(shared), call: Some(call.to_owned()) };
    let leg = shared.state().behaviour.web_leg;
    let result = tokio::select! {
        biased;
        result = shared.result_of(call) => Some(result),
        () = shared.clock.sleep(leg) => None,
    };
    leaver.call = None;
    let name = [("modal-function-call-id", call.to_owned())];
    match result {
        None => {
            let location = [("location", format!("{path}?__modal_function_call_id={call}"))];
            (StatusCode::SEE_OTHER, location).into_response()
        }
        Some(None) => (StatusCode::NOT_FOUND, "no such call").into_response(),
        Some(Some(result)) => match body_of(shared, result) {
            Ok(value) => (name, axum::Json(value)).into_response(),
            Err(said) => (StatusCode::INTERNAL_SERVER_ERROR, name, said).into_response(),
        },
    }
}

fn body_of(shared: &Shared, result: GenericResult) -> Result<Value, String> {
    if result.status != i32::from(GenericStatus::Success) {
        return Err(result.exception);
    }
    let bytes = match result.data_oneof {
        Some(DataOneof::Data(bytes)) => bytes,
        Some(DataOneof::DataBlobId(id)) => shared.state().blobs.get(&id).cloned().unwrap_or_default(),
        None => return Ok(Value::Null),
    };
    crate::convert::output(&bytes)
}

/// Notices that who asked has gone.
struct Leaver {
    shared: Arc<Shared>,
    call: Option<String>,
}

impl Drop for Leaver {
    fn drop(&mut self) {
        if let Some(call) = self.call.take()
            && self.shared.state().behaviour.ends_on_disconnect
        {
            self.shared.cancel(&call, false);
        }
    }
}

impl Shared {
    /// A call of a function with this body as its arguments by name.
    fn call_endpoint(self: &Arc<Self>, app: &str, function: &str, body: &Value) -> Option<String> {
        let id = self.state().function_id(app, function)?;
        let call = self.state().new_call(id, self.now());
        let mut args = Vec::new();
        // What was read as JSON can be written.
        let _ = ciborium::into_writer(&([0_u8; 0], body), &mut args);
        let message = FunctionInput {
            args_oneof: Some(ArgsOneof::Args(args.clone())),
            data_format: DataFormat::Cbor.into(),
            ..FunctionInput::default()
        };
        self.take_input(&call, message, args);
        Some(call)
    }

    /// Waits for the end of a call's input. `None` when there is no such call.
    async fn result_of(&self, call: &str) -> Option<GenericResult> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.state();
                let call = state.calls.get(call)?;
                if let Some((result, _)) = call.inputs.first().and_then(|input| input.ended.as_ref()) {
                    return Some(result.clone());
                }
            }
            changed.await;
        }
    }
}

/// How long Modal lets an answer wait before it redirects (its page on the timeouts of web endpoints).
pub(super) const LEG: Duration = Duration::from_secs(150);
