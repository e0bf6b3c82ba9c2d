//! The progress of executions, in batches that many callers share.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::codec::interval;
use super::link::{Answer, Call, Nature};
use super::source::{Lane, Source};
use super::statements::Statement;
use crate::cancel::{CancelRequest, StopMode};
use crate::id::{AttemptId, JobId};
use crate::store::sql::{Cells, Fault, epoch, json};
use crate::store::{
    ExecutionResult, Fence, FinishExecution, FinishOutcome, Refusal, ReportProgress, SaveHandle, SaveOutcome,
    Seal, Signal, StartExecution, StartOutcome,
};

/// Gives each item of a batch its round: those of one round touch different executions and different
/// attempts, and an item comes after all before it that touch one of its own.
#[derive(Debug, Default)]
struct Rounds<'a> {
    executions: HashMap<(&'a JobId, u32), i32>,
    attempts: HashMap<AttemptId, i32>,
    rounds: Vec<i32>,
}

impl<'a> Rounds<'a> {
    fn add(&mut self, execution: Option<(&'a JobId, u32)>, attempt: AttemptId) {
        let by_attempt = self.attempts.get(&attempt).copied().unwrap_or(0);
        let by_execution = execution.and_then(|key| self.executions.get(&key).copied()).unwrap_or(0);
        let round = by_attempt.max(by_execution) + 1;
        self.attempts.insert(attempt, round);
        if let Some(key) = execution {
            self.executions.insert(key, round);
        }
        self.rounds.push(round);
    }
}

/// The columns that all items with a fence have.
#[derive(Debug, Default)]
struct Columns<'a> {
    rounds: Rounds<'a>,
    jobs: Vec<&'a str>,
    incarnations: Vec<Uuid>,
    epochs: Vec<i64>,
    indexes: Vec<i64>,
    attempts: Vec<Uuid>,
}

impl<'a> Columns<'a> {
    fn add(&mut self, fence: Fence, job: &'a JobId, index: u32, attempt: AttemptId) {
        self.rounds.add(Some((job, index)), attempt);
        self.jobs.push(job.as_str());
        self.incarnations.push(fence.incarnation.as_uuid());
        self.epochs.push(epoch(fence));
        self.indexes.push(index.into());
        self.attempts.push(attempt.as_uuid());
    }

    fn call(self, statement: Statement) -> Call {
        Call::new(statement)
            .bind(self.rounds.rounds)
            .bind(self.jobs)
            .bind(self.incarnations)
            .bind(self.epochs)
            .bind(self.indexes)
            .bind(self.attempts)
    }
}

/// What a batch brought, in the order of its items, and what to signal.
type Done<T> = Result<(Vec<T>, Vec<Signal>), Fault>;

/// Puts the outcomes in the order of the items.
fn in_order<T: Clone>(
    answer: &Answer,
    count: usize,
    outcome: impl Fn(&PgRow) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut outcomes = vec![None; count];
    for row in answer.rows() {
        let place: usize = row.count(0)?;
        if let Some(slot) = place.checked_sub(1).and_then(|place| outcomes.get_mut(place)) {
            *slot = Some(outcome(row)?);
        }
    }
    let missing = || Fault::corrupt("a batch was answered in part");
    outcomes.into_iter().map(|outcome| outcome.ok_or_else(missing)).collect()
}

fn refusal(word: &str) -> Result<Refusal, Fault> {
    match word {
        "cancelled" => Ok(Refusal::Cancelled),
        "finished" => Ok(Refusal::Finished),
        "lost" => Ok(Refusal::Lost),
        "stop_open" => Ok(Refusal::StopOpen),
        other => Err(Fault::corrupt(format!("a statement answered {other}"))),
    }
}

pub(super) async fn start(source: &Source, starts: &[StartExecution]) -> Done<StartOutcome> {
    let mut columns = Columns::default();
    for start in starts {
        columns.add(start.fence, &start.job, start.index, start.attempt);
    }
    let answer = source.run(Lane::Common, Nature::Repeatable, &columns.call(Statement::Start)).await?;
    let outcomes = in_order(&answer, starts.len(), |row| match row.text(1)? {
        "started" => Ok(StartOutcome::Started { number: row.count(2)? }),
        word => refusal(word).map(StartOutcome::Refused),
    })?;
    let started =
        starts.iter().zip(&outcomes).filter(|(_, outcome)| matches!(outcome, StartOutcome::Started { .. }));
    let signals = started.map(|(start, _)| Signal::Job(start.job.clone())).collect();
    Ok((outcomes, signals))
}

