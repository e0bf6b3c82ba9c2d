//! Calls raced from several threads: whatever the order, the rows are right and every caller was
//! told the truth.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;

use super::super::bed::Bed;
use super::super::words::*;
use crate::cancel::CancelOutcome;
use crate::id::AttemptId;
use crate::job::{AuditAction, ExecutionStatus, JobStatus};
use crate::stop::StopState;
use crate::store::{
    FinishJobOutcome, FinishOutcome, JobStore, Refusal, Release, SaveOutcome, StartOutcome, Submitted,
};

/// How often each race is run.
const RACES: usize = 200;

/// Runs two calls at once, each first as often as the other.
async fn race<A, B>(round: usize, first: A, second: B) -> (A::Output, B::Output)
where
    A: Future<Output: Send> + Send + 'static,
    B: Future<Output: Send> + Send + 'static,
{
    let (first, second) = if round.is_multiple_of(2) {
        let first = tokio::spawn(first);
        (first, tokio::spawn(second))
    } else {
        let second = tokio::spawn(second);
        (tokio::spawn(first), second)
    };
    (first.await.expect("a call does not panic"), second.await.expect("a call does not panic"))
}

/// What each race of a case is about.
struct Rival {
    store: Arc<dyn JobStore>,
    held: Held,
    attempt: AttemptId,
}

impl Rival {
    fn cancel(&self) -> impl Future<Output = CancelOutcome> + Send + 'static {
        let (store, job) = (Arc::clone(&self.store), self.held.job.clone());
        async move { store.cancel(&job, &by_alice()).await.expect("cancel") }
    }
}

/// How far the one attempt of each job has come before the race.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Before {
    Start,
    Save,
    Finish,
    FinishJob,
}

/// Jobs of one execution, all held by the live node.
async fn rivals(bed: &Bed, before: Before) -> Vec<Rival> {
    join_all((0..RACES).map(|race| bed.submit_race(race))).await;
    let claimed = bed.claim(bed.node().await).await;
    assert_eq!(claimed.len(), RACES);
    let rivals: Vec<_> = claimed
        .into_iter()
        .map(|claimed| Rival {
            store: Arc::clone(&bed.store),
            held: Held::from(claimed),
            attempt: bed.attempt(),
        })
        .collect();
    if before > Before::Start {
        let starts: Vec<_> = rivals.iter().map(|rival| rival.held.start(0, rival.attempt)).collect();
        bed.store.start(&starts).await.unwrap();
    }
    if before > Before::Save {
        let save = |rival: &Rival| rival.held.save(0, rival.attempt, &handle("first"));
        bed.store.save_handles(&rivals.iter().map(save).collect::<Vec<_>>()).await.unwrap();
    }
    if before > Before::Finish {
        let finish = |rival: &Rival| rival.held.finish(0, rival.attempt, completed(json!("result")));
        bed.store.finish(&rivals.iter().map(finish).collect::<Vec<_>>()).await.unwrap();
    }
    rivals
}

/// Exactly one record of a cancel, or none.
async fn audited(bed: &Bed, rival: &Rival, times: usize) {
    let entries = bed.audit(&rival.held.job, AuditAction::Cancelled).await;
    assert_eq!(entries.len(), times, "{entries:?}");
}

pub(super) async fn a_cancel_and_the_end_of_the_job(bed: Bed) {
    for (round, rival) in rivals(&bed, Before::FinishJob).await.into_iter().enumerate() {
        let (store, finish) = (Arc::clone(&rival.store), rival.held.finish_job());
        let finish = async move { store.finish_job(&finish).await.expect("finish_job") };

        let (cancelled, finished) = race(round, rival.cancel(), finish).await;

        let status = bed.status(&rival.held.job).await;
        match (cancelled, finished) {
            (CancelOutcome::Cancelled { .. }, FinishJobOutcome::Refused(Refusal::Cancelled)) => {
                assert_eq!(status, JobStatus::Cancelled);
                audited(&bed, &rival, 1).await;
            }
            (CancelOutcome::AlreadyFinished { status: told }, FinishJobOutcome::Finished(outcome)) => {
                assert_eq!((status, told, outcome), (JobStatus::Completed, status, status));
                audited(&bed, &rival, 0).await;
            }
            other => panic!("the job is {status}, but the callers were told: {other:?}"),
        }
    }
}

