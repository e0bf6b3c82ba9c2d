//! The promises on each step of the provider: what is alive there, and what is sent to it.

use std::time::Duration;

use beacon_jobs::job::JobStatus;
use beacon_jobs::stop::StopState;
use beacon_jobs::store::snapshot::AttemptSnapshot;
use beacon_jobs::{AttemptId, JobId};

use super::super::node::Life;
use super::super::provider::CALL_LIMIT;
use super::super::world::{World, short};
use super::{Truth, sealed_by};

impl World {
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
}
