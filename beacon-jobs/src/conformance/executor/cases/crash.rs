use super::super::bed::{Bed, by_alice, confirmed, stop};
use super::super::gate::Point;
use super::super::{ExecutorCapability, Work};
use crate::job::{ExecutionStatus, JobStatus, OnInterrupt};

pub(super) async fn work_that_can_be_resumed_is_only_watched_by_the_next_process(bed: Bed) {
    if !bed.can(ExecutorCapability::Restart) || !bed.can(ExecutorCapability::Resume) {
        return;
    }
    let victim = bed.victim().await;
    let job = bed.submit(&[Work::GoesOn; 3]).await;
    bed.alive(3).await;
    bed.until(&job, |now| now.executions.iter().all(|row| row.status == ExecutionStatus::Running)).await;
    victim.crash().await;
    let _next = bed.restarted_runner().await;
    bed.provider.complete().await;
    let detail = bed.over(&job).await;
    assert_eq!(detail.job.status, JobStatus::Completed);
    assert!(detail.executions.iter().all(|row| row.output.is_some() && row.attempt == 1));
    assert_eq!(bed.provider.begun().await, 3, "nothing was begun again");
}

pub(super) async fn work_that_cannot_be_resumed_is_ended_and_begun_again(bed: Bed) {
    if !bed.can(ExecutorCapability::Restart) || bed.capabilities().resume {
        return;
    }
    let victim = bed.victim().await;
    let job = bed.submit(&[Work::GoesOn]).await;
    bed.alive(1).await;
    bed.until(&job, |now| now.executions[0].status == ExecutionStatus::Running).await;
    victim.crash().await;
    let _next = bed.restarted_runner().await;
    bed.until(&job, |now| {
        now.executions[0].attempt == 2 && now.executions[0].status == ExecutionStatus::Running
    })
    .await;
    bed.alive(1).await;
    assert_eq!(bed.provider.begun().await, 2);
    bed.provider.complete().await;
    assert_eq!(bed.over(&job).await.job.status, JobStatus::Completed);
}

/// Whatever the next process can do, a cancel ends the work.
pub(super) async fn the_work_of_a_dead_process_is_really_over_once_cancelled(bed: Bed) {
    if !bed.can(ExecutorCapability::Restart) {
        return;
    }
    let victim = bed.victim().await;
    let job = bed.submit(&[Work::GoesOn]).await;
    bed.alive(1).await;
    bed.until(&job, |now| now.executions[0].status == ExecutionStatus::Running).await;
    victim.crash().await;
    bed.cancel(&job, &by_alice().immediate()).await;
    let _next = bed.restarted_runner().await;
    assert_eq!(bed.over(&job).await.stops.confirmed, 1);
    assert_eq!(bed.provider.begun().await, 1);
}

/// Its handle is saved, its permit granted, and then its process dies. Only who minted an attempt
/// may begin it.
pub(super) async fn work_that_never_began_is_not_begun_by_the_next_process(bed: Bed) {
    if !bed.can(ExecutorCapability::Restart) || !bed.can(ExecutorCapability::TwoStep) {
        return;
    }
    let victim = bed.victim().await;
    bed.gate.close(Point::AfterSave);
    let mut spec = bed.spec(&[Work::GoesOn]);
    spec.on_interrupt = OnInterrupt::Fail;
    let job = bed.submit_spec(spec).await;
    bed.gate.holds(Point::AfterSave).await;
    victim.crash().await;
    bed.gate.open(Point::AfterSave);
    let _next = bed.restarted_runner().await;
    let detail = bed.over_unbegun(&job).await;
    assert_eq!(detail.job.status, JobStatus::Failed);
    assert_eq!(detail.stops.confirmed, 1, "{:?}", detail.stops);
}

/// The handle alone must be enough, whatever has become of the process that saved it.
pub(super) async fn a_handle_is_enough_to_end_the_work_of_a_dead_process(bed: Bed) {
    if !bed.can(ExecutorCapability::Restart) {
        return;
    }
    let victim = bed.victim().await;
    bed.submit(&[Work::GoesOn]).await;
    let (attempt, handle) = bed.handle().await;
    bed.alive(1).await;
    victim.crash().await;
    let restarted = bed.provider.restarted().expect("asked above");
    confirmed(&stop(&*restarted, attempt, &handle).await);
    assert_eq!(bed.provider.alive().await, 0);
}
