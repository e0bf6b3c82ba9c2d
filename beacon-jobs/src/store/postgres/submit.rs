//! Taking jobs in.

use serde_json::Value;
use sqlx::postgres::PgConnection;

use super::codec::{check_nul, int};
use super::link::{Answer, Call, Nature};
use super::source::{Lane, Source};
use super::statements::Statement;
use crate::error::Result;
use crate::id::JobId;
use crate::store::sql::{self, Cells, Fault, text};
use crate::store::{Signal, Submission, Submitted};

/// A submission as the statements that take it in.
pub(super) struct NewJob {
    first: Call,
    /// Batches of specs that do not go with the first.
    more: Vec<Call>,
    /// The id that its spec names.
    named: Option<JobId>,
}

/// Specs as columns.
#[derive(Default)]
struct Specs {
    executors: Vec<String>,
    specs: Vec<String>,
    inputs: Vec<String>,
    bytes: usize,
}

impl NewJob {
    pub(super) fn new(submission: &Submission) -> Result<Self> {
        let spec = &submission.spec;
        let executions = int(sql::count(spec)?);
        check_nul("owner", &submission.owner)?;
        check_nul("idempotency_key", submission.idempotency_key.as_deref().unwrap_or_default())?;
        let labels = serde_json::to_value(&spec.labels).unwrap_or_default();
        let first = Call::new(Statement::Submit)
            .bind(submission.id.as_str())
            .bind(&submission.owner)
            .bind(&submission.idempotency_key)
            .bind(submission.digest.to_vec())
            .bind(sql::rules(spec))
            .bind(sqlx::types::Json(without_nul(&labels)))
            .bind(spec.executors().into_iter().collect::<Vec<_>>())
            .bind(executions)
            .bind(spec.allow_overlap)
            .bind(spec.min_success_rate);
        let mut batches: Vec<(u32, Specs)> = Vec::new();
        for (index, execution) in (0_u32..).zip(&spec.executions) {
            let (light, input) = sql::spec_and_input(index, execution)?;
            if batches.last().is_none_or(|(_, batch)| batch.bytes >= sql::BATCH) {
                batches.push((index, Specs::default()));
            }
            if let Some((_, batch)) = batches.last_mut() {
                batch.bytes += light.len() + input.len();
                batch.executors.push(execution.executor.clone());
                batch.specs.push(light);
                batch.inputs.push(input);
            }
        }
        let mut batches = batches.into_iter();
        let (_, specs) = batches.next().unwrap_or_default();
        let first = first.bind(specs.executors).bind(specs.specs).bind(specs.inputs);
        let more = batches
            .map(|(offset, specs)| {
                Call::new(Statement::SubmitMore)
                    .bind(submission.id.as_str())
                    .bind(i64::from(offset))
                    .bind(specs.executors)
                    .bind(specs.specs)
                    .bind(specs.inputs)
            })
            .collect();
        Ok(Self { first, more, named: spec.id.clone() })
    }

    /// Takes the job in, in a commit of its own.
    pub(super) async fn submit(&self, source: &Source) -> Result<(Submitted, Vec<Signal>), Fault> {
        if self.more.is_empty() {
            return self.submitted(&source.run(Lane::Common, Nature::Once, &self.first).await?);
        }
        source
            .transact(|| async {
                let mut work = source.begin(Statement::Begin).await?;
                let done = self.submitted(&work.run(&self.first).await?)?;
                if matches!(done.0, Submitted::Created(_)) {
                    for call in &self.more {
                        work.run(call).await?;
                    }
                }
                work.commit().await?;
                Ok(done)
            })
            .await
    }

    /// Takes the job in, in a transaction that is open on this connection.
    pub(super) async fn submit_on(
        &self,
        source: &Source,
        connection: &mut PgConnection,
    ) -> Result<(Submitted, Vec<Signal>), Fault> {
        let done = self.submitted(&source.execute(connection, &self.first, &mut false).await?)?;
        if matches!(done.0, Submitted::Created(_)) {
            for call in &self.more {
                source.execute(connection, call, &mut false).await?;
            }
        }
        Ok(done)
    }

    fn submitted(&self, answer: &Answer) -> Result<(Submitted, Vec<Signal>), Fault> {
        let row = answer.row()?;
        let id: JobId = row.job(1)?;
        Ok(match row.text(0)? {
            "created" => (Submitted::Created(id), vec![Signal::Queued]),
            "existing" => (Submitted::equal(id, row.word(2)?, self.named.as_ref()), Vec::new()),
            _ => (Submitted::Conflict(id), Vec::new()),
        })
    }
}

/// JSON as it can stand in a `jsonb` column.
pub(super) fn without_nul(value: &Value) -> Value {
    match value {
        Value::String(string) => Value::String(text(string).into_owned()),
        Value::Object(members) => Value::Object(
            members.iter().map(|(key, value)| (text(key).into_owned(), without_nul(value))).collect(),
        ),
        other => other.clone(),
    }
}
