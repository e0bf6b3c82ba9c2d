use std::borrow::Cow;

use serde::Serialize;

use super::Fault;
use crate::job::ExecutionStatus;
use crate::store::Fence;

/// How many keys a job's executions have; more than a legal job has executions.
pub(crate) const KEYS: i64 = 131_072;

/// An execution's place in its job's list.
pub(crate) fn index(key: i64) -> u32 {
    u32::try_from(key.rem_euclid(KEYS)).unwrap_or(u32::MAX)
}

pub(crate) fn json(value: &impl Serialize) -> String {
    // What is written here has only string keys, so it always has a JSON form.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// An epoch as it stands in a column; one that no row can have is -1.
pub(crate) fn epoch(fence: Fence) -> i64 {
    i64::try_from(fence.epoch).unwrap_or(-1)
}

/// Free text: Postgres takes no NUL in it, and SQLite ends a JSON string there.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{2400}").into() } else { text.into() }
}

/// An execution's status as it stands in its column: from 20 on it is an outcome.
pub(crate) const fn status_code(status: ExecutionStatus) -> i64 {
    match status {
        ExecutionStatus::Queued => 10,
        ExecutionStatus::Starting => 11,
        ExecutionStatus::Running => 12,
        ExecutionStatus::Completed => 20,
        ExecutionStatus::Failed => 21,
        ExecutionStatus::Cancelled => 22,
    }
}

pub(crate) fn status(code: i64) -> Result<ExecutionStatus, Fault> {
    let status = ExecutionStatus::ALL.iter().find(|status| status_code(**status) == code);
    status.copied().ok_or_else(|| Fault::corrupt(format!("an execution's status {code} cannot be read")))
}
