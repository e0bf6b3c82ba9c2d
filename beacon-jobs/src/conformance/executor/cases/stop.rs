use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::super::bed::{Bed, by_alice, confirmed, stop};
use super::super::gate::Point;
use super::super::{ExecutorCapability, Work};
use crate::id::{AttemptId, JobId, RandomIds};
use crate::job::{JobStatus, OnInterrupt};
use crate::stop::{Handle, StopRequest, StopStatus};

fn is_confirmed(status: &StopStatus) -> bool {
    matches!(status, StopStatus::Confirmed { .. })
}

pub(super) async fn a_stop_may_be_asked_for_again_after_the_end(bed: Bed) {
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::GoesOn]).await;
    let (attempt, handle) = bed.handle().await;
    bed.alive(1).await;
    bed.cancel(&job, &by_alice().immediate()).await;
    bed.over(&job).await;
    let executor = bed.provider.executor();
    for _ in 0..3 {
        confirmed(&stop(&*executor, attempt, &handle).await);
    }
}

pub(super) async fn the_stop_of_work_that_ended_by_itself_is_confirmed(bed: Bed) {
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::Ends]).await;
    bed.over(&job).await;
    let (attempt, handle) = bed.handle().await;
    confirmed(&stop(&*bed.provider.executor(), attempt, &handle).await);
}

pub(super) async fn many_may_stop_the_same_work_at_once(bed: Bed) {
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::GoesOn]).await;
    let (attempt, handle) = bed.handle().await;
    bed.alive(1).await;
    let calls = (0..8).map(|_| {
        let (executor, handle) = (bed.provider.executor(), handle.clone());
        tokio::spawn(async move { stop(&*executor, attempt, &handle).await })
    });
    for status in join_all(calls).await {
        confirmed(&status.expect("no panic"));
    }
    assert_eq!(bed.provider.alive().await, 0);
    bed.over(&job).await;
}

/// Whoever has it: a form that another version wrote, a mix-up, an attack.
pub(super) async fn the_stop_of_a_strange_handle_confirms_nothing(bed: Bed) {
    let executor = bed.provider.executor();
    for strange in [json!(null), json!({}), json!([1, 2]), json!("nonsense"), json!({ "id": "nonsense" })] {
        let request = StopRequest::new(AttemptId::mint(&RandomIds), Duration::ZERO, true);
        let answer = executor.stop(&Handle::new(strange.clone()), &request).await;
        assert!(!matches!(&answer, Ok(status) if is_confirmed(status)), "{strange}: {answer:?}");
    }
}

pub(super) async fn another_process_can_stop_the_work(bed: Bed) {
    if !bed.can(ExecutorCapability::Restart) {
        return;
    }
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::GoesOn]).await;
    let (attempt, handle) = bed.handle().await;
    bed.alive(1).await;
    let other = bed.provider.restarted().expect("asked above");
    confirmed(&stop(&*other, attempt, &handle).await);
    assert_eq!(bed.provider.alive().await, 0);
    bed.over(&job).await;
}

/// Holds an executor between its permit and its begin, and asks once for the end of its work.
async fn stopped_before_its_begin(bed: &Bed) -> (JobId, AttemptId, Handle) {
    bed.gate.close(Point::AfterSave);
    let mut spec = bed.spec(&[Work::GoesOn]);
    spec.on_interrupt = OnInterrupt::Fail;
    let job = bed.submit_spec(spec).await;
    bed.gate.holds(Point::AfterSave).await;
    let (attempt, handle) = bed.handle().await;
    let request = StopRequest::new(attempt, Duration::ZERO, false);
    let status = bed.provider.executor().stop(&handle, &request).await.expect("the provider answers");
    let heard = is_confirmed(&status) || matches!(status, StopStatus::Acknowledged { .. });
    assert!(heard, "{status:?}");
    assert_eq!(bed.provider.begun().await, 0);
    (job, attempt, handle)
}

/// What was created and has not begun can be ended too.
pub(super) async fn work_that_has_not_begun_can_be_stopped(bed: Bed) {
    if !bed.can(ExecutorCapability::TwoStep) {
        return;
    }
    let _runner = bed.runner().await;
    let (job, attempt, handle) = stopped_before_its_begin(&bed).await;
    bed.cancel(&job, &by_alice().immediate()).await;
    bed.gate.open(Point::AfterSave);
    assert_eq!(bed.over_unbegun(&job).await.stops.confirmed, 1);
    confirmed(&stop(&*bed.provider.executor(), attempt, &handle).await);
}

/// Else a stop would seal an attempt whose begin is still on its way.
pub(super) async fn work_that_was_stopped_before_it_began_never_begins(bed: Bed) {
    if !bed.can(ExecutorCapability::RefusesStartAfterStop) || !bed.can(ExecutorCapability::TwoStep) {
        return;
    }
    let _runner = bed.runner().await;
    let (job, ..) = stopped_before_its_begin(&bed).await;
    // The job is not cancelled: the executor has its permit, and sends its begin.
    bed.gate.open(Point::AfterSave);
    assert_eq!(bed.over_unbegun(&job).await.job.status, JobStatus::Failed);
}