pub(super) async fn save(source: &Source, saves: &[SaveHandle]) -> Done<SaveOutcome> {
    let mut columns = Columns::default();
    let mut handles = Vec::with_capacity(saves.len());
    for save in saves {
        columns.add(save.fence, &save.job, save.index, save.attempt);
        handles.push(json(&save.handle));
    }
    let call = columns
        .call(Statement::Save)
        .bind(handles)
        .bind(StopMode::Graceful.as_str())
        .bind(interval(CancelRequest::DEFAULT_GRACE));
    let answer = source.run(Lane::Common, Nature::Repeatable, &call).await?;
    let outcomes = in_order(&answer, saves.len(), |row| match row.text(1)? {
        "granted" => Ok(SaveOutcome::Granted),
        word => refusal(word).map(SaveOutcome::Refused),
    })?;
    let mut signals: Vec<_> = saves.iter().map(|save| Signal::Job(save.job.clone())).collect();
    if outcomes.iter().any(|outcome| *outcome != SaveOutcome::Granted) {
        signals.push(Signal::StopsDue);
    }
    Ok((outcomes, signals))
}

pub(super) async fn report(source: &Source, reports: &[ReportProgress]) -> Done<bool> {
    let mut columns = Columns::default();
    for report in reports {
        columns.add(report.fence, &report.job, report.index, report.attempt);
    }
    let call = columns
        .call(Statement::Report)
        .bind(reports.iter().map(|report| json(&report.progress)).collect::<Vec<_>>());
    let answer = source.run(Lane::Common, Nature::Repeatable, &call).await?;
    let recorded = in_order(&answer, reports.len(), |row| row.flag(1))?;
    let told = reports.iter().zip(&recorded).filter(|(_, recorded)| **recorded);
    let signals = told.map(|(report, _)| Signal::Job(report.job.clone())).collect();
    Ok((recorded, signals))
}

pub(super) async fn seal(source: &Source, seals: &[Seal]) -> Done<()> {
    let mut rounds = Rounds::default();
    for seal in seals {
        rounds.add(None, seal.attempt);
    }
    let call = Call::new(Statement::Seal)
        .bind(rounds.rounds)
        .bind(seals.iter().map(|seal| seal.attempt.as_uuid()).collect::<Vec<_>>())
        .bind(seals.iter().map(|seal| seal.by.as_str()).collect::<Vec<_>>());
    let answer = source.run(Lane::Common, Nature::Repeatable, &call).await?;
    let is_due = answer.row()?.flag(0)?;
    Ok((vec![(); seals.len()], is_due.then_some(Signal::StopsDue).into_iter().collect()))
}

pub(super) async fn finish(source: &Source, finishes: &[FinishExecution]) -> Done<FinishOutcome> {
    let mut columns = Columns::default();
    let mut sealed = Vec::with_capacity(finishes.len());
    let mut results = Vec::with_capacity(finishes.len());
    let mut counted = Vec::with_capacity(finishes.len());
    let mut errors = Vec::with_capacity(finishes.len());
    let mut outputs = Vec::with_capacity(finishes.len());
    for finish in finishes {
        columns.add(finish.fence, &finish.job, finish.index, finish.attempt);
        sealed.push(finish.sealed);
        match &finish.result {
            ExecutionResult::Completed(output) => {
                results.push("completed");
                counted.push(true);
                errors.push(None);
                outputs.push(Some(json(output)));
            }
            ExecutionResult::Failed { failure, output, retry, counts } => {
                results.push(if *retry { "retry" } else { "failed" });
                counted.push(*counts);
                errors.push(Some(json(failure)));
                outputs.push(output.as_ref().map(json));
            }
        }
    }
    let call = columns
        .call(Statement::Finish)
        .bind(sealed)
        .bind(results)
        .bind(counted)
        .bind(errors)
        .bind(outputs)
        .bind(StopMode::Graceful.as_str())
        .bind(interval(CancelRequest::DEFAULT_GRACE));
    let answer = source.run(Lane::Common, Nature::Repeatable, &call).await?;
    let outcomes = in_order(&answer, finishes.len(), |row| match row.text(1)? {
        "recorded" | "repeated" => Ok(FinishOutcome::Finished),
        word => refusal(word).map(FinishOutcome::Refused),
    })?;
    let mut signals: Vec<_> = finishes.iter().map(|finish| Signal::Job(finish.job.clone())).collect();
    let mut is_due = false;
    for row in answer.rows() {
        is_due |= row.flag(2)?;
    }
    if is_due {
        signals.push(Signal::StopsDue);
    }
    Ok((outcomes, signals))
}
