use std::time::Duration;

use super::super::bed::{Bed, MOMENT, by_alice};
use super::super::gate::Point;
use super::super::{ExecutorCapability, Work};
use crate::job::{ExecutionStatus, JobStatus};

pub(super) async fn cancelled_work_is_really_over(bed: Bed) {
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::GoesOn]).await;
    bed.alive(1).await;
    bed.cancel(&job, &by_alice().with_grace(MOMENT)).await;
    let detail = bed.over(&job).await;
    assert_eq!(detail.job.status, JobStatus::Cancelled);
    assert_eq!(detail.stops.confirmed, 1, "{:?}", detail.stops);
    assert_eq!(bed.provider.begun().await, 1);
}

pub(super) async fn work_cancelled_at_once_is_really_over(bed: Bed) {
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::GoesOn]).await;
    bed.alive(1).await;
    bed.cancel(&job, &by_alice().immediate()).await;
    assert_eq!(bed.over(&job).await.stops.confirmed, 1);
}

pub(super) async fn all_work_of_a_cancelled_job_is_really_over(bed: Bed) {
    let _runner = bed.runner().await;
    let other = bed.submit(&[Work::GoesOn]).await;
    let job = bed.submit(&[Work::GoesOn; 5]).await;
    bed.alive(6).await;
    bed.cancel(&job, &by_alice().immediate()).await;
    let detail = bed.settled(&job).await;
    assert_eq!(detail.stops.confirmed, 5, "{:?}", detail.stops);
    assert_eq!(bed.provider.alive().await, 1, "the work of another job goes on");
    bed.provider.complete().await;
    assert_eq!(bed.over(&other).await.job.status, JobStatus::Completed);
}

pub(super) async fn work_may_save_itself_while_its_grace_lasts(bed: Bed) {
    if !bed.can(ExecutorCapability::Grace) {
        return;
    }
    let runner = bed.runner().await;
    let job = bed.submit(&[Work::SavesItself]).await;
    bed.alive(1).await;
    // Work that its creation begins lives before its handle is saved: then nobody waits for it yet.
    bed.until(&job, |now| now.executions[0].status == ExecutionStatus::Running).await;
    bed.cancel(&job, &by_alice().with_grace(Duration::from_secs(600))).await;
    let detail = bed.over(&job).await;
    assert_eq!(detail.stops.confirmed, 1, "{:?}", detail.stops);
    while runner.running_attempts() > 0 {
        tokio::task::yield_now().await;
    }
    let detail = bed.get(&job).await;
    assert!(detail.executions[0].late_output.is_some(), "what it saved is kept");
    assert_eq!(detail.executions[0].output, None, "and is not the result");
    assert_eq!(detail.job.status, JobStatus::Cancelled);
}

pub(super) async fn work_that_ignores_its_grace_is_forced(bed: Bed) {
    if !bed.can(ExecutorCapability::Force) {
        return;
    }
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::Ignores]).await;
    bed.alive(1).await;
    bed.cancel(&job, &by_alice().with_grace(MOMENT)).await;
    assert_eq!(bed.over(&job).await.stops.confirmed, 1);
}

pub(super) async fn a_harsher_cancel_ends_a_running_grace(bed: Bed) {
    if !bed.can(ExecutorCapability::Force) {
        return;
    }
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::Ignores]).await;
    bed.alive(1).await;
    bed.cancel(&job, &by_alice().with_grace(Duration::from_secs(600))).await;
    bed.until(&job, |now| now.stops.acknowledged == 1).await;
    bed.cancel(&job, &by_alice().immediate()).await;
    assert_eq!(bed.over(&job).await.stops.confirmed, 1);
}

pub(super) async fn a_job_cancelled_before_its_start_begins_nothing(bed: Bed) {
    let job = bed.submit(&[Work::GoesOn; 3]).await;
    bed.cancel(&job, &by_alice()).await;
    let runner = bed.runner().await;
    // One that comes after it is run, so the first was looked at.
    let next = bed.submit(&[Work::Ends]).await;
    bed.over(&next).await;
    assert_eq!(bed.provider.begun().await, 1);
    assert_eq!(bed.get(&job).await.stops.not_needed, 3);
    drop(runner);
}

/// The cancel commits while the handle is on its way to the store: the permit is refused.
pub(super) async fn a_refused_permit_begins_nothing(bed: Bed) {
    let _runner = bed.runner().await;
    bed.gate.close(Point::BeforeSave);
    let job = bed.submit(&[Work::GoesOn]).await;
    bed.gate.holds(Point::BeforeSave).await;
    bed.cancel(&job, &by_alice().immediate()).await;
    bed.gate.open(Point::BeforeSave);
    let detail = bed.over(&job).await;
    assert_eq!(detail.stops.confirmed, 1, "{:?}", detail.stops);
    if bed.capabilities().two_step {
        assert_eq!(bed.provider.begun().await, 0);
    }
}

/// The cancel commits after the permit was granted and before the executor knows it.
pub(super) async fn work_cancelled_between_its_permit_and_its_begin_is_really_over(bed: Bed) {
    let _runner = bed.runner().await;
    bed.gate.close(Point::AfterSave);
    let job = bed.submit(&[Work::GoesOn]).await;
    bed.gate.holds(Point::AfterSave).await;
    bed.cancel(&job, &by_alice().immediate()).await;
    bed.gate.open(Point::AfterSave);
    let detail = bed.over(&job).await;
    assert_eq!(detail.stops.confirmed, 1, "{:?}", detail.stops);
    if bed.capabilities().two_step {
        assert_eq!(bed.provider.begun().await, 0, "the cancel was taken on this very node");
    }
}

/// Whoever took the cancel learns late what it has to stop: by then the attempt has saved its
/// handle and is over.
pub(super) async fn a_cancel_whose_answer_comes_late_stops_the_work_all_the_same(bed: Bed) {
    bed.gate.close(Point::BeforeSave);
    let job = bed.submit(&[Work::GoesOn]).await;
    let runner = bed.inattentive_runner().await;
    bed.gate.holds(Point::BeforeSave).await;
    bed.gate.close(Point::AfterCancel);
    let (jobs, id) = (bed.jobs.clone(), job.clone());
    let cancel = tokio::spawn(async move { jobs.cancel(&id, &by_alice().immediate()).await });
    bed.gate.holds(Point::AfterCancel).await;
    bed.gate.open(Point::BeforeSave);
    while runner.running_attempts() > 0 {
        tokio::task::yield_now().await;
    }
    bed.gate.open(Point::AfterCancel);
    cancel.await.expect("no panic").expect("cancel");
    let detail = bed.over(&job).await;
    assert_eq!(detail.stops.confirmed, 1, "{:?}", detail.stops);
    let evidence = detail.executions[0].stop.as_ref().and_then(|stop| stop.evidence.as_ref());
    let never_began = evidence.and_then(|evidence| evidence.get("never_began"));
    assert_eq!(never_began, None, "its handle was saved, so the provider must be asked");
}
