//! The store as one node sees it: slow, away at times, its replies lost, and cut off with the node.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::cancel::{CancelOutcome, CancelRequest};
use beacon_jobs::host::ProcessIdentity;
use beacon_jobs::job::{AuditEntry, JobDetail, JobStatus};
use beacon_jobs::stop::{StopItem, StopState};
use beacon_jobs::store::*;
use beacon_jobs::{Error, ErrorKind, IncarnationId, JobId, Result};

use super::checks::Write;
use super::node::Life;
use super::world::World;

#[derive(Debug)]
pub struct FaultyStore {
    pub world: Arc<World>,
    pub life: Arc<Life>,
    pub signals: SignalSender,
}

impl FaultyStore {
    fn store(&self) -> &MemoryStore {
        &self.world.store
    }

    /// Makes a call: late, or not at all, or without a reply. Nothing runs between the store's act
    /// and `seen`.
    async fn call<T: Send>(
        &self,
        name: &'static str,
        act: impl Future<Output = Result<T>> + Send,
        seen: impl FnOnce(&World, &T) + Send,
    ) -> Result<T> {
        let world = &self.world;
        world.pass(&self.life, name, true).await;
        let (pause, refused) = world.chance(|rng, faults, _| {
            let slow = rng.percent(faults.store_slow);
            (slow.then(|| rng.millis(0, 60)), rng.percent(faults.store_unavailable))
        });
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
            self.life.gate().await;
        }
        if refused || world.store_is_away() {
            world.fault(|| format!("n{} {name}", self.life.node), &"store unavailable");
            return Err(Error::new(ErrorKind::Unavailable, "the store is away"));
        }
        let output = act.await;
        if let Ok(output) = &output {
            seen(world, output);
        }
        world.pass(&self.life, name, false).await;
        let (pause, lost) = world.chance(|rng, faults, _| {
            let slow = rng.percent(faults.store_slow);
            (slow.then(|| rng.millis(0, 60)), rng.percent(faults.store_reply_lost))
        });
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
            self.life.gate().await;
        }
        if lost {
            world.fault(|| format!("n{} {name}", self.life.node), &"reply of the store lost");
            return Err(Error::new(ErrorKind::OutcomeUnknown, "the reply was lost"));
        }
        output
    }

    async fn cancel_these(
        &self,
        ids: &[JobId],
        request: &CancelRequest,
        act: impl Future<Output = Result<Vec<CancelOutcome>>> + Send,
    ) -> Result<Vec<CancelOutcome>> {
        let (world, life) = (&self.world, &self.life);
        let runs_here = |id: &JobId| life.jobs().is_some_and(|jobs| jobs.contexts().is_running(id));
        let here: Vec<bool> = ids.iter().map(runs_here).collect();
        let outcomes = self
            .call("cancel", act, |world, outcomes| {
                self.wrote("cancel", world, Write::Cancel(ids, request, outcomes));
                for ((id, here), outcome) in ids.iter().zip(here).zip(outcomes) {
                    if here && matches!(outcome, CancelOutcome::Cancelled { .. }) {
                        world.holds_sends(life, id, true);
                    }
                }
            })
            .await;
        for id in ids {
            world.holds_sends(life, id, false);
        }
        let outcomes = outcomes?;
        for (id, outcome) in ids.iter().zip(&outcomes) {
            if matches!(outcome, CancelOutcome::Cancelled { .. } | CancelOutcome::AlreadyCancelled { .. }) {
                world.learns(life, id);
            }
        }
        Ok(outcomes.into_iter().map(|outcome| world.alter_cancelled(life, outcome)).collect())
    }

    fn wrote(&self, name: &'static str, world: &World, write: Write<'_>) {
        world.wrote(&self.life, name, write);
    }
}

