use serde_json::Value;

use crate::error::{Error, Result};
use crate::store::{ExecutionResult, FinishExecution, SaveHandle, StopAnswer, StopUpdate};

/// JSON nested deeper than this could be written but not read back.
const DEEPEST: usize = 120;

/// Refuses JSON that is nested too deep to be read back.
pub(crate) fn check_depth(field: &str, value: &Value) -> Result<()> {
    fn fits(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => left > 0 && items.iter().all(|item| fits(item, left - 1)),
            Value::Object(members) => left > 0 && members.values().all(|member| fits(member, left - 1)),
            _ => true,
        }
    }
    if fits(value, DEEPEST) {
        Ok(())
    } else {
        Err(Error::invalid(field, format!("must not be nested deeper than {DEEPEST} levels")))
    }
}

pub(crate) fn check_saves(saves: &[SaveHandle]) -> Result<()> {
    saves.iter().try_for_each(|save| check_depth("handle", save.handle.as_value()))
}

pub(crate) fn check_finishes(finishes: &[FinishExecution]) -> Result<()> {
    finishes.iter().try_for_each(|finish| match &finish.result {
        ExecutionResult::Completed(output) | ExecutionResult::Failed { output: Some(output), .. } => {
            check_depth("output", output)
        }
        ExecutionResult::Failed { output: None, .. } => Ok(()),
    })
}

pub(crate) fn check_updates(updates: &[StopUpdate]) -> Result<()> {
    updates.iter().try_for_each(|update| match &update.answer {
        StopAnswer::Acknowledged { evidence }
        | StopAnswer::Ended { evidence, .. }
        | StopAnswer::Unconfirmed { evidence: Some(evidence), .. } => check_depth("evidence", evidence),
        StopAnswer::Nothing { .. } | StopAnswer::Unconfirmed { evidence: None, .. } => Ok(()),
    })
}
