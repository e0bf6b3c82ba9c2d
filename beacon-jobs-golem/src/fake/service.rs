//! The calls, as the daemon's REST API has them: which is meant, who may, and what goes wrong.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Extract;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use beacon_jobs::clock::Clock;
use futures_util::StreamExt;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{APPKEY, Fault, IDENTITY, Shared};

const STREAM: &str = "StreamResults";

/// An answer: a status, and what its body says.
pub(super) type Answer = (u16, Value);

pub(super) fn ok(body: Value) -> Answer {
    (200, body)
}

/// An error as market and activity have it.
pub(super) fn error(status: u16, message: impl Into<String>) -> Answer {
    (status, json!({ "message": message.into() }))
}

/// A request, taken apart.
pub(super) struct Asked {
    pub(super) path: Vec<String>,
    query: HashMap<String, String>,
    pub(super) body: Value,
    /// It is to be answered by a stream.
    streams: bool,
}

impl Asked {
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// How long the daemon is to wait; five seconds if nothing is said.
    pub(super) fn hold(&self) -> Duration {
        let seconds = self.query("timeout").and_then(|it| it.parse().ok()).unwrap_or(5.0);
        Duration::try_from_secs_f32(seconds).unwrap_or_default()
    }

    /// Which call for results it is.
    fn results(&self) -> &'static str {
        match self.query("commandIndex") {
            _ if self.streams => STREAM,
            Some(_) => "GetResultsTo",
            None => "GetResults",
        }
    }

    /// The name at a place of the path.
    pub(super) fn id(&self, place: usize) -> &str {
        self.path.get(place).map_or("", String::as_str)
    }
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

async fn handle(
    Extract(shared): Extract<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let dies = shared.once(|state| state.is_down.then_some(()));
    tokio::select! {
        biased;
        () = dies => broken(),
        response = answer(Arc::clone(&shared), method, uri, headers, body) => response,
    }
}

async fn answer(shared: Arc<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let streams = headers.get(ACCEPT).is_some_and(|it| it == "text/event-stream");
    let key = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
    if key != format!("Bearer {APPKEY}") {
        return (StatusCode::UNAUTHORIZED, "Invalid application key").into_response();
    }
    let query = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let asked = Asked {
        path: uri.path().split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
        query: query.map(|(name, value)| (name.to_owned(), value.replace("%3A", ":"))).collect(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        streams,
    };
    let Some(call) = named(&method, &asked) else { return StatusCode::NOT_FOUND.into_response() };
    let fault = {
        let mut state = shared.state();
        *state.received.entry(call).or_default() += 1;
        state.faults.take(call)
    };
    shared.changed.notify_waiters();
    match fault {
        None if call == STREAM => shared.stream(&asked),
        None => respond(act(shared, call, asked).await),
        Some(Fault::Fails(status, body)) => text(status, body),
        Some(Fault::Answers(body)) => {
            let (status, _) = detached(shared, call, asked).await;
            text(status, body)
        }
        Some(Fault::Endless(body)) => {
            let again = futures_util::stream::repeat(Bytes::from(body)).map(Ok::<_, std::io::Error>);
            Response::new(Body::from_stream(again))
        }
        Some(Fault::ReplyLost) => {
            detached(shared, call, asked).await;
            broken()
        }
        Some(Fault::Hangs) => {
            detached(Arc::clone(&shared), call, asked).await;
            stay(&shared).await
        }
        Some(Fault::Stalls) => stay(&shared).await,
        Some(Fault::Late(time)) => {
            tokio::spawn(async move {
                shared.clock.sleep(time).await;
                act(shared, call, asked).await;
            });
            broken()
        }
    }
}

/// Acts to the end, also when who asked has gone.
async fn detached(shared: Arc<Shared>, call: &'static str, asked: Asked) -> Answer {
    let acted = tokio::spawn(act(shared, call, asked)).await;
    acted.unwrap_or_else(|panic| error(500, panic.to_string()))
}

/// Does not answer.
async fn stay(shared: &Shared) -> Response {
    shared.state().stuck += 1;
    shared.changed.notify_waiters();
    std::future::pending().await
}

/// A connection that breaks before the answer has arrived.
pub(super) fn broken() -> Response {
    let breaks = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("the connection broke"))]);
    Response::new(Body::from_stream(breaks))
}

fn text(status: u16, body: String) -> Response {
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response()
}

fn respond((status, body): Answer) -> Response {
    let mut response = text(status, body.to_string());
    if let Ok(json) = "application/json".parse() {
        response.headers_mut().insert(CONTENT_TYPE, json);
    }
    response
}

