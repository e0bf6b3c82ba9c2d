use super::super::bed::{Bed, by_alice};
use super::super::{Fault, Work};
use crate::job::JobStatus;

pub(super) async fn a_stop_is_driven_until_the_provider_answers(bed: Bed) {
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::GoesOn]).await;
    bed.alive(1).await;
    if bed.can_inject(Fault::StopsFail(3)).await {
        bed.cancel(&job, &by_alice().immediate()).await;
        assert_eq!(bed.over(&job).await.stops.confirmed, 1);
    }
}

pub(super) async fn a_start_that_did_not_arrive_is_tried_again(bed: Bed) {
    if !bed.can_inject(Fault::StartsFail(1)).await {
        return;
    }
    let _runner = bed.runner().await;
    let mut spec = bed.spec(&[Work::Ends]);
    (spec.max_attempts, spec.backoff_seconds) = (2, 0);
    let job = bed.submit_spec(spec).await;
    let detail = bed.settled(&job).await;
    assert_eq!((detail.job.status, detail.executions[0].attempt), (JobStatus::Completed, 2));
    assert_eq!(bed.provider.begun().await, 1);
    assert_eq!(bed.provider.alive().await, 0);
}

/// The work computes, and nobody was told.
pub(super) async fn work_whose_start_was_not_answered_is_not_forgotten(bed: Bed) {
    if !bed.can_inject(Fault::RepliesLost(1)).await {
        return;
    }
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::GoesOn]).await;
    bed.until(&job, |now| now.executions[0].attempt == 1).await;
    while bed.provider.begun().await == 0 {
        tokio::task::yield_now().await;
    }
    bed.cancel(&job, &by_alice().immediate()).await;
    let detail = bed.over(&job).await;
    if bed.capabilities().two_step {
        assert_eq!((detail.stops.confirmed, bed.provider.alive().await), (1, 0), "{:?}", detail.stops);
    }
}

pub(super) async fn work_is_watched_over_errors(bed: Bed) {
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::GoesOn]).await;
    bed.alive(1).await;
    if bed.can_inject(Fault::WatchesFail(3)).await {
        bed.provider.complete().await;
        assert_eq!(bed.over(&job).await.job.status, JobStatus::Completed);
        assert_eq!(bed.provider.begun().await, 1);
    }
}
