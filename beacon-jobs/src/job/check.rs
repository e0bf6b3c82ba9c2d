use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::spec::{ExecutionSpec, JobSpec};
use crate::error::{Error, Result};

pub(super) const TIMEOUT: RangeInclusive<u64> = 1..=31_536_000;
pub(super) const ATTEMPTS: RangeInclusive<u64> = 1..=100;
pub(super) const BACKOFF: RangeInclusive<u64> = 0..=3_600;
pub(super) const MAX_BACKOFF: RangeInclusive<u64> = 0..=86_400;
pub(super) const STOP_WAIT: RangeInclusive<u64> = 1..=86_400;
pub(super) const PARALLEL: RangeInclusive<u64> = 1..=100_000;
pub(super) const SUCCESS_RATE: &str = "must be a number from 0.0 to 1.0";
pub(super) const EXECUTOR: &str = "must be 1 to 64 characters of A-Z a-z 0-9 . _ -";
pub(super) const TEXT: &str = "must be a string of 1 to 256 bytes without a NUL character";

pub(super) const MOST_EXECUTIONS: usize = 100_000;
pub(super) const MOST_LABELS: usize = 32;

/// The JSON readers that stores and clients use give up at 128 levels, and an input stands four
/// deep in its job.
const MOST_LEVELS: usize = 100;

/// A list of jobs reads the attachment of each.
const MOST_ATTACHED: usize = 64 * 1024;

impl JobSpec {
    /// Tells whether the spec is legal.
    ///
    /// # Errors
    /// `InvalidInput` for the first field that is not, named by its path
    /// (`executions[3].timeout_seconds`), with what is allowed there.
    pub fn check(&self) -> Result<()> {
        labels(&self.labels)?;
        if !(0.0..=1.0).contains(&self.min_success_rate) {
            let rate = self.min_success_rate;
            return Err(Error::invalid("min_success_rate", format!("{SUCCESS_RATE}, is {rate}")));
        }
        range("timeout_seconds", self.timeout_seconds, TIMEOUT)?;
        range("max_attempts", Some(self.max_attempts.into()), ATTEMPTS)?;
        range("backoff_seconds", Some(self.backoff_seconds), BACKOFF)?;
        range("max_backoff_seconds", Some(self.max_backoff_seconds), MAX_BACKOFF)?;
        range("stop_wait_seconds", Some(self.stop_wait_seconds), STOP_WAIT)?;
        if let Some(attachment) = &self.attachment {
            check_attachment(attachment)?;
        }
        range("max_parallel", self.max_parallel.map(u64::from), PARALLEL)?;
        if self.executions.is_empty() || self.executions.len() > MOST_EXECUTIONS {
            return Err(Error::invalid(
                "executions",
                format!("must hold 1 to {MOST_EXECUTIONS} executions, holds {}", self.executions.len()),
            ));
        }
        for (index, execution) in self.executions.iter().enumerate() {
            execution.check().map_err(|error| within(format_args!("executions[{index}]"), &error))?;
        }
        Ok(())
    }
}

impl ExecutionSpec {
    /// The field of the error is relative to the execution.
    pub(super) fn check(&self) -> Result<()> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !(1..=64).contains(&self.executor.len()) || !self.executor.bytes().all(legal) {
            return Err(Error::invalid("executor", EXECUTOR));
        }
        if let Some(lane) = &self.lane {
            text(lane).map_err(|error| within("lane", &error))?;
        }
        if let Some(step) = &self.step {
            text(step).map_err(|error| within("step", &error))?;
            if self.lane.is_none() {
                return Err(Error::invalid("step", "needs a lane beside it"));
            }
        }
        labels(&self.labels)?;
        range("timeout_seconds", self.timeout_seconds, TIMEOUT)?;
        if is_deeper(&self.input, MOST_LEVELS) {
            return Err(Error::invalid("input", format!("must nest at most {MOST_LEVELS} levels deep")));
        }
        Ok(())
    }
}

/// Puts a place before the field of an error; an empty field stands for the place itself.
pub(super) fn within(place: impl fmt::Display, error: &Error) -> Error {
    match error.field() {
        None | Some("") => Error::invalid(place.to_string(), error.message()),
        Some(field) => Error::invalid(format!("{place}.{field}"), error.message()),
    }
}

/// A member's name as it stands in a field path: a path stays one short line whatever the file holds.
pub(super) fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    if name.chars().nth(64).is_some() {
        shown.push('…');
    }
    shown
}

/// What a whole-number field allows.
pub(super) fn whole(allowed: &RangeInclusive<u64>) -> String {
    format!("must be a whole number from {} to {}", allowed.start(), allowed.end())
}

/// Checks a lane, a step or a value of a matrix axis.
pub(super) fn text(value: &str) -> Result<()> {
    if (1..=256).contains(&value.len()) && !value.contains('\0') {
        Ok(())
    } else {
        Err(Error::invalid("", TEXT))
    }
}

pub(super) fn labels(labels: &BTreeMap<String, String>) -> Result<()> {
    if labels.len() > MOST_LABELS {
        return Err(Error::invalid(
            "labels",
            format!("must hold at most {MOST_LABELS} labels, holds {}", labels.len()),
        ));
    }
    for (key, value) in labels {
        let refusal = |message: &str| Err(Error::invalid(format!("labels.{}", shown(key)), message));
        if !(1..=64).contains(&key.len()) || key.contains([':', '\0']) {
            return refusal("a label's key must be 1 to 64 bytes without a colon or a NUL character");
        }
        if value.len() > 256 || value.contains('\0') {
            return refusal("a label's value must be at most 256 bytes without a NUL character");
        }
    }
    Ok(())
}

fn range(field: &str, value: Option<u64>, allowed: RangeInclusive<u64>) -> Result<()> {
    match value {
        Some(value) if !allowed.contains(&value) => {
            Err(Error::invalid(field, format!("{}, is {value}", whole(&allowed))))
        }
        _ => Ok(()),
    }
}

fn check_attachment(attachment: &Value) -> Result<()> {
    let refusal = |message: String| Err(Error::invalid("attachment", message));
    if is_deeper(attachment, MOST_LEVELS) {
        return refusal(format!("must nest at most {MOST_LEVELS} levels deep"));
    }
    let bytes = attachment.to_string().len();
    if bytes > MOST_ATTACHED {
        return refusal(format!("must be at most {MOST_ATTACHED} bytes as JSON text, is {bytes}"));
    }
    Ok(())
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| is_deeper(item, levels - 1)),
        Value::Object(members) => levels == 0 || members.values().any(|member| is_deeper(member, levels - 1)),
        _ => false,
    }
}