#[async_trait]
impl JobStore for FaultyStore {
    fn allows_many_nodes(&self) -> bool {
        self.store().allows_many_nodes()
    }
    fn hears_all_nodes(&self) -> bool {
        self.world.script.hears_all
    }
    async fn check(&self) -> Result<()> {
        self.store().check().await
    }
    async fn submit(&self, submission: &Submission) -> Result<Submitted> {
        let submission = self.world.alter_submission(submission);
        self.call("submit", self.store().submit(&submission), |world, _| {
            self.wrote("submit", world, Write::Submit);
        })
        .await
    }
    async fn get(&self, id: &JobId, page: ExecutionPage) -> Result<Option<JobDetail>> {
        self.store().get(id, page).await
    }
    async fn list(&self, filter: &JobFilter) -> Result<JobList> {
        self.store().list(filter).await
    }
    async fn audit(&self, id: &JobId) -> Result<Vec<AuditEntry>> {
        self.store().audit(id).await
    }
    async fn cancel(&self, id: &JobId, request: &CancelRequest) -> Result<CancelOutcome> {
        let asked = self.world.alter_cancel(request);
        let ids = std::slice::from_ref(id);
        let act = async { Ok(vec![self.store().cancel(id, &asked).await?]) };
        let mut outcomes = self.cancel_these(ids, request, act).await?;
        Ok(outcomes.remove(0))
    }
    async fn cancel_many(&self, ids: &[JobId], request: &CancelRequest) -> Result<Vec<CancelOutcome>> {
        let asked = self.world.alter_cancel(request);
        self.cancel_these(ids, request, self.store().cancel_many(ids, &asked)).await
    }
    async fn join(&self, node: &NodeIdentity, lease: Duration) -> Result<Joined> {
        self.call("join", self.store().join(node, lease), |world, _| {
            world.joined(&self.life, node.incarnation);
        })
        .await
    }
    async fn heartbeat(&self, incarnation: IncarnationId, lease: Duration) -> Result<Heartbeat> {
        let beat = self
            .call("heartbeat", self.store().heartbeat(incarnation, lease), |world, beat| {
                world.beat(&self.life, incarnation, *beat);
            })
            .await?;
        Ok(self.world.alter_heartbeat(beat))
    }
    async fn end_node(&self, incarnation: IncarnationId, how: NodeEnd) -> Result<()> {
        self.call("end_node", self.store().end_node(incarnation, how), |world, ()| {
            world.log(|| format!("n{} end_node {incarnation} {how:?}", self.life.node));
        })
        .await
    }
    /// Nodes live on other hosts, but for those whose process can be seen to be gone.
    async fn nodes(&self) -> Result<Vec<NodeRecord>> {
        let gone = self.world.known_gone();
        let mut records = self.store().nodes().await?;
        records.retain(|record| gone.contains(&record.node.incarnation));
        for record in &mut records {
            record.node.process = gone_process();
        }
        Ok(records)
    }
    async fn claim(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        self.call("claim", self.store().claim(claim), |world, jobs| {
            if !jobs.is_empty() {
                self.wrote("claim", world, Write::Take(claim, jobs, false));
            }
        })
        .await
    }
    async fn take_over(&self, claim: &Claim) -> Result<Vec<ClaimedJob>> {
        let claim = &self.world.alter_take_over(claim);
        self.call("take_over", self.store().take_over(claim), |world, jobs| {
            if !jobs.is_empty() {
                self.wrote("take_over", world, Write::Take(claim, jobs, true));
            }
        })
        .await
    }
    async fn held(&self, incarnation: IncarnationId, running: &[JobId]) -> Result<Vec<HeldJob>> {
        let held = self.call("held", self.store().held(incarnation, running), |_, _| {}).await?;
        for job in held.iter().filter(|job| job.status == JobStatus::Cancelled) {
            self.world.learns(&self.life, &job.id);
        }
        Ok(held)
    }
    async fn release(&self, release: &Release) -> Result<bool> {
        let mut altered = release.clone();
        self.world.alter_fence(&altered.job, &mut altered.fence);
        self.call("release", self.store().release(&altered), |world, released| {
            self.wrote("release", world, Write::Release(release, *released));
        })
        .await
    }
    async fn start(&self, starts: &[StartExecution]) -> Result<Vec<StartOutcome>> {
        let mut altered = starts.to_vec();
        for start in &mut altered {
            self.world.alter_fence(&start.job, &mut start.fence);
        }
        let act = async {
            let known = self.world.known_attempts(starts);
            let outcomes = self.store().start(&altered).await?;
            Ok(self.world.alter_started(&known, outcomes))
        };
        let outcomes = self
            .call("start", act, |world, outcomes| {
                self.wrote("start", world, Write::Start(starts, outcomes));
            })
            .await?;
        for (start, outcome) in starts.iter().zip(&outcomes) {
            if *outcome == StartOutcome::Refused(Refusal::Cancelled) {
                self.world.learns(&self.life, &start.job);
            }
        }
        Ok(outcomes)
    }
    async fn save_handles(&self, saves: &[SaveHandle]) -> Result<Vec<SaveOutcome>> {
        let mut altered = saves.to_vec();
        for save in &mut altered {
            self.world.alter_fence(&save.job, &mut save.fence);
        }
        let outcomes = self
            .call("save_handles", self.store().save_handles(&altered), |world, outcomes| {
                self.wrote("save_handles", world, Write::Save(saves, outcomes));
            })
            .await?;
        for (save, outcome) in saves.iter().zip(&outcomes) {
            if *outcome == SaveOutcome::Refused(Refusal::Cancelled) {
                self.world.learns(&self.life, &save.job);
            }
        }
        Ok(outcomes)
    }
    async fn report_progress(&self, reports: &[ReportProgress]) -> Result<Vec<bool>> {
        let mut altered = reports.to_vec();
        for report in &mut altered {
            self.world.alter_fence(&report.job, &mut report.fence);
        }
        self.call("report_progress", self.store().report_progress(&altered), |world, recorded| {
            self.wrote("report_progress", world, Write::Report(reports, recorded));
        })
        .await
    }
    async fn seal(&self, seals: &[Seal]) -> Result<()> {
        let seals = &self.world.alter_seals(seals);
        self.call("seal", self.store().seal(seals), |world, ()| {
            self.wrote("seal", world, Write::Seal(seals));
        })
        .await
    }
    async fn finish(&self, finishes: &[FinishExecution]) -> Result<Vec<FinishOutcome>> {
        let mut altered = finishes.to_vec();
        for finish in &mut altered {
            self.world.alter_fence(&finish.job, &mut finish.fence);
        }
        let outcomes = self
            .call("finish", self.store().finish(&altered), |world, outcomes| {
                self.wrote("finish", world, Write::Finish(finishes, outcomes));
            })
            .await?;
        for (finish, outcome) in finishes.iter().zip(&outcomes) {
            if *outcome == FinishOutcome::Refused(Refusal::Cancelled) {
                self.world.learns(&self.life, &finish.job);
            }
        }
        if let Some(second) = self.world.second_write(finishes) {
            // The stop is asked for in a commit of its own, which a crash can come before.
            let _ = self
                .call("finish", self.store().finish(&second), |world, outcomes| {
                    self.wrote("finish", world, Write::Finish(&second, outcomes));
                })
                .await;
        }
        Ok(outcomes)
    }
    async fn finish_job(&self, finish: &FinishJob) -> Result<FinishJobOutcome> {
        let mut altered = finish.clone();
        self.world.alter_fence(&altered.job, &mut altered.fence);
        self.call("finish_job", self.store().finish_job(&altered), |world, outcome| {
            self.wrote("finish_job", world, Write::FinishJob(finish, *outcome));
        })
        .await
    }
    async fn take_stops(&self, take: &TakeStops) -> Result<Vec<StopItem>> {
        let items = self.call("take_stops", self.store().take_stops(take), |_, _| {}).await?;
        Ok(self.world.alter_stops(&self.life, items))
    }
    async fn record_stops(&self, updates: &[StopUpdate]) -> Result<Vec<Option<StopState>>> {
        let updates = &self.world.alter_updates(updates);
        // The seal may be read at any time before the commit in a store that is slow.
        let act = async {
            let updates = self.world.alter_updates_late(updates);
            self.store().record_stops(&updates).await
        };
        self.call("record_stops", act, |world, states| {
            self.wrote("record_stops", world, Write::Stops(updates, states));
        })
        .await
    }
    async fn driven_stops(&self) -> Result<Vec<DrivenStops>> {
        self.store().driven_stops().await
    }
    async fn close_stop(&self, close: &CloseStop) -> Result<CloseStopOutcome> {
        self.store().close_stop(close).await
    }
    fn signals(&self) -> Signals {
        self.signals.subscribe()
    }
    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64> {
        self.store().prune(keep, limit).await
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store as node {} sees it", self.life.node)
    }
}

/// A process of this host that has ended.
fn gone_process() -> ProcessIdentity {
    let mut process = ProcessIdentity::current();
    // The same pid, started at another time: it was reused.
    process.start_time += 1;
    process
}
