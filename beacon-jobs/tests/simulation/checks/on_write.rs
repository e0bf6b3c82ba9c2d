//! The promises on each write: the store before and after it.

use beacon_jobs::JobId;
use beacon_jobs::cancel::{CancelOutcome, CancelRequest};
use beacon_jobs::job::JobStatus;
use beacon_jobs::stop::StopState;
use beacon_jobs::store::snapshot::{JobSnapshot, Snapshot};
use beacon_jobs::store::*;
use serde_json::json;

use super::super::node::Life;
use super::super::provider::Kind;
use super::super::world::{World, short};
use super::{Truth, Write, sealed_by};

/// The part of a job that only a holder of its fence, or a cancel, may change.
fn fenced(job: &JobSnapshot) -> impl PartialEq {
    let executions: Vec<_> = job
        .executions
        .iter()
        .map(|execution| (execution.status, execution.attempts.clone(), execution.output.clone()))
        .collect();
    (job.status, executions)
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
            Write::Report(reports, recorded) => {
                for (report, _) in reports.iter().zip(recorded).filter(|(_, recorded)| **recorded) {
                    self.figures(|figures| figures.progress_recorded += 1);
                    self.check_permit("report", &before, &report.job, report.fence);
                    let job = before.jobs.get(&report.job);
                    let execution = job.and_then(|job| job.executions.get(report.index as usize));
                    if execution.is_none_or(|it| it.attempts.last() != Some(&report.attempt)) {
                        self.violate("P6 only the holder of a job writes", || {
                            format!("{} is not the current attempt", short(report.attempt))
                        });
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
            Write::Report(..) | Write::Seal(_) | Write::Stops(..) => Vec::new(),
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
}
