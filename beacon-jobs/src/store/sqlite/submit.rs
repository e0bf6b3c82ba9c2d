//! Taking jobs in.

use serde_json::Value;

use super::codec::{check_depth, json, nanos};
use super::error::Fault;
use super::link::{Answers, Link};
use super::own::Done;
use super::sql;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::job::{ExecutionSpec, JobSpec};
use crate::store::{Signal, Submission, Submitted};

/// A submission as its rows will stand.
#[derive(Debug)]
pub(super) struct NewJob {
    id: JobId,
    owner: String,
    key: Option<String>,
    digest: Vec<u8>,
    rules: String,
    executors: String,
    executions: u32,
    allow_overlap: bool,
    /// JSON batches of specs.
    specs: Vec<String>,
}

/// A batch is closed when it has reached this many bytes.
const BATCH: usize = 1 << 20;

impl NewJob {
    /// Writes a submission as rows, outside of any transaction.
    pub(super) fn new(submission: &Submission) -> Result<Self> {
        let spec = &submission.spec;
        let executions = u32::try_from(spec.executions.len())
            .ok()
            .filter(|count| i64::from(*count) <= super::codec::KEYS)
            .ok_or_else(|| Error::invalid("executions", "must be fewer"))?;
        let mut specs = Vec::new();
        let mut batch = String::from("[");
        for (index, execution) in spec.executions.iter().enumerate() {
            check_depth(&format!("executions[{index}].input"), &execution.input)?;
            // A cancel takes its lines and tabs for its own.
            if execution.executor.contains(char::is_control) {
                return Err(Error::invalid(
                    format!("executions[{index}].executor"),
                    "must not hold control characters",
                ));
            }
            if batch.len() > 1 {
                batch.push(',');
            }
            batch.push_str(&json(&(index, &execution.executor, light(execution), json(&execution.input))));
            if batch.len() >= BATCH {
                batch.push(']');
                specs.push(std::mem::replace(&mut batch, String::from("[")));
            }
        }
        batch.push(']');
        specs.push(batch);
        Ok(Self {
            id: submission.id.clone(),
            owner: submission.owner.clone(),
            key: submission.idempotency_key.clone(),
            digest: submission.digest.to_vec(),
            rules: rules(spec),
            executors: json(&spec.executors()),
            executions,
            allow_overlap: spec.allow_overlap,
            specs,
        })
    }
}

/// A job without its executions.
fn rules(spec: &JobSpec) -> String {
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
        max_parallel: *max_parallel,
        executions: Vec::new(),
    })
}

/// An execution without its input, which may be large and is seldom read.
fn light(execution: &ExecutionSpec) -> String {
    let ExecutionSpec { executor, lane, step, labels, timeout_seconds, input: _ } = execution;
    json(&ExecutionSpec {
        executor: executor.clone(),
        lane: lane.clone(),
        step: step.clone(),
        labels: labels.clone(),
        timeout_seconds: *timeout_seconds,
        input: Value::Null,
    })
}

pub(super) async fn submit(link: &mut Link<'_>, clock: &dyn Clock, job: &NewJob) -> Done<Submitted> {
    let id = job.id.as_str().to_owned();
    let call = link.call(sql::SUBMIT_READ).bind(job.owner.clone()).bind(job.key.clone()).bind(id.clone());
    let answers = link.run(call).await?;
    if let Some(taken) = taken(&answers, job)? {
        link.rollback().await?;
        return Ok((taken, Vec::new()));
    }
    let call = link
        .call(sql::SUBMIT_JOB)
        .bind(id.clone())
        .bind(job.owner.clone())
        .bind(job.key.clone())
        .bind(job.digest.clone())
        .bind(job.rules.clone())
        .bind(job.executors.clone())
        .bind(job.executions)
        .bind(nanos(clock.now()))
        .bind(job.allow_overlap);
    link.run(call).await?;
    for batch in &job.specs {
        link.run(link.call(sql::SUBMIT_SPECS).bind(id.clone()).bind(batch.clone())).await?;
    }
    link.run(link.call(sql::SUBMIT_END).bind(id)).await?;
    Ok((Submitted::Created(job.id.clone()), vec![Signal::Queued]))
}

/// What already has the key or the id of a submission.
fn taken(answers: &Answers, job: &NewJob) -> Result<Option<Submitted>, Fault> {
    let Some(row) = answers.row(0).or_else(|| answers.row(1)) else { return Ok(None) };
    let id = row.job(0)?;
    let is_equal = row.get::<&str>(1)? == job.owner && row.get::<&[u8]>(2)? == job.digest;
    Ok(Some(if is_equal { Submitted::Existing(id, row.word(3)?) } else { Submitted::Conflict(id) }))
}