pub(super) async fn a_cancel_and_the_output_of_the_execution(bed: Bed) {
    for (round, rival) in rivals(&bed, Before::Finish).await.into_iter().enumerate() {
        let store = Arc::clone(&rival.store);
        let finish = rival.held.finish(0, rival.attempt, completed(json!("result")));
        let finish = async move { store.finish(&[finish]).await.expect("finish")[0] };

        let (cancelled, finished) = race(round, rival.cancel(), finish).await;

        let CancelOutcome::Cancelled { record, .. } = cancelled else { panic!("{cancelled:?}") };
        let execution = bed.execution(&rival.held.job, 0).await;
        let stop = execution.stop.as_ref().map(|stop| stop.state);
        match finished {
            FinishOutcome::Finished => {
                assert_eq!((execution.status, record.executions_cancelled), (ExecutionStatus::Completed, 0));
                assert_eq!((execution.output, stop), (Some(json!("result")), None));
            }
            FinishOutcome::Refused(refusal) => {
                assert_eq!((refusal, record.executions_cancelled), (Refusal::Cancelled, 1));
                assert_eq!((execution.status, execution.output), (ExecutionStatus::Cancelled, None));
                assert_eq!(execution.late_output, Some(json!("result")));
                assert_eq!(stop, Some(StopState::Requested));
            }
        }
        audited(&bed, &rival, 1).await;
    }
}

pub(super) async fn a_cancel_and_the_start_barrier(bed: Bed) {
    for (round, rival) in rivals(&bed, Before::Start).await.into_iter().enumerate() {
        let (store, start) = (Arc::clone(&rival.store), rival.held.start(0, rival.attempt));
        let start = async move { store.start(&[start]).await.expect("start")[0] };

        let (cancelled, started) = race(round, rival.cancel(), start).await;

        let CancelOutcome::Cancelled { opened, .. } = cancelled else { panic!("{cancelled:?}") };
        let stop = bed.stop(&rival.held.job, 0).await;
        match started {
            StartOutcome::Started { .. } => {
                assert_eq!(opened.iter().map(|item| item.attempt).collect::<Vec<_>>(), [rival.attempt]);
                assert_eq!(stop, Some(StopState::Requested));
            }
            StartOutcome::Refused(refusal) => {
                assert_eq!((refusal, opened, stop), (Refusal::Cancelled, vec![], None));
            }
        }
    }
}

pub(super) async fn a_cancel_and_the_permit(bed: Bed) {
    for (round, rival) in rivals(&bed, Before::Save).await.into_iter().enumerate() {
        let store = Arc::clone(&rival.store);
        let save = rival.held.save(0, rival.attempt, &handle("first"));
        let save = async move { store.save_handles(&[save]).await.expect("save_handles")[0] };

        let (cancelled, saved) = race(round, rival.cancel(), save).await;

        let items = opened(cancelled);
        match saved {
            SaveOutcome::Granted => assert_eq!(items[0].handle, Some(handle("first"))),
            SaveOutcome::Refused(refusal) => {
                assert_eq!((refusal, &items[0].handle), (Refusal::Cancelled, &None))
            }
        }
        let due = bed.due_stop(rival.attempt).await.expect("its stop is open");
        assert_eq!(due.handle, Some(handle("first")), "recorded either way");
    }
}

pub(super) async fn a_cancel_and_the_jobs_time(bed: Bed) {
    for (round, rival) in rivals(&bed, Before::Finish).await.into_iter().enumerate() {
        let (store, finish) = (Arc::clone(&rival.store), rival.held.time_out());
        let finish = async move { store.finish_job(&finish).await.expect("finish_job") };

        let (cancelled, finished) = race(round, rival.cancel(), finish).await;

        let (status, times) = match (cancelled, finished) {
            (CancelOutcome::Cancelled { .. }, FinishJobOutcome::Refused(Refusal::Cancelled)) => {
                (JobStatus::Cancelled, 1)
            }
            (
                CancelOutcome::AlreadyFinished { status: JobStatus::Failed },
                FinishJobOutcome::Finished(JobStatus::Failed),
            ) => (JobStatus::Failed, 0),
            other => panic!("the callers were told: {other:?}"),
        };
        assert_eq!(bed.status(&rival.held.job).await, status);
        assert_eq!(bed.stop(&rival.held.job, 0).await, Some(StopState::Requested), "either ends the attempt");
        audited(&bed, &rival, times).await;
    }
}

pub(super) async fn a_cancel_and_giving_the_job_back(bed: Bed) {
    for (round, rival) in rivals(&bed, Before::Finish).await.into_iter().enumerate() {
        let store = Arc::clone(&rival.store);
        let release =
            Release { fence: rival.held.fence, job: rival.held.job.clone(), sealed: vec![rival.attempt] };
        let release = async move { store.release(&release).await.expect("release") };

        let (cancelled, released) = race(round, rival.cancel(), release).await;

        let items = opened(cancelled);
        assert_eq!(items[0].sealed.is_some(), released, "handed over first, or cancelled first");
        assert_eq!(bed.status(&rival.held.job).await, JobStatus::Cancelled);
    }
    assert_eq!(bed.take_over(bed.node().await, &[]).await, []);
}

