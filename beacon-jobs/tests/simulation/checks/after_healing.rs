//! The promises after healing: what is left, and what is on record.

use std::sync::Arc;

use beacon_jobs::job::{AuditAction, JobStatus};
use beacon_jobs::stop::StopState;
use beacon_jobs::store::JobStore;

use super::super::provider::Kind;
use super::super::world::{World, short};

impl World {
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
