use std::time::Duration;

use serde_json::json;

use super::super::StoreCapability;
use super::super::bed::Bed;
use super::super::words::*;
use crate::id::{IncarnationId, RandomIds};
use crate::job::{ExecutionStatus, JobStatus};
use crate::stop::StopState;
use crate::store::{Claim, FinishJobOutcome, FinishOutcome, Refusal};

pub(super) async fn the_job_of_a_node_that_has_ended_is_free(bed: Bed) {
    let first = bed.held("job", 1).await;
    let second = bed.successor(&first).await;
    assert_eq!(second.fence.epoch, first.fence.epoch + 1);
    assert_ne!(second.fence.incarnation, first.fence.incarnation);
    assert_eq!(bed.status(&first.job).await, JobStatus::Running);
}

pub(super) async fn the_job_of_a_node_whose_lease_ran_out_is_free(bed: Bed) {
    let first = bed.held("job", 1).await;
    bed.lapse(first.fence.incarnation).await;
    let node = bed.node().await;
    let taken = bed.take_over(node, &[]).await;
    assert_eq!(taken.iter().map(|job| &job.id).collect::<Vec<_>>(), [&first.job]);
    assert_eq!((taken[0].fence.incarnation, taken[0].fence.epoch), (node, first.fence.epoch + 1));
}

pub(super) async fn the_job_of_a_live_node_is_not_free(bed: Bed) {
    if !bed.can(StoreCapability::ManyNodes) {
        return;
    }
    let held = bed.held("job", 1).await;
    let other = bed.node_with(&[DOUBLE]).await;
    assert_eq!(bed.take_over(other, &[]).await, []);
    assert_eq!(bed.finish_job(&held.finish_job()).await, FinishJobOutcome::Unfinished, "the fence holds");
}

/// The row of an ended node to which no attempt refers may be deleted; its jobs are free.
pub(super) async fn the_job_of_a_node_that_is_unknown_is_free(bed: Bed) {
    let held = bed.held("job", 1).await;
    bed.end(held.fence.incarnation).await;
    bed.store.prune(Duration::ZERO, 10).await.unwrap();
    let taken = bed.take_over(bed.node().await, &[]).await;
    assert_eq!(taken.iter().map(|job| &job.id).collect::<Vec<_>>(), [&held.job]);
}

pub(super) async fn a_job_whose_executions_are_all_over_is_taken_too(bed: Bed) {
    let first = bed.held("job", 1).await;
    bed.ended(&first, 0, completed(json!(1))).await;
    let second = bed.successor(&first).await;
    let outcome = bed.finish_job(&second.finish_job()).await;
    assert_eq!(outcome, FinishJobOutcome::Finished(JobStatus::Completed));
}

/// A claim whose reply was lost: the node owns the job and does not run it.
pub(super) async fn a_node_takes_again_what_it_owns_and_does_not_run(bed: Bed) {
    let forgotten = bed.held("forgotten", 1).await;
    let running = bed.held("running", 1).await;
    let node = running.fence.incarnation;
    let taken = bed.take_over(node, &[&running.job]).await;
    assert_eq!(taken.iter().map(|job| &job.id).collect::<Vec<_>>(), [&forgotten.job]);
    assert_eq!(taken[0].fence.epoch, forgotten.fence.epoch + 1);
    // What it runs keeps its fence.
    assert_eq!(bed.finish_job(&running.finish_job()).await, FinishJobOutcome::Unfinished);
}

/// A node that lost its lease still settles a job, and comes back as a new incarnation.
pub(super) async fn a_job_that_is_still_being_settled_is_not_taken(bed: Bed) {
    let held = bed.held("job", 1).await;
    bed.lapse(held.fence.incarnation).await;
    let node = bed.node().await;
    assert_eq!(bed.take_over(node, &[&held.job]).await, []);
    assert_eq!(bed.take_over(node, &[]).await.len(), 1);
}

pub(super) async fn only_running_jobs_are_taken_over(bed: Bed) {
    for (name, status) in [("a", JobStatus::Completed), ("b", JobStatus::Failed), ("c", JobStatus::Cancelled)]
    {
        bed.over(name, status).await;
    }
    bed.submit("queued", 1).await;
    let node = bed.node().await;
    bed.end(node).await;
    assert_eq!(bed.take_over(bed.node().await, &[]).await, []);
    assert_eq!(bed.status(&id("queued")).await, JobStatus::Queued);
}

pub(super) async fn a_take_over_keeps_to_its_executors_and_its_limit(bed: Bed) {
    let first = bed.held("a", 1).await;
    bed.pass(INSTANT).await;
    bed.held("b", 1).await;
    bed.end(first.fence.incarnation).await;
    let node = bed.node().await;
    let wish = bed.wish(node, &[]);
    let other = Claim { executors: vec!["modal".to_owned()], ..wish.clone() };
    assert_eq!(bed.store.take_over(&other).await.unwrap(), [], "without the executor");
    let one = Claim { limit: 1, running: vec![], ..wish };
    let taken = bed.store.take_over(&one).await.unwrap();
    assert_eq!(taken.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["a"], "the oldest first");
}

pub(super) async fn an_incarnation_without_a_live_lease_takes_nothing_over(bed: Bed) {
    let held = bed.held("job", 1).await;
    let node = held.fence.incarnation;
    bed.lapse(node).await;
    assert_eq!(bed.take_over(node, &[]).await, [], "not even what it owns");
    bed.end(node).await;
    assert_eq!(bed.take_over(node, &[]).await, []);
    assert_eq!(bed.take_over(IncarnationId::mint(&RandomIds), &[]).await, []);
}

