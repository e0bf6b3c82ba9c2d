//! The ends of whole jobs: cancel and outcome. One statement each, however many executions.

use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::codec::interval;
use super::link::{Answer, Call, Nature};
use super::source::{Lane, Source};
use super::statements::Statement;
use super::stops;
use crate::cancel::{Actor, CancelOutcome, CancelRequest, Escalation, StopMode};
use crate::id::JobId;
use crate::job::{Failure, FailureKind};
use crate::stop::StopItem;
use crate::store::sql::{self, Cells, Fault, json, text};
use crate::store::{FinishJob, FinishJobOutcome, Refusal, Signal};

/// How many columns of a cancel's rows are those of a stop; the outcome's are after them.
const ITEM: usize = 18;

/// What a cancel carries besides its jobs.
pub(super) struct Wish<'a> {
    pub(super) request: &'a CancelRequest,
    /// Tells this very call from others when its answer was lost.
    pub(super) token: Uuid,
    /// Where hints go; absent when none are to be sent.
    pub(super) channel: Option<&'a str>,
    /// Who sends them.
    pub(super) from: &'a str,
}

impl Wish<'_> {
    pub(super) fn one(&self, id: &JobId) -> Call {
        self.bind(Call::new(Statement::Cancel).bind(id.as_str()))
    }

    pub(super) fn many(&self, ids: &[JobId]) -> Call {
        let ids: Vec<_> = ids.iter().map(JobId::as_str).collect();
        self.bind(Call::new(Statement::CancelMany).bind(ids))
    }

    fn bind(&self, call: Call) -> Call {
        let request = self.request;
        call.bind(text(request.by.name()))
            .bind(matches!(request.by, Actor::Admin(_)))
            .bind(request.reason.as_deref().map(text))
            .bind(request.mode.as_str())
            .bind(interval(request.effective_grace()))
            .bind(i64::from(CancelOutcome::MOST_OPENED))
            .bind(self.token)
            .bind(self.channel)
            .bind(self.from)
    }
}

/// Reads what became of a cancel, and what to signal.
pub(super) fn cancelled(id: &JobId, answer: &Answer) -> Result<(CancelOutcome, Vec<Signal>), Fault> {
    let mut rows = answer.rows();
    let last = rows.next_back().ok_or_else(|| Fault::corrupt("a cancel brought no row"))?;
    outcome(id, last, sql::readable(rows.map(stops::item)))
}

/// Reads what became of each of many cancels.
pub(super) fn many_cancelled(
    ids: &[JobId],
    answer: &Answer,
) -> Result<(Vec<CancelOutcome>, Vec<Signal>), Fault> {
    let mut items: Vec<Vec<&PgRow>> = Vec::new();
    items.resize_with(ids.len(), Vec::new);
    for row in answer.rows() {
        let place: usize = row.count(ITEM + 9)?;
        if let Some(of_job) = place.checked_sub(1).and_then(|place| items.get_mut(place)) {
            of_job.push(row);
        }
    }
    let mut outcomes = Vec::with_capacity(ids.len());
    let mut signals = Vec::new();
    for (id, mut rows) in ids.iter().zip(items) {
        let last = rows.pop().ok_or_else(|| Fault::corrupt("a cancel brought no row"))?;
        let items = sql::readable(rows.into_iter().map(stops::item));
        let (outcome, told) = outcome(id, last, items)?;
        outcomes.push(outcome);
        signals.extend(told);
    }
    Ok((outcomes, signals))
}

fn outcome(id: &JobId, last: &PgRow, items: Vec<StopItem>) -> Result<(CancelOutcome, Vec<Signal>), Fault> {
    let told = || vec![Signal::Cancelled(id.clone())];
    let record = || {
        let record = sql::cancellation(last, ITEM + 2)?;
        let record = record.ok_or_else(|| Fault::corrupt("a cancelled job has no record of it"))?;
        let stops = stops::counts(last, ITEM + 8, record.executions_cancelled)?;
        Ok::<_, Fault>((record, stops))
    };
    Ok(match last.text(ITEM)? {
        "not_found" => (CancelOutcome::NotFound, Vec::new()),
        "not_yours" => (CancelOutcome::NotYours, Vec::new()),
        "finished" => (CancelOutcome::AlreadyFinished { status: last.word(ITEM + 1)? }, Vec::new()),
        "cancelled" => {
            let (record, stops) = record()?;
            (CancelOutcome::Cancelled { record, stops, opened: items }, told())
        }
        "before" => {
            let (record, stops) = record()?;
            let escalation = (!items.is_empty()).then_some(Escalation { hastened: items });
            let signals = if escalation.is_some() { told() } else { Vec::new() };
            (CancelOutcome::AlreadyCancelled { record, stops, escalation }, signals)
        }
        other => return Err(Fault::corrupt(format!("a cancel answered {other}"))),
    })
}

pub(super) async fn finish_job(
    source: &Source,
    finish: &FinishJob,
) -> Result<(FinishJobOutcome, Vec<Signal>), Fault> {
    let error = Failure::new(FailureKind::Timeout, "the time of the job was up");
    let call = Call::new(Statement::FinishJob)
        .bind(finish.job.as_str())
        .bind(finish.fence.incarnation.as_uuid())
        .bind(sql::epoch(finish.fence))
        .bind(finish.timed_out.then(|| json(&error)))
        .bind(StopMode::Graceful.as_str())
        .bind(interval(CancelRequest::DEFAULT_GRACE));
    let answer = source.run(Lane::Common, Nature::Repeatable, &call).await?;
    let row = answer.row()?;
    let outcome = match row.optional_text(0)? {
        Some("cancelled") => FinishJobOutcome::Refused(Refusal::Cancelled),
        Some("finished") => FinishJobOutcome::Finished(row.word(1)?),
        Some(_) => FinishJobOutcome::Refused(Refusal::Lost),
        None => match row.optional_word(1)? {
            Some(status) => {
                let mut signals = vec![Signal::Job(finish.job.clone())];
                if row.flag(2)? {
                    signals.push(Signal::StopsDue);
                }
                return Ok((FinishJobOutcome::Finished(status), signals));
            }
            None => FinishJobOutcome::Unfinished,
        },
    };
    Ok((outcome, Vec::new()))
}
