//! The ends of whole jobs: cancel and outcome. Set-based, however many executions there are.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;

use super::codec::{self, keys, nanos};
use super::link::{Answers, Link};
use super::own::Done;
use super::statements;
use super::stops::{self, Minters, Opened};
use crate::cancel::{CancelOutcome, CancelRequest, Escalation};
use crate::clock::Clock;
use crate::id::JobId;
use crate::job::{Cancellation, Failure, FailureKind, JobSpec, JobStatus, Progress, StopCounts};
use crate::stop::StopState;
use crate::store::sql::{self, Cells, Fault, json};
use crate::store::{FinishJob, FinishJobOutcome, Refusal, Signal};

pub(super) async fn cancel(
    link: &mut Link<'_>,
    clock: &dyn Clock,
    id: &JobId,
    request: &CancelRequest,
) -> Done<CancelOutcome> {
    let answers = link.run(link.call(statements::CANCEL_READ).bind(id.as_str().to_owned())).await?;
    let outcome = match answers.row(0) {
        None => CancelOutcome::NotFound,
        Some(row) if !request.by.may_act_for(row.text(1)?) => CancelOutcome::NotYours,
        Some(row) => {
            let job = Job { id, seq: row.long(0)?, now: clock.now(), request, changes: row.long(11)? };
            let status: JobStatus = row.word(2)?;
            match sql::cancellation(row, 3)? {
                Some(record) => return job.escalate(link, record).await,
                None if !status.is_terminal() => {
                    let history = match (row.long(9)?, row.long(10)?) {
                        (0, _) => History::Unstarted,
                        (_, 0) => History::Started,
                        _ => History::Stopped,
                    };
                    return job.cancel(link, status, history).await;
                }
                None => CancelOutcome::AlreadyFinished { status },
            }
        }
    };
    link.rollback().await?;
    Ok((outcome, Vec::new()))
}

pub(super) async fn cancel_many(
    link: &mut Link<'_>,
    clock: &dyn Clock,
    ids: &[JobId],
    request: &CancelRequest,
) -> Done<Vec<CancelOutcome>> {
    link.run(link.call(statements::BEGIN)).await?;
    let mut outcomes = Vec::with_capacity(ids.len());
    let mut signals = Vec::new();
    for id in ids {
        let (outcome, told) = cancel(&mut link.nested(), clock, id, request).await?;
        outcomes.push(outcome);
        signals.extend(told);
    }
    link.run(link.call(statements::COMMIT)).await?;
    Ok((outcomes, signals))
}

/// A cancel of a job that the transaction has locked.
struct Job<'a> {
    id: &'a JobId,
    seq: i64,
    now: OffsetDateTime,
    request: &'a CancelRequest,
    /// How many rows this connection had ever changed before.
    changes: i64,
}

/// How far a job had come.
#[derive(Clone, Copy)]
enum History {
    /// No attempt was ever made.
    Unstarted,
    /// There are attempts, and none of them has a stop.
    Started,
    /// There are stops.
    Stopped,
}

