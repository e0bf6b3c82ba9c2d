//! Rules that are broken on purpose: the simulation must notice each of them.
//!
//! Most are broken from outside, by what the store is told and what it answers, or by an executor
//! that does not keep its contract. The rest are switches in the crate, behind its feature
//! `mutations`.

use std::collections::BTreeSet;

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::job::Failure;
use beacon_jobs::mutation::Mutation;
use beacon_jobs::stop::{SealedBy, StopItem, StopState};
use beacon_jobs::store::*;
use beacon_jobs::{AttemptId, JobId};

use super::node::Life;
use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// A switch in the crate.
    Core(Mutation),
    /// What ended is confirmed, sealed or not.
    NoSeal,
    /// The seal is read when the answer is recorded, not before the call.
    SealReadLate,
    /// A failure and the request of its stop are two writes.
    FailAndStopInTwoWrites,
    /// Only the node that minted an attempt drives its stop.
    StopsByMinterOnly,
    /// A node begins what it re-attaches to and finds inert.
    ReattachFeeds,
    /// A node waits for what it re-attaches to, though it never began.
    ReattachOnlyWaits,
    /// The fence is a lease row that the heartbeat makes anew.
    FenceByLease,
    /// A node does not look for jobs that it owns and does not run.
    NoReconciliation,
    /// A start whose answer was lost is refused when it is repeated.
    StartNotRepeatable,
    /// An execution starts whatever the store says.
    NoBarrier,
    /// What was created is begun though its handle was refused.
    RefusedSaveFeeds,
    /// A job whose executions are all over is not taken over.
    FinishedJobNotTakenOver,
    /// A retry begins beside an attempt whose stop is open.
    RetryDoesNotWait,
    /// There is a stop to drive only where a handle was saved.
    StopOnlyWithHandle,
    /// A confirmation that rests on time is not looked at again, nor reopened by the node that
    /// comes back.
    NothingReopens,
    /// An ended node's attempts are sealed at once, while its requests may be on their way.
    NoCallDeadlineAfterTheEnd,
    /// Requests that create or begin are sent without the runner's knowledge.
    RequestsAreNotCounted,
    /// Anybody cancels.
    NoOwnerCheck,
}

impl World {
    pub fn breaks(&self, broken: Break) -> bool {
        self.broken == Some(broken)
    }

    pub fn alter_submission(&self, submission: &Submission) -> Submission {
        let mut submission = submission.clone();
        if self.breaks(Break::RetryDoesNotWait) {
            submission.spec.allow_overlap = true;
        }
        submission
    }

    pub fn alter_cancel(&self, _: &JobId, request: &CancelRequest) -> CancelRequest {
        let mut request = request.clone();
        if self.breaks(Break::NoOwnerCheck) {
            request.by = Actor::Admin(request.by.name().to_owned());
        }
        request
    }

    pub fn alter_cancelled(&self, life: &Life, outcome: CancelOutcome) -> CancelOutcome {
        match outcome {
            CancelOutcome::Cancelled { record, stops, opened } => {
                CancelOutcome::Cancelled { record, stops, opened: self.alter_stops(life, opened) }
            }
            other => other,
        }
    }

    pub fn alter_stops(&self, life: &Life, mut items: Vec<StopItem>) -> Vec<StopItem> {
        if self.breaks(Break::StopsByMinterOnly) {
            let truth = self.truth.lock().unwrap();
            items.retain(|item| truth.minted.get(&item.attempt) == Some(&life.number));
        }
        if self.breaks(Break::StopOnlyWithHandle) {
            items.retain(|item| item.handle.is_some());
        }
        items
    }

    pub fn alter_heartbeat(&self, beat: Heartbeat) -> Heartbeat {
        if self.breaks(Break::FenceByLease) { Heartbeat::Alive } else { beat }
    }

    pub fn alter_fence(&self, job: &JobId, fence: &mut Fence) {
        if self.breaks(Break::FenceByLease)
            && let Some(held) = self.store.snapshot().jobs.get(job).and_then(|job| job.fence)
        {
            *fence = held;
        }
    }

