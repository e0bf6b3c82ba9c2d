use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use beacon_jobs::{Error, ErrorKind, JobId};
use serde_json::{Map, Value};

/// A refusal or a failure as a portal reads it. Its `error` is a string in every case: the page calls
/// methods of strings on it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    members: Map<String, Value>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let mut members = Map::new();
        members.insert("error".to_owned(), error.into().into());
        Self { status, members }
    }

    pub(super) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(super) fn no_job() -> Self {
        Self::new(StatusCode::NOT_FOUND, "job not found")
    }

    /// Something else has the id; `name` is the member that says so.
    pub(super) fn taken(error: &str, name: &str, id: &JobId) -> Self {
        Self::new(StatusCode::CONFLICT, error).with(name, format!("id {id} is taken by another job"))
    }

    /// Adds a member that explains.
    #[must_use]
    pub(super) fn with(mut self, name: &str, text: impl Into<String>) -> Self {
        self.members.insert(name.to_owned(), text.into().into());
        self
    }

    /// Something that only a fault of this program or its host explains. The log has it.
    pub(super) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "request of a portal failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }
}

impl From<Error> for Refusal {
    /// The texts of store errors may name paths and hosts: they go to the log, not to the client.
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidInput => Self::bad("validation_error").with("message", error.to_string()),
            ErrorKind::Unavailable => {
                tracing::warn!(%error, "the store is unavailable");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "service unavailable")
                    .with("message", "nothing was changed; try again")
            }
            ErrorKind::OutcomeUnknown => {
                tracing::warn!(%error, "the store was lost during a commit");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "service unavailable")
                    .with("message", "it is not known whether it was done; the same again tells")
            }
            _ => Self::internal(&error),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = json(self.status, &Value::Object(self.members));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body.to_string()).into_response()
}