pub(super) async fn many_cancels_at_once(bed: Bed) {
    for rival in rivals(&bed, Before::Finish).await.into_iter().take(RACES / 4) {
        let calls: Vec<_> = (0..8).map(|_| tokio::spawn(rival.cancel())).collect();
        let mut winners = 0;
        let mut records = Vec::new();
        for call in calls {
            match call.await.expect("a call does not panic") {
                CancelOutcome::Cancelled { record, .. } => {
                    winners += 1;
                    records.push(record);
                }
                CancelOutcome::AlreadyCancelled { record, .. } => records.push(record),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(winners, 1);
        records.dedup();
        assert_eq!(records.len(), 1, "all are told the same: {records:?}");
        audited(&bed, &rival, 1).await;
    }
}

pub(super) async fn many_equal_submissions_at_once(bed: Bed) {
    for round in 0..RACES / 4 {
        let calls = (0..8).map(|call| {
            let store = Arc::clone(&bed.store);
            // Half of them under names of their own: then it is the key that is raced for.
            let name = if call % 2 == 0 { format!("job-{round}") } else { format!("job-{round}-{call}") };
            let mut submission = submission(&name, ALICE, spec(1));
            submission.idempotency_key = Some(format!("key-{round}"));
            tokio::spawn(async move { store.submit(&submission).await.expect("submit") })
        });
        let mut created = Vec::new();
        let mut existing = Vec::new();
        for outcome in join_all(calls).await {
            match outcome.expect("a call does not panic") {
                Submitted::Created(job) => created.push(job),
                Submitted::Existing(job, _) => existing.push(job),
                Submitted::Conflict(job) => panic!("{job} has an equal spec"),
            }
        }
        assert_eq!(created.len(), 1, "{created:?}");
        assert!(existing.iter().all(|job| *job == created[0]), "{created:?} {existing:?}");
    }
}

pub(super) async fn many_claims_at_once_take_each_job_once(bed: Bed) {
    join_all((0..RACES).map(|race| bed.submit_race(race))).await;
    let node = bed.node().await;
    let calls = (0..8).map(|_| {
        let store = Arc::clone(&bed.store);
        let wish = crate::store::Claim { limit: 7, ..bed.wish(node, &[]) };
        tokio::spawn(async move {
            let mut jobs = Vec::new();
            loop {
                let claimed = store.claim(&wish).await.expect("claim");
                if claimed.is_empty() {
                    return jobs;
                }
                jobs.extend(claimed);
                tokio::task::yield_now().await;
            }
        })
    });
    let mut takers: BTreeMap<_, usize> = BTreeMap::new();
    for jobs in join_all(calls).await {
        for job in jobs.expect("a call does not panic") {
            assert_eq!(job.fence.epoch, 1);
            *takers.entry(job.id).or_default() += 1;
        }
    }
    assert_eq!(takers.len(), RACES);
    assert!(takers.values().all(|&count| count == 1), "{takers:?}");
}

pub(super) async fn many_drivers_at_once_take_each_stop_once(bed: Bed) {
    let held = bed.held("job", RACES).await;
    let starts: Vec<_> = (0..RACES as u32).map(|index| held.start(index, bed.attempt())).collect();
    bed.store.start(&starts).await.unwrap();
    opened(bed.cancel(&held.job, &by_alice()).await);
    let calls = (0..8).map(|_| {
        let store = Arc::clone(&bed.store);
        let take = crate::store::TakeStops {
            incarnation: held.fence.incarnation,
            executors: vec![DOUBLE.to_owned()],
            host_bound: crate::store::HostBound::default(),
            hold: HOUR,
            limit: 7,
        };
        tokio::spawn(async move {
            let mut attempts = Vec::new();
            loop {
                let items = store.take_stops(&take).await.expect("take_stops");
                if items.is_empty() {
                    return attempts;
                }
                attempts.extend(items.into_iter().map(|item| item.attempt));
                tokio::task::yield_now().await;
            }
        })
    });
    let mut attempts: Vec<AttemptId> = Vec::new();
    for taken in join_all(calls).await {
        attempts.extend(taken.expect("a call does not panic"));
    }
    assert_eq!(attempts.len(), RACES);
    attempts.sort();
    attempts.dedup();
    assert_eq!(attempts.len(), RACES, "each once");
}

/// Two tasks of one node start the same execution with attempts of their own.
pub(super) async fn two_starts_of_one_execution(bed: Bed) {
    for (round, rival) in rivals(&bed, Before::Start).await.into_iter().enumerate() {
        let start = |attempt| {
            let (store, start) = (Arc::clone(&rival.store), rival.held.start(0, attempt));
            async move { store.start(&[start]).await.expect("start")[0] }
        };
        let outcomes = race(round, start(rival.attempt), start(bed.attempt())).await;
        let (started, refused) = (StartOutcome::Started { number: 1 }, StartOutcome::Refused(Refusal::Lost));
        assert!(outcomes == (started, refused) || outcomes == (refused, started), "{outcomes:?}");
        assert_eq!(bed.execution(&rival.held.job, 0).await.attempt, 1);
    }
}