impl Job<'_> {
    fn force_at(&self) -> OffsetDateTime {
        self.now + self.request.effective_grace()
    }

    async fn run(
        &self,
        link: &mut Link<'_>,
        step: statements::Step,
        previous: Option<JobStatus>,
    ) -> Result<Answers, Fault> {
        let (first, last) = keys(self.seq);
        let call = link
            .call(step)
            .bind(first)
            .bind(last)
            .bind(self.seq)
            .bind(nanos(self.now))
            .bind(self.request.mode.as_str())
            .bind(nanos(self.force_at()))
            .bind(self.request.by.name().to_owned())
            .bind(self.request.reason.clone())
            .bind(previous.map(JobStatus::as_str))
            .bind(CancelOutcome::MOST_OPENED)
            .bind(self.changes);
        link.run(call).await
    }

    async fn cancel(self, link: &mut Link<'_>, previous: JobStatus, history: History) -> Done<CancelOutcome> {
        // The fewer statements, the fewer switches of threads.
        let (step, update) = match history {
            History::Unstarted => (statements::CANCEL_UNSTARTED, 0),
            History::Started => (statements::CANCEL, 2),
            History::Stopped => (statements::CANCEL_COUNTED, 2),
        };
        let answers = self.run(link, step, Some(previous)).await?;
        let changed = answers.changed(update);
        let mut stops = StopCounts::default();
        let mut opened = Vec::new();
        if let History::Started | History::Stopped = history {
            let (mode, now, force_at) = (self.request.mode, self.now, self.force_at());
            let lines = answers.row(0).map_or(Ok(None), |row| row.optional_text(0))?;
            opened = Opened { job: self.id, mode, now, force_at }.items(lines.unwrap_or_default());
        }
        if let History::Stopped = history {
            stops = stops::counts(&answers, 5, changed)?;
        } else {
            let requested = if update == 0 { 0 } else { answers.changed(1) };
            stops.add(StopState::Requested, false, requested);
            stops.add(StopState::NotNeeded, true, changed.saturating_sub(requested));
        }
        let record = Cancellation::new(previous, self.now, self.request, changed);
        let outcome = CancelOutcome::Cancelled { record, stops, opened };
        Ok((outcome, vec![Signal::Cancelled(self.id.clone())]))
    }

    /// Shortens the grace of the job's open stops, where the request ends it earlier.
    async fn escalate(self, link: &mut Link<'_>, record: Cancellation) -> Done<CancelOutcome> {
        let answers = self.run(link, statements::CANCEL_AGAIN, None).await?;
        let minters = Minters::read(&answers, 1, self.now)?;
        let mut hastened = sql::readable(answers.rows(0).map(|row| stops::item(row, &minters)));
        for item in &mut hastened {
            item.force_at = self.force_at();
            item.mode = self.request.mode;
        }
        let stops = stops::counts(&answers, 4, record.executions_cancelled)?;
        let escalation = (!hastened.is_empty()).then_some(Escalation { hastened });
        let signals = escalation.iter().map(|_| Signal::Cancelled(self.id.clone())).collect();
        Ok((CancelOutcome::AlreadyCancelled { record, stops, escalation }, signals))
    }
}

pub(super) async fn finish_job(
    link: &mut Link<'_>,
    clock: &dyn Clock,
    finish: &FinishJob,
) -> Done<FinishJobOutcome> {
    let answers = link.run(link.call(statements::FINISH_READ).bind(finish.job.as_str().to_owned())).await?;
    let now = clock.now();
    let outcome = match answers.row(0) {
        None => FinishJobOutcome::Refused(Refusal::Lost),
        Some(row) => match row.word(1)? {
            JobStatus::Cancelled => FinishJobOutcome::Refused(Refusal::Cancelled),
            status @ (JobStatus::Completed | JobStatus::Failed) => FinishJobOutcome::Finished(status),
            JobStatus::Running if row.fence(2)? == Some(finish.fence) => {
                if finish.timed_out {
                    return time_out(link, now, &finish.job, row.long(0)?).await;
                }
                match outcome(row, &answers)? {
                    Some(status) => {
                        let call = link.call(statements::FINISH).bind(row.long(0)?);
                        link.run(call.bind(status.as_str()).bind(nanos(now))).await?;
                        let signals = vec![Signal::Job(finish.job.clone())];
                        return Ok((FinishJobOutcome::Finished(status), signals));
                    }
                    None => FinishJobOutcome::Unfinished,
                }
            }
            _ => FinishJobOutcome::Refused(Refusal::Lost),
        },
    };
    link.rollback().await?;
    Ok((outcome, Vec::new()))
}

/// The outcome of a job whose executions are all over.
fn outcome(row: &SqliteRow, answers: &Answers) -> Result<Option<JobStatus>, Fault> {
    let mut progress = Progress::default();
    for row in answers.rows(1) {
        stops::add_progress(&mut progress, row, 0)?;
    }
    if !progress.is_over() {
        return Ok(None);
    }
    let rules: JobSpec = row.json(4)?;
    Ok(Some(progress.outcome(rules.min_success_rate)))
}

async fn time_out(link: &mut Link<'_>, now: OffsetDateTime, id: &JobId, seq: i64) -> Done<FinishJobOutcome> {
    const GRACE: Duration = CancelRequest::DEFAULT_GRACE;
    let (first, last) = keys(seq);
    let error = Failure::new(FailureKind::Timeout, "the time of the job was up");
    let call = link
        .call(statements::TIME_OUT)
        .bind(first)
        .bind(last)
        .bind(seq)
        .bind(nanos(now))
        .bind(crate::cancel::StopMode::Graceful.as_str())
        .bind(codec::nanos_after(now, GRACE))
        .bind(json(&error));
    let answers = link.run(call).await?;
    let mut signals = Vec::new();
    if answers.changed(0) > 0 {
        signals.push(Signal::StopsDue);
    }
    signals.push(Signal::Job(id.clone()));
    Ok((FinishJobOutcome::Finished(JobStatus::Failed), signals))
}
