use serde_json::Value;

use super::{KEYS, check_depth, json};
use crate::error::{Error, Result};
use crate::job::{ExecutionSpec, JobSpec};

/// A batch of specs is closed when it has reached this many bytes.
pub(crate) const BATCH: usize = 1 << 20;

/// How many executions a job has, if they have keys.
pub(crate) fn count(spec: &JobSpec) -> Result<u32> {
    let count = u32::try_from(spec.executions.len()).ok().filter(|count| i64::from(*count) <= KEYS);
    count.ok_or_else(|| Error::invalid("executions", "must be fewer"))
}

/// A job without its executions.
pub(crate) fn rules(spec: &JobSpec) -> String {
    let JobSpec {
        id,
        labels,
        min_success_rate,
        timeout_seconds,
        max_attempts,
        backoff_seconds,
        max_backoff_seconds,
        on_interrupt,
        stop_wait_seconds,
        allow_overlap,
        attachment,
        max_parallel,
        executions: _,
    } = spec;
    json(&JobSpec {
        id: id.clone(),
        labels: labels.clone(),
        min_success_rate: *min_success_rate,
        timeout_seconds: *timeout_seconds,
        max_attempts: *max_attempts,
        backoff_seconds: *backoff_seconds,
        max_backoff_seconds: *max_backoff_seconds,
        on_interrupt: *on_interrupt,
        stop_wait_seconds: *stop_wait_seconds,
        allow_overlap: *allow_overlap,
        attachment: attachment.clone(),
        max_parallel: *max_parallel,
        executions: Vec::new(),
    })
}

/// An execution as two columns: without its input, which may be large and is seldom read; and that.
pub(crate) fn spec_and_input(index: u32, execution: &ExecutionSpec) -> Result<(String, String)> {
    check_depth(&format!("executions[{index}].input"), &execution.input)?;
    let ExecutionSpec { executor, lane, step, labels, timeout_seconds, input } = execution;
    let light = ExecutionSpec {
        executor: executor.clone(),
        lane: lane.clone(),
        step: step.clone(),
        labels: labels.clone(),
        timeout_seconds: *timeout_seconds,
        input: Value::Null,
    };
    Ok((json(&light), json(input)))
}
