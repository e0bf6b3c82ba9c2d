//! What the test remembers of the stores.

use beacon_jobs::host::ProcessIdentity;
use beacon_jobs::store::{ClaimedJob, Fence, NodeIdentity};
use beacon_jobs::{AttemptId, IncarnationId, JobId};

use crate::ops::Target;

pub(crate) const JOBS: usize = 3;
pub(crate) const MOST: u32 = 4;

/// What the test remembers to make operations that fit.
#[derive(Debug, Default)]
pub(crate) struct Known {
    minted: u128,
    pub(crate) node: Option<IncarnationId>,
    fences: [Vec<Fence>; JOBS],
    pub(crate) attempts: Vec<(usize, u32, AttemptId)>,
}

pub(crate) fn job_id(job: usize) -> JobId {
    JobId::new(format!("job-{job}")).unwrap()
}

pub(crate) fn executors(choice: usize) -> Vec<String> {
    [&["one", "two"][..], &["one"], &["two"]][choice].iter().map(|name| (*name).to_owned()).collect()
}

impl Known {
    pub(crate) fn mint(&mut self) -> uuid::Uuid {
        self.minted += 1;
        uuid::Uuid::from_u128(self.minted)
    }

    pub(crate) fn fence(&self, job: usize, age: usize) -> Fence {
        let unknown = Fence { incarnation: IncarnationId::from_uuid(uuid::Uuid::from_u128(999)), epoch: 7 };
        self.fences[job].iter().rev().nth(age).copied().unwrap_or(unknown)
    }

    pub(crate) fn attempt(&self, age: usize) -> (usize, u32, AttemptId) {
        let unknown = (0, 0, AttemptId::from_uuid(uuid::Uuid::from_u128(998)));
        self.attempts.iter().rev().nth(age).copied().unwrap_or(unknown)
    }

    pub(crate) fn aim(&self, target: &Target) -> (Fence, JobId, u32, AttemptId) {
        let (job, index, attempt) = self.attempt(target.attempt);
        let (job, index) = target.elsewhere.unwrap_or((job, index));
        (self.fence(job, target.fence), job_id(job), index, attempt)
    }

    pub(crate) fn learn(&mut self, claimed: &[ClaimedJob]) {
        for job in claimed {
            let known = (0..JOBS).find(|known| job_id(*known) == job.id).unwrap();
            self.fences[known].push(job.fence);
        }
    }

    pub(crate) fn identity(&mut self) -> NodeIdentity {
        let incarnation = IncarnationId::from_uuid(self.mint());
        self.node = Some(incarnation);
        let process = ProcessIdentity {
            machine: "m".into(),
            boot: "b".into(),
            pid_namespace: "n".into(),
            pid: 1,
            start_time: 2,
        };
        NodeIdentity { incarnation, name: "node".into(), process, executors: executors(0) }
    }
}
