//! What the bodies of cancels have in common.

use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use serde_json::{Map, Value};

use crate::problem::{Code, Problem};
use crate::upload::Received;

/// The members that say how to cancel.
pub(super) const WORDS: &str = "reason, mode, grace_seconds";

/// The members of a body that is a JSON object.
pub(super) fn members(received: &Received) -> Result<Map<String, Value>, Problem> {
    received.expect_json()?;
    let body = serde_json::from_slice(&received.body).map_err(|error| {
        Problem::new(Code::MalformedBody, format!("the body is not readable as JSON: {error}"))
    })?;
    match body {
        Value::Object(members) => Ok(members),
        _ => Err(Problem::new(Code::InvalidRequest, "the body must be a JSON object")),
    }
}

/// Takes a member out; one that is null counts as absent.
pub(super) fn take(members: &mut Map<String, Value>, name: &str) -> Option<Value> {
    members.remove(name).filter(|value| !value.is_null())
}

/// Takes out how to cancel.
pub(super) fn take_wish(by: Actor, members: &mut Map<String, Value>) -> Result<CancelRequest, Problem> {
    let mut request = CancelRequest::new(by);
    if let Some(reason) = take(members, "reason") {
        let Value::String(reason) = reason else {
            return Err(Problem::invalid("reason", "must be a string of at most 500 characters"));
        };
        request.reason = Some(reason);
    }
    if let Some(mode) = take(members, "mode") {
        request.mode = mode
            .as_str()
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| Problem::invalid("mode", "must be one of: graceful immediate"))?;
    }
    if let Some(grace) = take(members, "grace_seconds") {
        let most = CancelRequest::MAX_GRACE.as_secs();
        let seconds = grace.as_u64().filter(|seconds| *seconds <= most).ok_or_else(|| {
            Problem::invalid("grace_seconds", &format!("must be a whole number from 0 to {most}"))
        })?;
        request.grace = Duration::from_secs(seconds);
    }
    request.check()?;
    Ok(request)
}

/// Refuses members that were not taken out; `path` is where they stand.
pub(super) fn finish(members: &Map<String, Value>, path: &str, known: &str) -> Result<(), Problem> {
    members.keys().next().map_or(Ok(()), |name| Err(Problem::unknown(&format!("{path}{name}"), known)))
}
