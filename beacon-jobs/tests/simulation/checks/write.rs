//! A write, and the words for it in the log.

use beacon_jobs::JobId;
use beacon_jobs::cancel::{CancelOutcome, CancelRequest};
use beacon_jobs::stop::StopState;
use beacon_jobs::store::*;

use super::super::world::short;

/// A write that a store has accepted or refused, just now.
pub enum Write<'a> {
    Submit,
    Cancel(&'a [JobId], &'a CancelRequest, &'a [CancelOutcome]),
    Take(&'a Claim, &'a [ClaimedJob], bool),
    Release(&'a Release, bool),
    Start(&'a [StartExecution], &'a [StartOutcome]),
    Save(&'a [SaveHandle], &'a [SaveOutcome]),
    Report(&'a [ReportProgress], &'a [bool]),
    Seal(&'a [Seal]),
    Finish(&'a [FinishExecution], &'a [FinishOutcome]),
    FinishJob(&'a FinishJob, FinishJobOutcome),
    Stops(&'a [StopUpdate], &'a [Option<StopState>]),
}

impl Write<'_> {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Submit => String::new(),
            Self::Cancel(ids, request, outcomes) => format!("{ids:?} {request:?} -> {outcomes:?}"),
            Self::Take(_, jobs, _) => {
                let jobs = jobs.iter().map(|job| format!("{} epoch {}", job.id, job.fence.epoch));
                jobs.collect::<Vec<_>>().join(", ")
            }
            Self::Release(release, done) => format!("{} -> {done}", release.job),
            Self::Start(starts, outcomes) => each(starts, outcomes, |start, outcome| {
                format!("{}/{} {} -> {outcome:?}", start.job, start.index, short(start.attempt))
            }),
            Self::Save(saves, outcomes) => {
                each(saves, outcomes, |save, outcome| format!("{} -> {outcome:?}", short(save.attempt)))
            }
            Self::Report(reports, recorded) => each(reports, recorded, |report, recorded| {
                format!("{} {} -> {recorded}", short(report.attempt), report.progress)
            }),
            Self::Seal(seals) => {
                let seals = seals.iter().map(|seal| format!("{} by {:?}", short(seal.attempt), seal.by));
                seals.collect::<Vec<_>>().join(", ")
            }
            Self::Finish(finishes, outcomes) => each(finishes, outcomes, |finish, outcome| {
                format!(
                    "{}/{} {} {:?} sealed {} -> {outcome:?}",
                    finish.job,
                    finish.index,
                    short(finish.attempt),
                    finish.result,
                    finish.sealed
                )
            }),
            Self::FinishJob(finish, outcome) => {
                format!("{} timed out {} -> {outcome:?}", finish.job, finish.timed_out)
            }
            Self::Stops(updates, states) => each(updates, states, |update, state| {
                format!(
                    "{} saw {:?}: {:?} -> {state:?}",
                    short(update.attempt),
                    update.seen_seal,
                    update.answer
                )
            }),
        }
    }
}

fn each<A, B>(asked: &[A], answers: &[B], words: impl Fn(&A, &B) -> String) -> String {
    asked.iter().zip(answers).map(|(asked, answer)| words(asked, answer)).collect::<Vec<_>>().join(", ")
}
