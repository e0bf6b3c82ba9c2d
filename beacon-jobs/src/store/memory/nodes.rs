use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use time::OffsetDateTime;

use super::state::State;
use crate::id::{AttemptId, IncarnationId, JobId};
use crate::job::JobStatus;
use crate::stop::{Minter, SealedBy, StopItem, StopState};
use crate::store::{
    Claim, ClaimedExecution, ClaimedJob, Fence, Heartbeat, HeldJob, Joined, NodeEnd, NodeIdentity,
    NodeRecord, PastAttempt, Release, Seal, Signal, TakeStops,
};

/// A node's row.
#[derive(Debug)]
pub(super) struct NodeRow {
    pub(super) node: NodeIdentity,
    pub(super) lease_until: OffsetDateTime,
    pub(super) ended: Option<(OffsetDateTime, NodeEnd)>,
}

impl NodeRow {
    pub(super) fn is_alive(&self, now: OffsetDateTime) -> bool {
        self.ended.is_none() && now < self.lease_until
    }
}

impl State {
    pub(super) fn join(&mut self, now: OffsetDateTime, node: &NodeIdentity, lease: Duration) -> Joined {
        self.nodes.entry(node.incarnation).or_insert_with(|| NodeRow {
            node: node.clone(),
            lease_until: now + lease,
            ended: None,
        });
        Joined::Joined
    }

    pub(super) fn heartbeat(&mut self, now: OffsetDateTime, id: IncarnationId, lease: Duration) -> Heartbeat {
        match self.nodes.get_mut(&id) {
            Some(node) if node.is_alive(now) => {
                node.lease_until = now + lease;
                Heartbeat::Alive
            }
            _ => Heartbeat::Lost,
        }
    }