    pub fn alter_take_over(&self, claim: &Claim) -> Claim {
        let mut claim = claim.clone();
        if self.breaks(Break::NoReconciliation) {
            let own = |job: &snapshot::JobSnapshot| {
                job.fence.is_some_and(|fence| fence.incarnation == claim.incarnation)
            };
            let snapshot = self.store.snapshot();
            claim.running =
                snapshot.jobs.iter().filter(|(_, job)| own(job)).map(|(id, _)| id.clone()).collect();
        }
        if self.breaks(Break::FinishedJobNotTakenOver) {
            for (id, job) in &self.store.snapshot().jobs {
                if job.executions.iter().all(|execution| execution.status.is_terminal()) {
                    claim.running.push(id.clone());
                }
            }
        }
        claim
    }

    pub fn known_attempts(&self, starts: &[StartExecution]) -> BTreeSet<AttemptId> {
        if !self.breaks(Break::StartNotRepeatable) {
            return BTreeSet::new();
        }
        let known = self.store.snapshot().attempts;
        starts.iter().map(|start| start.attempt).filter(|id| known.contains_key(id)).collect()
    }

    pub fn alter_started(
        &self,
        known: &BTreeSet<AttemptId>,
        outcomes: Vec<StartOutcome>,
    ) -> Vec<StartOutcome> {
        let alter = |outcome| match outcome {
            StartOutcome::Started { .. } if !known.is_empty() => StartOutcome::Refused(Refusal::Lost),
            StartOutcome::Refused(_) if self.breaks(Break::NoBarrier) => StartOutcome::Started { number: 1 },
            outcome => outcome,
        };
        outcomes.into_iter().map(alter).collect()
    }

    pub fn alter_seals(&self, seals: &[Seal]) -> Vec<Seal> {
        let mut seals = seals.to_vec();
        if self.breaks(Break::NothingReopens) {
            let attempts = self.store.snapshot().attempts;
            let reopens = |seal: &Seal| {
                let row = attempts.get(&seal.attempt);
                let state = row.and_then(|row| row.stop.as_ref()).map(|stop| stop.state);
                state == Some(StopState::Confirmed) && seal.by == SealedBy::Minter
            };
            seals.retain(|seal| !reopens(seal));
        }
        seals
    }

    /// The write that asks for the stop, where that is not part of the first.
    pub fn second_write(&self, finishes: &[FinishExecution]) -> Option<Vec<FinishExecution>> {
        if !self.breaks(Break::FailAndStopInTwoWrites) {
            return None;
        }
        let mut second = finishes.to_vec();
        for finish in &mut second {
            let ExecutionResult::Failed { failure, .. } = &mut finish.result else { return None };
            // Another failure than the one recorded is refused, and a refusal requests the stop.
            *failure = Failure::new(failure.kind, "again");
        }
        Some(second)
    }

    pub fn alter_updates(&self, updates: &[StopUpdate]) -> Vec<StopUpdate> {
        let mut updates = updates.to_vec();
        if self.breaks(Break::NothingReopens) {
            for update in &mut updates {
                update.watch = false;
            }
        }
        if self.breaks(Break::NoSeal) {
            for update in &mut updates {
                if let StopAnswer::Ended { seals, .. } = &mut update.answer {
                    *seals = true;
                }
            }
        }
        updates
    }

    pub fn alter_updates_late(&self, updates: &[StopUpdate]) -> Vec<StopUpdate> {
        let mut updates = updates.to_vec();
        if self.breaks(Break::SealReadLate) {
            let attempts = self.store.snapshot().attempts;
            for update in &mut updates {
                update.seen_seal = attempts.get(&update.attempt).and_then(|row| row.sealed);
            }
        }
        updates
    }

    /// The switch of the crate that belongs to a break.
    pub fn switch(&self) -> Option<Mutation> {
        match self.broken {
            Some(Break::Core(mutation)) => Some(mutation),
            Some(Break::FailAndStopInTwoWrites) => Some(Mutation::FailureWithoutStop),
            _ => None,
        }
    }
}