/// What a call is, by its method and path.
fn named(method: &Method, asked: &Asked) -> Option<&'static str> {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    Some(match (method.as_str(), &path[..]) {
        ("GET", ["me"]) => "Me",
        ("POST", ["market-api", "v1", "demands"]) => "Subscribe",
        ("GET", ["market-api", "v1", "demands"]) => "ListDemands",
        ("DELETE", ["market-api", "v1", "demands", _]) => "Unsubscribe",
        ("GET", ["market-api", "v1", "demands", _, "events"]) => "CollectProposals",
        ("POST", ["market-api", "v1", "demands", _, "proposals", _]) => "Counter",
        ("POST", ["market-api", "v1", "demands", _, "proposals", _, "reject"]) => "Decline",
        ("POST", ["market-api", "v1", "agreements"]) => "CreateAgreement",
        ("GET", ["market-api", "v1", "agreements"]) => "ListAgreements",
        ("GET", ["market-api", "v1", "agreements", _]) => "GetAgreement",
        ("POST", ["market-api", "v1", "agreements", _, "confirm"]) => "ConfirmAgreement",
        ("POST", ["market-api", "v1", "agreements", _, "wait"]) => "WaitForApproval",
        ("POST", ["market-api", "v1", "agreements", _, "cancel"]) => "CancelAgreement",
        ("POST", ["market-api", "v1", "agreements", _, "terminate"]) => "TerminateAgreement",
        ("POST", ["activity-api", "v1", "activity"]) => "CreateActivity",
        ("GET", ["activity-api", "v1", "activity"]) => "ListActivities",
        ("DELETE", ["activity-api", "v1", "activity", _]) => "DestroyActivity",
        ("GET", ["activity-api", "v1", "activity", _, "state"]) => "GetState",
        ("GET", ["activity-api", "v1", "activity", _, "usage"]) => "GetUsage",
        ("POST", ["activity-api", "v1", "activity", _, "exec"]) => "Exec",
        ("GET", ["activity-api", "v1", "activity", _, "exec", _]) => asked.results(),
        ("POST", ["payment-api", "v1", "allocations"]) => "CreateAllocation",
        ("GET", ["payment-api", "v1", "allocations"]) => "ListAllocations",
        ("DELETE", ["payment-api", "v1", "allocations", _]) => "ReleaseAllocation",
        ("GET", ["payment-api", "v1", "demandDecorations"]) => "Decorate",
        ("GET", ["payment-api", "v1", "debitNotes"]) => "ListDebitNotes",
        ("GET", ["payment-api", "v1", "invoices"]) => "ListInvoices",
        ("POST", ["payment-api", "v1", "debitNotes", _, "accept"]) => "AcceptDebitNote",
        ("POST", ["payment-api", "v1", "invoices", _, "accept"]) => "AcceptInvoice",
        _ => return None,
    })
}

async fn act(shared: Arc<Shared>, call: &'static str, asked: Asked) -> Answer {
    let answer = match call {
        "Me" => ok(json!({ "identity": IDENTITY, "name": "autoconf", "role": "manager" })),
        "CollectProposals" => shared.collect(&asked).await,
        "WaitForApproval" => shared.wait_for_approval(&asked).await,
        "TerminateAgreement" => shared.terminate(&asked).await,
        "CreateActivity" => shared.create_activity(&asked).await,
        "DestroyActivity" => shared.destroy(&asked).await,
        "GetState" => shared.get_state(&asked).await,
        "GetResults" => shared.results(&asked).await,
        "GetResultsTo" => shared.results_to(&asked).await,
        // What is streamed is no answer of this form.
        STREAM => ok(Value::Null),
        "Subscribe" | "ListDemands" | "Unsubscribe" | "Counter" | "Decline" | "CreateAgreement"
        | "ListAgreements" | "GetAgreement" | "ConfirmAgreement" | "CancelAgreement" => {
            shared.market(call, &asked)
        }
        "ListActivities" | "GetUsage" | "Exec" => shared.activity(call, &asked),
        _ => shared.payment(call, &asked),
    };
    shared.changed.notify_waiters();
    answer
}

impl Shared {
    pub(super) fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    pub(super) fn stamp(&self) -> String {
        crate::client::rfc3339(self.now())
    }

    /// Waits until `there` finds something, or the time is up.
    pub(super) async fn wait<T: Send>(
        &self,
        hold: Duration,
        there: impl Fn(&mut super::State) -> Option<T> + Send + Sync,
    ) -> Option<T> {
        tokio::select! {
            biased;
            found = self.once(there) => Some(found),
            () = self.clock.sleep(hold) => None,
        }
    }

    /// Waits until `there` finds something.
    pub(super) async fn once<T: Send>(
        &self,
        there: impl Fn(&mut super::State) -> Option<T> + Send + Sync,
    ) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = there(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }

    /// Does something after a time, at once if there is none.
    pub(super) fn after(self: &Arc<Self>, time: Duration, act: impl FnOnce(&Arc<Self>) + Send + 'static) {
        if time.is_zero() {
            return act(self);
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            shared.clock.sleep(time).await;
            act(&shared);
        });
    }
}
