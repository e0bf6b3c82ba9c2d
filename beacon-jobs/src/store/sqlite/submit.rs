//! Taking jobs in.

use super::codec::nanos;
use super::link::{Answers, Link};
use super::own::Done;
use super::statements;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::store::sql::{self, Cells, Fault, json};
use crate::store::{Signal, Submission, Submitted};

/// A submission as its rows will stand.
#[derive(Debug)]
pub(super) struct NewJob {
    id: JobId,
    /// The id that its spec names.
    named: Option<JobId>,
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

impl NewJob {
    /// Writes a submission as rows, outside of any transaction.
    pub(super) fn new(submission: &Submission) -> Result<Self> {
        let spec = &submission.spec;
        let executions = sql::count(spec)?;
        let mut specs = Vec::new();
        let mut batch = String::from("[");
        for (index, execution) in (0_u32..).zip(&spec.executions) {
            let (light, input) = sql::spec_and_input(index, execution)?;
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
            batch.push_str(&json(&(index, &execution.executor, light, input)));
            if batch.len() >= sql::BATCH {
                batch.push(']');
                specs.push(std::mem::replace(&mut batch, String::from("[")));
            }
        }
        batch.push(']');
        specs.push(batch);
        Ok(Self {
            id: submission.id.clone(),
            named: spec.id.clone(),
            owner: submission.owner.clone(),
            key: submission.idempotency_key.clone(),
            digest: submission.digest.to_vec(),
            rules: sql::rules(spec),
            executors: json(&spec.executors()),
            executions,
            allow_overlap: spec.allow_overlap,
            specs,
        })
    }
}

pub(super) async fn submit(link: &mut Link<'_>, clock: &dyn Clock, job: &NewJob) -> Done<Submitted> {
    let id = job.id.as_str().to_owned();
    let call = link
        .call(statements::SUBMIT_READ)
        .bind(job.owner.clone())
        .bind(job.key.clone())
        .bind(id.clone())
        .bind(job.digest.clone());
    let answers = link.run(call).await?;
    if let Some(taken) = taken(&answers, job.named.as_ref())? {
        link.rollback().await?;
        return Ok((taken, Vec::new()));
    }
    let call = link
        .call(statements::SUBMIT_JOB)
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
        link.run(link.call(statements::SUBMIT_SPECS).bind(id.clone()).bind(batch.clone())).await?;
    }
    link.run(link.call(statements::SUBMIT_END).bind(id)).await?;
    Ok((Submitted::Created(job.id.clone()), vec![Signal::Queued]))
}

/// What already has the key or the id of a submission.
fn taken(answers: &Answers, named: Option<&JobId>) -> Result<Option<Submitted>, Fault> {
    let Some(row) = answers.row(0).or_else(|| answers.row(1)) else { return Ok(None) };
    let id = row.job(0)?;
    Ok(Some(if row.flag(1)? { Submitted::equal(id, row.word(2)?, named) } else { Submitted::Conflict(id) }))
}