    pub(super) fn end_node(&mut self, now: OffsetDateTime, id: IncarnationId, how: NodeEnd) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.ended.get_or_insert((now, how));
            node.lease_until = node.lease_until.min(now);
        }
        self.signal(Signal::Queued);
    }

    pub(super) fn nodes(&self, now: OffsetDateTime) -> Vec<NodeRecord> {
        self.nodes
            .values()
            .filter(|node| node.ended.is_none())
            .map(|node| NodeRecord {
                node: node.node.clone(),
                lease_until: node.lease_until,
                expired: now >= node.lease_until,
            })
            .collect()
    }

    fn is_alive(&self, now: OffsetDateTime, id: IncarnationId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.is_alive(now))
    }

    pub(super) fn claim(&mut self, now: OffsetDateTime, claim: &Claim) -> Vec<ClaimedJob> {
        if !self.is_alive(now, claim.incarnation) {
            return Vec::new();
        }
        let limit = claim.limit as usize;
        let can_run = |id: &&JobId| self.can_run(id, &claim.executors);
        let taken: Vec<JobId> = self.queued.values().filter(can_run).take(limit).cloned().collect();
        taken.into_iter().filter_map(|id| self.take_one(now, &id, claim.incarnation)).collect()
    }

    pub(super) fn take_over(&mut self, now: OffsetDateTime, claim: &Claim) -> Vec<ClaimedJob> {
        if !self.is_alive(now, claim.incarnation) {
            return Vec::new();
        }
        let here: HashSet<&JobId> = claim.running.iter().collect();
        let is_free = |id: &&JobId| {
            let fence = self.rows.jobs.get(id).and_then(|job| job.fence);
            let free = fence.is_none_or(|fence| {
                fence.incarnation == claim.incarnation || !self.is_alive(now, fence.incarnation)
            });
            free && !here.contains(id) && self.can_run(id, &claim.executors)
        };
        let limit = claim.limit as usize;
        let taken: Vec<JobId> = self.running.values().filter(is_free).take(limit).cloned().collect();
        taken.into_iter().filter_map(|id| self.take_one(now, &id, claim.incarnation)).collect()
    }

    fn can_run(&self, id: &JobId, executors: &[String]) -> bool {
        self.missing_executors(id, |name| executors.iter().any(|has| has == name)).is_empty()
    }

    fn take_one(
        &mut self,
        now: OffsetDateTime,
        id: &JobId,
        incarnation: IncarnationId,
    ) -> Option<ClaimedJob> {
        let job = self.jobs.get_mut(id)?;
        job.epoch += 1;
        self.queued.remove(&job.order);
        self.running.insert(job.order, id.clone());
        let started_at = *job.started_at.get_or_insert(now);
        let fence = Fence { incarnation, epoch: job.epoch };
        let row = self.rows.jobs.get_mut(id)?;
        row.status = JobStatus::Running;
        row.fence = Some(fence);
        self.signal(Signal::Job(id.clone()));
        let job = self.jobs.get(id)?;
        let executions = self
            .executions(id)
            .zip(&job.specs)
            .map(|((_, execution), spec)| ClaimedExecution {
                spec: spec.clone(),
                status: execution.status,
                counted_attempts: execution.counted,
                last_attempt: self.attempts(execution).next_back().map(|attempt| PastAttempt {
                    id: attempt.id,
                    number: attempt.number,
                    started_at: attempt.started_at,
                    handle: attempt.handle.clone(),
                    stop: attempt.stop_state(),
                }),
            })
            .collect();
        Some(ClaimedJob {
            id: id.clone(),
            fence,
            rules: job.rules.clone(),
            read_at: now,
            started_at,
            executions,
        })
    }

    pub(super) fn missing_executors(&self, id: &JobId, has: impl Fn(&str) -> bool) -> Vec<String> {
        let Some(job) = self.jobs.get(id) else { return Vec::new() };
        let mut missing: Vec<String> =
            job.specs.iter().map(|spec| &spec.executor).filter(|name| !has(name)).cloned().collect();
        missing.sort();
        missing.dedup();
        missing
    }

    pub(super) fn held(
        &self,
        now: OffsetDateTime,
        incarnation: IncarnationId,
        running: &[JobId],
    ) -> Vec<HeldJob> {
        let owned = |id: &&JobId| {
            let fence = self.rows.jobs.get(id).and_then(|job| job.fence);
            fence.is_some_and(|fence| fence.incarnation == incarnation)
        };
        let asked: BTreeSet<&JobId> = self.running.values().filter(owned).chain(running).collect();
        asked
            .into_iter()
            .filter_map(|id| Some((id, self.rows.jobs.get(id)?, self.jobs.get(id)?)))
            .map(|(id, row, job)| HeldJob {
                id: id.clone(),
                read_at: now,
                status: row.status,
                fence: row.fence,
                force_at: self
                    .executions(id)
                    .flat_map(|(_, execution)| self.attempts(execution))
                    .filter(|attempt| attempt.has_open_stop())
                    .filter_map(|attempt| attempt.stop.as_ref().map(|stop| stop.force_at))
                    .min(),
                cancelled_by: job
                    .cancellation
                    .as_ref()
                    .map(|record| (record.cancelled_by.clone(), record.reason.clone())),
            })
            .collect()
    }

    pub(super) fn release(&mut self, now: OffsetDateTime, release: &Release) -> bool {
        let Some(row) = self.rows.jobs.get_mut(&release.job) else { return false };
        if row.status != JobStatus::Running || row.fence != Some(release.fence) {
            return false;
        }
        row.fence = None;
        for attempt in &release.sealed {
            self.rows.seal(now, Seal { attempt: *attempt, by: SealedBy::Minter });
        }
        self.signal(Signal::Queued);
        true
    }

    pub(super) fn take_stops(&mut self, now: OffsetDateTime, take: &TakeStops) -> Vec<StopItem> {
        let bound = &take.host_bound;
        let fits = |id: &AttemptId| {
            let Some(attempt) = self.rows.attempts.get(id) else { return false };
            let Some(stop) = &attempt.stop else { return false };
            take.executors.contains(&attempt.executor)
                && (!bound.executors.contains(&attempt.executor)
                    || self.host(attempt.fence.incarnation) == bound.here
                    || (!stop.settled
                        && stop.state != StopState::Unconfirmed
                        && bound.missing_after <= now - stop.requested_at))
        };
        let due = self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id);
        let taken: Vec<AttemptId> = due.filter(fits).take(take.limit as usize).collect();
        for id in &taken {
            if let Some(stop) = self.rows.attempts.get_mut(id).and_then(|attempt| attempt.stop.as_mut()) {
                stop.due_at = Some(now + take.hold);
            }
        }
        self.rows.changes.attempts.extend(&taken);
        self.stop_items(now, &taken)
    }

    pub(super) fn stop_items(&self, now: OffsetDateTime, ids: &[AttemptId]) -> Vec<StopItem> {
        ids.iter()
            .filter_map(|id| self.rows.attempts.get(id))
            .filter_map(|attempt| {
                let minter = attempt.fence.incarnation;
                attempt.stop_item(now, self.minter(now, minter), self.host(minter))
            })
            .collect()
    }

    fn host(&self, id: IncarnationId) -> String {
        self.nodes.get(&id).map(|node| node.node.process.host()).unwrap_or_default()
    }

    fn minter(&self, now: OffsetDateTime, id: IncarnationId) -> Minter {
        match self.nodes.get(&id) {
            Some(NodeRow { ended: Some((_, NodeEnd::Abandoned)), lease_until, .. }) => {
                Minter::Expired(*lease_until)
            }
            Some(NodeRow { ended: Some((at, _)), .. }) => Minter::Ended(*at),
            Some(node) if now < node.lease_until => Minter::Alive,
            Some(node) => Minter::Expired(node.lease_until),
            // Only an ended node's row is ever deleted, and only when no attempt refers to it.
            None => Minter::Expired(now),
        }
    }
}
