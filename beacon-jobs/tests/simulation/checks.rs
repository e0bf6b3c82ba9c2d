//! The promises, as checks: on each write, on each step of the provider, and after healing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::cancel::{CancelOutcome, CancelRequest};
use beacon_jobs::job::{AuditAction, JobSpec, JobStatus};
use beacon_jobs::stop::StopState;
use beacon_jobs::store::snapshot::{AttemptSnapshot, JobSnapshot, Snapshot, StopSnapshot};
use beacon_jobs::store::*;
use beacon_jobs::{AttemptId, IncarnationId, JobId};
use serde_json::json;

use super::node::Life;
use super::provider::{CALL_LIMIT, Kind};
use super::world::{World, short};

/// A write that a store has accepted or refused, just now.
pub enum Write<'a> {
    Submit,
    Cancel(&'a [JobId], &'a CancelRequest, &'a [CancelOutcome]),
    Take(&'a Claim, &'a [ClaimedJob], bool),
    Release(&'a Release, bool),
    Start(&'a [StartExecution], &'a [StartOutcome]),
    Save(&'a [SaveHandle], &'a [SaveOutcome]),
    Seal(&'a [Seal]),
    Finish(&'a [FinishExecution], &'a [FinishOutcome]),
    FinishJob(&'a FinishJob, FinishJobOutcome),
    Stops(&'a [StopUpdate], &'a [Option<StopState>]),
}

/// What really happened, kept beside the store.
#[derive(Debug, Default)]
pub struct Truth {
    pub snapshot: Snapshot,
    /// The jobs as their owners asked for them.
    pub specs: BTreeMap<JobId, (String, JobSpec)>,
    /// Which process minted an attempt.
    pub minted: BTreeMap<AttemptId, u64>,
    /// Attempts whose handle was saved with a permit.
    pub granted: BTreeSet<AttemptId>,
    /// What each process has learnt of cancels.
    pub learnt: BTreeSet<(u64, JobId)>,
    /// Cancels that are committed and on their way back to the process that runs the job.
    pub holding: BTreeSet<(u64, JobId)>,
    /// Cancels that were answered with "cancelled".
    pub acknowledged: BTreeSet<JobId>,
    /// Cancels that were asked for by somebody who may.
    pub requests: Vec<(JobId, String, Option<String>)>,
    /// How often somebody was told to have been the one who cancelled.
    pub winners: BTreeMap<JobId, Vec<(String, Option<String>)>>,
    pub escalations: BTreeMap<JobId, usize>,
    pub incarnations: BTreeMap<IncarnationId, u64>,
    /// Compute seen alive although its stop was confirmed under a seal by time.
    pub let_off: BTreeSet<AttemptId>,
}

/// The part of a job that only a holder of its fence, or a cancel, may change.
fn fenced(job: &JobSnapshot) -> impl PartialEq {
    let executions: Vec<_> = job
        .executions
        .iter()
        .map(|execution| (execution.status, execution.attempts.clone(), execution.output.clone()))
        .collect();
    (job.status, executions)
}

fn sealed_by(stop: &StopSnapshot) -> Option<&str> {
    stop.evidence.as_ref().and_then(|evidence| evidence.get("sealed_by")).and_then(|by| by.as_str())
}

impl World {
    /// Compares the store before and after a write.
    pub fn wrote(&self, life: &Life, name: &'static str, write: Write<'_>) {
        let mut truth = self.truth.lock().unwrap();
        let after = self.store.snapshot();
        let before = std::mem::take(&mut truth.snapshot);
        self.log(|| format!("n{} {name} {}", life.node, write.words()));
        self.check_outcomes(&truth, &before, &after);
        self.check_stops(&before, &after);
        self.check_fences(&before, &after, &write);
        match write {
            Write::Start(starts, outcomes) => {
                for (start, outcome) in starts.iter().zip(outcomes) {
                    if matches!(outcome, StartOutcome::Started { .. }) {
                        truth.minted.insert(start.attempt, life.number);
                        self.check_permit("start", &before, &start.job, start.fence);
                        self.check_older(&truth, &after, start);
                    }
                }
            }
            Write::Save(saves, outcomes) => {
                for (save, outcome) in saves.iter().zip(outcomes) {
                    if *outcome == SaveOutcome::Granted {
                        truth.granted.insert(save.attempt);
                        self.check_permit("save", &before, &save.job, save.fence);
                    }
                }
            }
            Write::Take(claim, jobs, over) => self.check_taken(&before, &after, claim, jobs, over),
            Write::Cancel(ids, request, outcomes) => {
                for (id, outcome) in ids.iter().zip(outcomes) {
                    self.check_cancel(&mut truth, &before, &after, (id, request, outcome));
                }
            }
            _ => {}
        }
        truth.snapshot = after;
        drop(truth);
        self.check_alive();
    }

    fn check_outcomes(&self, truth: &Truth, before: &Snapshot, after: &Snapshot) {
        for (id, old) in &before.jobs {
            let Some(new) = after.jobs.get(id) else {
                self.violate("P1 an outcome stays", || format!("{id} is gone"));
                continue;
            };
            if old.status.is_terminal() && new.status != old.status {
                self.violate("P1 an outcome stays", || {
                    format!("{id} was {:?}, is {:?}", old.status, new.status)
                });
            }
            for (index, (old, new)) in old.executions.iter().zip(&new.executions).enumerate() {
                if old.status.is_terminal() && (old.status, &old.output) != (new.status, &new.output) {
                    self.violate("P1 an outcome stays", || {
                        format!("{id}/{index} was {:?}, is {:?}", old.status, new.status)
                    });
                }
            }
        }
        for id in &truth.acknowledged {
            if after.jobs.get(id).map(|job| job.status) != Some(JobStatus::Cancelled) {
                self.violate("P2 an acknowledged cancel wins", || format!("{id} is not cancelled any more"));
            }
        }
        for (id, job) in &after.jobs {
            for (index, execution) in job.executions.iter().enumerate() {
                if execution.status == beacon_jobs::job::ExecutionStatus::Completed
                    && execution.output != execution.attempts.last().map(|last| json!({ "attempt": last }))
                {
                    self.violate("P2 a result is of the current attempt", || format!("{id}/{index}"));
                }
            }
        }
    }

    fn check_stops(&self, before: &Snapshot, after: &Snapshot) {
        for (id, new) in &after.attempts {
            let old_state = before.attempts.get(id).and_then(|old| old.stop.as_ref()).map(|stop| stop.state);
            let new_state = new.stop.as_ref().map(|stop| stop.state);
            if old_state == new_state {
                continue;
            }
            if new_state == Some(StopState::Confirmed) {
                self.figures(|figures| figures.stops_confirmed += 1);
                if !new.has_handle && !Kind::of(&new.executor).two_step() {
                    self.violate("P4 never said to have stopped what cannot be found", || short(*id));
                }
            }
            if old_state == Some(StopState::Confirmed) {
                let why = new.stop.as_ref().and_then(|stop| stop.why.as_deref());
                if !why.is_some_and(|why| why.starts_with("opened again")) {
                    self.violate("P5 a confirmed stop is not taken back", || {
                        format!("{}: now {new_state:?} because {why:?}", short(*id))
                    });
                }
            }
        }
    }

    fn check_fences(&self, before: &Snapshot, after: &Snapshot, write: &Write<'_>) {
        let claims: Vec<(&JobId, Fence)> = match write {
            Write::Start(starts, _) => starts.iter().map(|start| (&start.job, start.fence)).collect(),
            Write::Save(saves, _) => saves.iter().map(|save| (&save.job, save.fence)).collect(),
            Write::Finish(finishes, _) => finishes.iter().map(|finish| (&finish.job, finish.fence)).collect(),
            Write::FinishJob(finish, _) => vec![(&finish.job, finish.fence)],
            Write::Release(release, _) => vec![(&release.job, release.fence)],
            Write::Seal(_) | Write::Stops(..) => Vec::new(),
            Write::Submit | Write::Cancel(..) | Write::Take(..) => return,
        };
        for (id, old) in &before.jobs {
            let Some(new) = after.jobs.get(id) else { continue };
            if fenced(old) == fenced(new) && old.fence == new.fence {
                continue;
            }
            let by_holder = claims.iter().any(|(job, fence)| *job == id && Some(*fence) == old.fence);
            if !by_holder {
                self.violate("P6 only the holder of a job writes", || {
                    format!("{id} was held by {:?}, the write carries {:?}", old.fence, claims)
                });
            }
        }
    }

    fn check_permit(&self, what: &str, before: &Snapshot, job: &JobId, fence: Fence) {
        let row = before.jobs.get(job);
        if row.is_none_or(|row| row.status != JobStatus::Running) {
            self.violate("P3 no permit after a cancel", || {
                format!("{what} of {job}, which is {:?}", row.map(|row| row.status))
            });
        } else if row.is_none_or(|row| row.fence != Some(fence)) {
            self.violate("P6 only the holder of a job writes", || format!("{what} of {job}"));
        }
    }

    /// A new attempt: the older ones are over, and what stands ahead of it in its lane.
    fn check_older(&self, truth: &Truth, after: &Snapshot, start: &StartExecution) {
        let Some((_, spec)) = truth.specs.get(&start.job) else { return };
        let Some(job) = after.jobs.get(&start.job) else { return };
        let index = start.index as usize;
        let alive = self.alive();
        for older in job.executions[index].attempts.iter().filter(|id| **id != start.attempt) {
            let row = &after.attempts[older];
            let excused = row.stop.as_ref().is_some_and(|stop| {
                sealed_by(stop) == Some("time") || (stop.settled && stop.state == StopState::Unconfirmed)
            });
            if !spec.allow_overlap && alive.contains(older) && !excused {
                self.violate("a retry waits for the older attempt's stop", || {
                    format!("{} beside {}", short(start.attempt), short(*older))
                });
            }
        }
        let own = &spec.executions[index];
        for (ahead, other) in spec.executions.iter().take(index).enumerate() {
            if own.lane.is_some() && other.lane == own.lane && !job.executions[ahead].status.is_terminal() {
                self.violate("executions of a lane run one after another", || {
                    format!("{}/{index}", start.job)
                });
            }
        }
    }

    fn check_taken(
        &self,
        before: &Snapshot,
        after: &Snapshot,
        claim: &Claim,
        jobs: &[ClaimedJob],
        over: bool,
    ) {
        for job in jobs {
            let old = &before.jobs[&job.id];
            let epoch = job.fence.epoch == old.epoch + 1 && job.fence.incarnation == claim.incarnation;
            let free = if over {
                old.status == JobStatus::Running
                    && old.fence.is_none_or(|fence| {
                        fence.incarnation == claim.incarnation
                            || !after.nodes.get(&fence.incarnation).is_some_and(|node| node.alive)
                    })
            } else {
                old.status == JobStatus::Queued
            };
            if !epoch || !free {
                self.violate("P6 a job is taken only from nobody or a dead node", || job.id.to_string());
            }
        }
    }

    fn check_cancel(
        &self,
        truth: &mut Truth,
        before: &Snapshot,
        after: &Snapshot,
        (id, request, outcome): (&JobId, &CancelRequest, &CancelOutcome),
    ) {
        let (Some(old), Some(new)) = (before.jobs.get(id), after.jobs.get(id)) else { return };
        let may = request.by.may_act_for(&old.owner);
        let unchanged = fenced(old) == fenced(new);
        let right = match outcome {
            CancelOutcome::Cancelled { .. } => {
                let winner = (request.by.name().to_owned(), request.reason.clone());
                truth.winners.entry(id.clone()).or_default().push(winner);
                may && !old.status.is_terminal() && new.status == JobStatus::Cancelled
            }
            CancelOutcome::AlreadyCancelled { escalation, .. } => {
                *truth.escalations.entry(id.clone()).or_default() += usize::from(escalation.is_some());
                may && unchanged && old.status == JobStatus::Cancelled
            }
            CancelOutcome::AlreadyFinished { status } => may && unchanged && old.status == *status,
            CancelOutcome::NotYours => !may && unchanged,
            _ => false,
        };
        if !right {
            self.violate("P8 only who may cancels, and the answer is true", || {
                format!("{id} of {}: {:?} was told {outcome:?}", old.owner, request.by)
            });
        }
        if matches!(outcome, CancelOutcome::Cancelled { .. }) {
            for (attempt, row) in after.attempts.iter().filter(|(_, row)| row.job == *id) {
                let execution = &old.executions[row.index as usize];
                if execution.status.is_active()
                    && execution.attempts.last() == Some(attempt)
                    && row.stop.is_none()
                {
                    self.violate("P5 a cancel requests the stop of what passed the barrier", || {
                        short(*attempt)
                    });
                }
            }
        }
    }

    /// Whatever is alive at the provider can be found, and nobody says that it has ended.
    pub fn check_alive(&self) {
        let mut truth = self.truth.lock().unwrap();
        for id in self.alive() {
            let object = self.provider.objects.lock().unwrap()[&id].clone();
            let Some(row) = truth.snapshot.attempts.get(&id) else {
                self.violate("P4 no untracked compute", || format!("{} is in no row", short(id)));
                continue;
            };
            if !row.has_handle && object.lives_until.is_none() {
                self.violate("P4 no untracked compute", || format!("{} has no handle", short(id)));
            }
            let Some(stop) = &row.stop else {
                self.check_current(&truth, id, row);
                continue;
            };
            let by_time = sealed_by(stop) == Some("time");
            match stop.state {
                StopState::Confirmed if by_time => {
                    truth.let_off.insert(id);
                }
                StopState::Confirmed => {
                    self.violate("P5 what is confirmed is not alive", || {
                        format!("{}, sealed by {:?}", short(id), sealed_by(stop))
                    });
                }
                StopState::Unconfirmed if stop.settled && row.has_handle => {
                    self.violate("P5 no forgotten compute", || format!("{} is given up", short(id)));
                }
                _ => {}
            }
        }
    }

    fn check_current(&self, truth: &Truth, id: AttemptId, row: &AttemptSnapshot) {
        let job = &truth.snapshot.jobs[&row.job];
        let execution = &job.executions[row.index as usize];
        let current = execution.status.is_active() && execution.attempts.last() == Some(&id);
        if job.status != JobStatus::Running || !current {
            self.violate("P5 no forgotten compute", || {
                format!("{}: its job is {:?}, its execution {:?}", short(id), job.status, execution.status)
            });
        }
    }

    /// A request that creates or begins is about to be sent.
    pub fn check_send(&self, life: &Life, attempt: AttemptId, name: &str, begins: bool) {
        let truth = self.truth.lock().unwrap();
        let minter = truth.minted.get(&attempt);
        if minter != Some(&life.number) {
            self.violate("P3 only the minter begins", || {
                format!("{name} of {} by life {}, minted by {minter:?}", short(attempt), life.number)
            });
        }
        if begins && name == "begin" && !truth.granted.contains(&attempt) {
            self.violate("P3 nothing begins without a permit", || format!("{name} of {}", short(attempt)));
        }
        let job = truth.snapshot.attempts.get(&attempt).map(|row| &row.job);
        if begins && job.is_some_and(|job| truth.holding.contains(&(life.number, job.clone()))) {
            self.violate("P3 a cancel holds back the sends of its own process", || {
                format!("{name} of {}", short(attempt))
            });
        }
        if begins && job.is_some_and(|job| truth.learnt.contains(&(life.number, job.clone()))) {
            self.violate("P3 nothing begins once the node has learnt of the cancel", || {
                format!("{name} of {}", short(attempt))
            });
        }
    }

    /// A node that stood still moves a request on: not without a lease once its time is long over.
    pub fn check_late_send(&self, life: &Life, attempt: AttemptId, name: &str, began: Duration) {
        if self.clock.elapsed() < began + CALL_LIMIT + Duration::from_secs(2) {
            return;
        }
        let nodes = self.store.snapshot().nodes;
        let truth = self.truth.lock().unwrap();
        let mut own = truth.incarnations.iter().filter(|(_, number)| **number == life.number);
        if !own.any(|(id, _)| nodes.get(id).is_some_and(|node| node.alive)) {
            self.violate("P3 nothing late is sent without a lease", || {
                format!("{name} of {}", short(attempt))
            });
        }
    }

    /// A cancel was committed, and the process that took it is about to be told so, or has been.
    pub fn holds_sends(&self, life: &Life, job: &JobId, holds: bool) {
        let mut truth = self.truth.lock().unwrap();
        let key = (life.number, job.clone());
        if holds {
            truth.holding.insert(key)
        } else {
            truth.holding.remove(&key)
        };
    }

    /// The process was told that this job is cancelled.
    pub fn learns(&self, life: &Life, job: &JobId) {
        self.truth.lock().unwrap().learnt.insert((life.number, job.clone()));
    }

    /// What is left when everything was healed; the settled world, if it is one.
    pub fn unsettled(&self) -> Option<String> {
        let truth = self.truth.lock().unwrap();
        if let Some((id, job)) = truth.snapshot.jobs.iter().find(|(_, job)| !job.status.is_terminal()) {
            return Some(format!("{id} is {:?}", job.status));
        }
        for (id, row) in &truth.snapshot.attempts {
            let Some(stop) = &row.stop else { continue };
            let over = match stop.state {
                StopState::Confirmed | StopState::NotNeeded => true,
                StopState::Unconfirmed => {
                    stop.settled && !row.has_handle && !Kind::of(&row.executor).two_step()
                }
                StopState::Requested | StopState::Acknowledged => false,
            };
            if !over {
                return Some(format!("the stop of {} is {:?}: {:?}", short(*id), stop.state, stop.why));
            }
        }
        let flights = self.provider.on_the_way.lock().unwrap().keys().next().copied();
        if let Some(id) = flights {
            return Some(format!("a request of {} is on its way", short(id)));
        }
        let orphan = self.alive().first().copied();
        if let Some(id) = orphan {
            return Some(format!("{} is alive", short(id)));
        }
        self.lives().into_iter().find_map(|life| {
            let runner = life.runner.lock().unwrap();
            let runner = runner.as_ref()?;
            let (jobs, attempts) = (runner.running_jobs(), runner.running_attempts());
            let contexts = life.jobs()?.contexts().count();
            (jobs + attempts + contexts > 0)
                .then(|| format!("n{}: {jobs} jobs, {attempts} attempts, {contexts} contexts", life.node))
        })
    }

    /// Compares the record of what was done with what was done.
    pub async fn check_record(self: &Arc<Self>) {
        let (jobs, winners, requests, escalations) = {
            let truth = self.truth.lock().unwrap();
            let jobs: Vec<_> = truth.snapshot.jobs.iter().map(|(id, job)| (id.clone(), job.status)).collect();
            (jobs, truth.winners.clone(), truth.requests.clone(), truth.escalations.clone())
        };
        for (id, status) in jobs {
            let audit = self.store.audit(&id).await.unwrap();
            let count = |action| audit.iter().filter(|entry| entry.action == action).count();
            let cancels = count(AuditAction::Cancelled);
            if cancels != usize::from(status == JobStatus::Cancelled) || count(AuditAction::Submitted) != 1 {
                self.violate("P9 each cancel is on record once", || format!("{id}, {status:?}: {audit:?}"));
            }
            if count(AuditAction::Escalated) != escalations.get(&id).copied().unwrap_or_default() {
                self.violate("P9 each harsher cancel is on record once", || format!("{id}: {audit:?}"));
            }
            let won = winners.get(&id).cloned().unwrap_or_default();
            if won.len() != cancels {
                self.violate("P9 one cancel wins", || format!("{id}: {won:?}"));
            }
            for entry in audit.iter().filter(|entry| entry.action == AuditAction::Cancelled) {
                let who = (entry.actor.clone(), entry.reason.clone());
                let asked = requests.iter().any(|(job, by, why)| *job == id && (by, why) == (&who.0, &who.1));
                if won.first() != Some(&who) || !asked {
                    self.violate("P9 the record names who cancelled", || format!("{id}: {entry:?}"));
                }
            }
        }
    }
}

impl Write<'_> {
    fn words(&self) -> String {
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
