use super::MemoryStore;
use super::state::State;
use crate::store::snapshot::{
    AttemptSnapshot, ExecutionSnapshot, JobSnapshot, NodeSnapshot, Snapshot, StopSnapshot,
};

impl MemoryStore {
    /// Everything that decides, as of now, for tests that compare it with the truth.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.read(|state, now| {
            let jobs = state.order.values().filter_map(|id| Some((id.clone(), state.job_snapshot(id)?)));
            let attempts = state.rows.attempts.values().map(|row| {
                let stop = row.stop.as_ref().map(|stop| StopSnapshot {
                    state: stop.state,
                    settled: stop.settled,
                    evidence: stop.evidence.clone(),
                    why: stop.why.clone(),
                });
                let attempt = AttemptSnapshot {
                    job: row.job.clone(),
                    index: row.index,
                    executor: row.executor.clone(),
                    minted_by: row.fence,
                    has_handle: row.handle.is_some(),
                    sealed: row.sealed,
                    stop,
                };
                (row.id, attempt)
            });
            let nodes =
                state.nodes.iter().map(|(id, node)| (*id, NodeSnapshot { alive: node.is_alive(now) }));
            Snapshot { jobs: jobs.collect(), attempts: attempts.collect(), nodes: nodes.collect() }
        })
    }
}

impl State {
    fn job_snapshot(&self, id: &crate::JobId) -> Option<JobSnapshot> {
        let (row, job) = (self.rows.jobs.get(id)?, self.jobs.get(id)?);
        let executions = self.executions(id).map(|(_, execution)| ExecutionSnapshot {
            status: execution.status,
            attempts: execution.attempts.clone(),
            output: execution.output.clone(),
        });
        Some(JobSnapshot {
            owner: job.owner.clone(),
            status: row.status,
            fence: row.fence,
            epoch: job.epoch,
            executions: executions.collect(),
        })
    }
}