pub(super) async fn a_job_that_is_taken_over_comes_with_what_was_done(bed: Bed) {
    let first = bed.held("job", 4).await;
    bed.ended(&first, 0, completed(json!(1))).await;
    let failed_one = bed.ended(&first, 1, failed(true)).await;
    bed.confirm(failed_one).await;
    let running = bed.begun(&first, 1).await;
    let starting = bed.started(&first, 2).await;
    let started_at = bed.get(&first.job).await.job.started_at;
    bed.end(first.fence.incarnation).await;
    bed.pass(INSTANT).await;

    let taken = bed.take_over(bed.node().await, &[]).await.remove(0);

    assert_eq!(Some(taken.started_at), started_at, "the first claim's");
    let statuses: Vec<_> = taken.executions.iter().map(|execution| execution.status).collect();
    let expected = [
        ExecutionStatus::Completed,
        ExecutionStatus::Running,
        ExecutionStatus::Starting,
        ExecutionStatus::Queued,
    ];
    assert_eq!(statuses, expected);
    let counted: Vec<_> = taken.executions.iter().map(|execution| execution.counted_attempts).collect();
    assert_eq!(counted, [1, 2, 1, 0]);
    let past = |index: usize| {
        let past = taken.executions[index].last_attempt.as_ref()?;
        Some((past.id, past.number, past.handle.clone(), past.stop))
    };
    assert_eq!(past(1), Some((running, 2, Some(handle("first")), StopState::NotNeeded)));
    assert_eq!(past(2), Some((starting, 1, None, StopState::NotNeeded)));
    assert_eq!(past(3), None);
}

pub(super) async fn who_lost_a_job_writes_nothing_to_it(bed: Bed) {
    let first = bed.held("job", 2).await;
    let attempt = bed.begun(&first, 0).await;
    let second = bed.successor(&first).await;
    let finish = bed.finish(first.finish(0, attempt, completed(json!("stale")))).await;
    assert_eq!(finish, FinishOutcome::Refused(Refusal::Lost));
    assert_eq!(bed.finish_job(&first.time_out()).await, FinishJobOutcome::Refused(Refusal::Lost));
    let statuses: Vec<_> = bed.get(&first.job).await.executions.iter().map(|row| row.status).collect();
    assert_eq!(statuses, [ExecutionStatus::Running, ExecutionStatus::Queued]);
    // The new holder goes on with the same attempt.
    let finish = bed.finish(second.finish(0, attempt, completed(json!("fresh")))).await;
    assert_eq!(finish, FinishOutcome::Finished);
    assert_eq!(bed.execution(&first.job, 0).await.output, Some(json!("fresh")));
}

/// The new holder interrupts the attempt: that commit requests its stop.
pub(super) async fn an_attempt_interrupted_by_the_next_holder_is_stopped(bed: Bed) {
    let first = bed.held("job", 1).await;
    let attempt = bed.begun(&first, 0).await;
    let second = bed.successor(&first).await;
    assert_eq!(bed.finish(second.finish(0, attempt, failed(true))).await, FinishOutcome::Finished);
    let item = bed.due_stop(attempt).await.expect("its stop is due");
    assert_eq!((item.incarnation, item.handle), (first.fence.incarnation, Some(handle("first"))));
}

pub(super) async fn held_tells_a_node_what_it_owns(bed: Bed) {
    let held = bed.held("job", 1).await;
    bed.submit("queued", 1).await;
    let node = held.fence.incarnation;
    let jobs = bed.store.held(node, &[]).await.unwrap();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!(
        (&jobs[0].id, jobs[0].status, jobs[0].fence),
        (&held.job, JobStatus::Running, Some(held.fence))
    );
    assert_eq!((jobs[0].force_at, &jobs[0].cancelled_by), (None, &None));
    assert_eq!(bed.store.held(IncarnationId::mint(&RandomIds), &[]).await.unwrap(), []);
    opened(bed.cancel(&held.job, &by_alice()).await);
    assert_eq!(bed.store.held(node, &[]).await.unwrap(), [], "it is over, and nobody asks for it");
}

pub(super) async fn held_tells_a_node_what_became_of_the_jobs_that_it_runs(bed: Bed) {
    let lost = bed.held("lost", 1).await;
    let cancelled = bed.held("cancelled", 2).await;
    bed.begun(&cancelled, 0).await;
    bed.started(&cancelled, 1).await;
    let request = by_alice().with_reason("enough").with_grace(Duration::from_secs(30));
    let items = opened(bed.cancel(&cancelled.job, &request).await);
    let node = lost.fence.incarnation;
    let next = bed.successor(&lost).await;

    let running = [cancelled.job.clone(), id("nobody"), lost.job.clone()];
    let mut jobs = bed.store.held(node, &running).await.unwrap();

    jobs.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(jobs.iter().map(|job| &job.id).collect::<Vec<_>>(), [&cancelled.job, &lost.job]);
    assert_eq!(jobs[0].status, JobStatus::Cancelled);
    assert_eq!(jobs[0].cancelled_by, Some((ALICE.to_owned(), Some("enough".to_owned()))));
    assert_eq!(jobs[0].force_at, Some(items[0].force_at));
    assert_eq!((jobs[1].status, jobs[1].fence), (JobStatus::Running, Some(next.fence)));

    // Of one stop that is settled and one that is open, the open one counts; of none, none.
    bed.confirm(items[0].attempt).await;
    escalation(bed.cancel(&cancelled.job, &by_alice().with_grace(Duration::from_secs(20))).await);
    let force_at = async || {
        let jobs = bed.store.held(node, std::slice::from_ref(&cancelled.job)).await.unwrap();
        jobs[0].force_at
    };
    let open = bed.due_stop(items[1].attempt).await.expect("it is open");
    assert_eq!(force_at().await, Some(open.force_at));
    bed.confirm(items[1].attempt).await;
    assert_eq!(force_at().await, None);
}
