//! The calls of many callers that share one commit.

use time::OffsetDateTime;

use super::link::Link;
use super::queue::Reply;
use super::rows::{Wanted, WorkingSet};
use crate::clock::Clock;
use crate::stop::StopState;
use crate::store::sql::Fault;
use crate::store::{
    CloseStop, CloseStopOutcome, FinishExecution, FinishOutcome, ReportProgress, SaveHandle, SaveOutcome,
    Seal, Signal, StartExecution, StartOutcome, StopUpdate,
};

/// A call that shares its transaction with others.
#[derive(Debug)]
pub(super) enum Shared {
    Start(Vec<StartExecution>, Reply<Vec<StartOutcome>>),
    Save(Vec<SaveHandle>, Reply<Vec<SaveOutcome>>),
    Report(Vec<ReportProgress>, Reply<Vec<bool>>),
    Seal(Vec<Seal>, Reply<()>),
    Finish(Vec<FinishExecution>, Reply<Vec<FinishOutcome>>),
    RecordStops(Vec<StopUpdate>, Reply<Vec<Option<StopState>>>),
    CloseStop(CloseStop, Reply<CloseStopOutcome>),
}

/// The outcome of a call, to be told once it is committed.
#[derive(Debug)]
pub(super) enum Outcome {
    Start(Vec<StartOutcome>),
    Save(Vec<SaveOutcome>),
    Report(Vec<bool>),
    Seal,
    Finish(Vec<FinishOutcome>),
    RecordStops(Vec<Option<StopState>>),
    CloseStop(CloseStopOutcome),
}

impl Shared {
    /// How many rows it is about.
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Start(starts, _) => starts.len(),
            Self::Save(saves, _) => saves.len(),
            Self::Report(reports, _) => reports.len(),
            Self::Seal(seals, _) => seals.len(),
            Self::Finish(finishes, _) => finishes.len(),
            Self::RecordStops(updates, _) => updates.len(),
            Self::CloseStop(..) => 1,
        }
    }

    fn want<'a>(&'a self, wanted: &mut Wanted<'a>, closely: bool) {
        match self {
            Self::Start(starts, _) => {
                for start in starts {
                    wanted.execution(&start.job, start.index);
                    // A new attempt is not there yet. Should its id have been used elsewhere, the
                    // batch fails, and each call is looked at closely, alone.
                    if closely {
                        wanted.attempt(start.attempt);
                    }
                }
            }
            Self::Save(saves, _) => {
                for save in saves {
                    wanted.execution(&save.job, save.index);
                    wanted.expect(save.attempt);
                }
            }
            Self::Report(reports, _) => {
                for report in reports {
                    wanted.execution(&report.job, report.index);
                }
            }
            Self::Finish(finishes, _) => {
                for finish in finishes {
                    wanted.execution(&finish.job, finish.index);
                    wanted.expect(finish.attempt);
                }
            }
            Self::Seal(seals, _) => seals.iter().for_each(|seal| wanted.attempt(seal.attempt)),
            Self::RecordStops(updates, _) => updates.iter().for_each(|update| wanted.attempt(update.attempt)),
            Self::CloseStop(close, _) => wanted.attempt(close.attempt),
        }
    }

    fn apply(&self, now: OffsetDateTime, set: &mut WorkingSet) -> Outcome {
        match self {
            Self::Start(starts, _) => {
                Outcome::Start(starts.iter().map(|start| set.start(now, start)).collect())
            }
            Self::Save(saves, _) => {
                Outcome::Save(saves.iter().map(|save| set.rows.save_handle(now, save)).collect())
            }
            Self::Report(reports, _) => {
                Outcome::Report(reports.iter().map(|report| set.rows.report_progress(report)).collect())
            }
            Self::Seal(seals, _) => {
                seals.iter().for_each(|seal| set.rows.seal(now, *seal));
                Outcome::Seal
            }
            Self::Finish(finishes, _) => {
                Outcome::Finish(finishes.iter().map(|finish| set.finish(now, finish)).collect())
            }
            Self::RecordStops(updates, _) => {
                Outcome::RecordStops(updates.iter().map(|update| set.rows.record_stop(now, update)).collect())
            }
            Self::CloseStop(close, _) => Outcome::CloseStop(set.close_stop(now, close)),
        }
    }

    /// Tells the caller what became of it.
    pub(super) fn answer(self, outcome: Outcome) {
        match (self, outcome) {
            (Self::Start(_, reply), Outcome::Start(outcome)) => reply.send(Ok(outcome)),
            (Self::Save(_, reply), Outcome::Save(outcome)) => reply.send(Ok(outcome)),
            (Self::Report(_, reply), Outcome::Report(outcome)) => reply.send(Ok(outcome)),
            (Self::Seal(_, reply), Outcome::Seal) => reply.send(Ok(())),
            (Self::Finish(_, reply), Outcome::Finish(outcome)) => reply.send(Ok(outcome)),
            (Self::RecordStops(_, reply), Outcome::RecordStops(outcome)) => reply.send(Ok(outcome)),
            (Self::CloseStop(_, reply), Outcome::CloseStop(outcome)) => reply.send(Ok(outcome)),
            // An outcome is always of its own call's sort; should it not be, the reply says so.
            _ => {}
        }
    }

    pub(super) fn fail(self, fault: &Fault) {
        let fault = fault.clone();
        match self {
            Self::Start(_, reply) => reply.send(Err(fault)),
            Self::Save(_, reply) => reply.send(Err(fault)),
            Self::Report(_, reply) => reply.send(Err(fault)),
            Self::Seal(_, reply) => reply.send(Err(fault)),
            Self::Finish(_, reply) => reply.send(Err(fault)),
            Self::RecordStops(_, reply) => reply.send(Err(fault)),
            Self::CloseStop(_, reply) => reply.send(Err(fault)),
        }
    }
}

/// Runs a batch in one transaction. The outcomes are in the order of the calls.
pub(super) async fn run(
    link: &mut Link<'_>,
    clock: &dyn Clock,
    batch: &[Shared],
    closely: bool,
) -> Result<(Vec<Outcome>, Vec<Signal>), Fault> {
    let mut wanted = Wanted::default();
    for call in batch {
        call.want(&mut wanted, closely);
    }
    let mut set = WorkingSet::load(link, &wanted).await?;
    let now = clock.now();
    let outcomes = batch.iter().map(|call| call.apply(now, &mut set)).collect();
    set.store(link).await?;
    Ok((outcomes, set.rows.changes.signals))
}
