use std::collections::BTreeSet;
use std::time::Duration;

use super::super::bed::{Bed, LONG, by_alice};
use super::super::gate::Point;
use super::super::{ExecutorCapability, Work};
use crate::id::JobId;
use crate::job::{ExecutionStatus, FailureKind, JobStatus};
use crate::store::{JobStore, NodeEnd};

pub(super) async fn work_that_ends_brings_its_output(bed: Bed) {
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::Ends]).await;
    let detail = bed.over(&job).await;
    assert_eq!(detail.job.status, JobStatus::Completed);
    assert!(detail.executions[0].output.is_some());
    assert_eq!(detail.stops.total, 0, "there is nothing to stop");
    assert_eq!(bed.provider.begun().await, 1);
}

pub(super) async fn work_that_goes_on_is_waited_for(bed: Bed) {
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::GoesOn]).await;
    bed.alive(1).await;
    let detail = bed.until(&job, |now| now.executions[0].status == ExecutionStatus::Running).await;
    assert_eq!(detail.job.status, JobStatus::Running);
    bed.provider.complete().await;
    let detail = bed.over(&job).await;
    assert_eq!(detail.job.status, JobStatus::Completed);
    assert!(detail.executions[0].output.is_some());
}

pub(super) async fn work_that_fails_fails_its_execution_and_leaves_nothing_alive(bed: Bed) {
    if !bed.can(ExecutorCapability::FailingWork) {
        return;
    }
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::Fails]).await;
    let detail = bed.over(&job).await;
    assert_eq!(detail.job.status, JobStatus::Failed);
    assert!(detail.executions[0].error.is_some());
    assert_eq!(detail.stops.confirmed, 1, "the end of a failed attempt is shown too: {:?}", detail.stops);
}

pub(super) async fn executions_run_side_by_side(bed: Bed) {
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::GoesOn; 5]).await;
    bed.alive(5).await;
    bed.provider.complete().await;
    let detail = bed.over(&job).await;
    assert_eq!((detail.job.status, detail.job.progress.completed), (JobStatus::Completed, 5));
}

pub(super) async fn nothing_computes_before_its_handle_is_saved(bed: Bed) {
    if !bed.can(ExecutorCapability::TwoStep) {
        return;
    }
    let _runner = bed.runner().await;
    bed.gate.close(Point::BeforeSave);
    let job = bed.submit(&[Work::GoesOn]).await;
    bed.gate.holds(Point::BeforeSave).await;
    assert_eq!(bed.provider.begun().await, 0);
    bed.gate.open(Point::BeforeSave);
    bed.alive(1).await;
    bed.cancel(&job, &by_alice().immediate()).await;
    bed.over(&job).await;
}

pub(super) async fn what_computes_has_a_saved_handle(bed: Bed) {
    let _runner = bed.runner().await;
    let job = bed.submit(&[Work::GoesOn]).await;
    bed.until(&job, |now| now.executions[0].status == ExecutionStatus::Running).await;
    // It may be saved again, when more is known of where the work is.
    let attempts: BTreeSet<_> = bed.gate.handles().into_iter().map(|(attempt, _)| attempt).collect();
    assert_eq!(attempts.len(), 1, "one attempt, and its handle");
    bed.cancel(&job, &by_alice().immediate()).await;
    bed.over(&job).await;
}

pub(super) async fn an_attempt_whose_time_is_up_is_really_over(bed: Bed) {
    let _runner = bed.runner().await;
    // What ends when it is told to need not be waited for until its grace is over.
    let work = if bed.provider.input(Work::SavesItself).is_some() { Work::SavesItself } else { Work::GoesOn };
    let mut spec = bed.spec(&[work]);
    spec.executions[0].timeout_seconds = Some(1);
    let job = bed.submit_spec(spec).await;
    let detail = bed.over(&job).await;
    assert_eq!(detail.job.status, JobStatus::Failed);
    let kind = detail.executions[0].error.as_ref().map(|error| error.kind);
    assert_eq!((kind, detail.stops.confirmed), (Some(FailureKind::Timeout), 1));
    assert_eq!(bed.provider.begun().await, 1);
}

pub(super) async fn a_runner_that_shuts_down_leaves_nothing_that_nobody_watches(bed: Bed) {
    let runner = bed.runner().await;
    let job = bed.submit(&[Work::GoesOn]).await;
    bed.until(&job, |now| now.executions[0].status == ExecutionStatus::Running).await;
    bed.alive(1).await;
    if bed.capabilities().resume {
        let report = runner.shutdown(LONG).await;
        assert_eq!((report.interrupted, report.open_stops), (0, 0), "{report:?}");
        assert_eq!(bed.provider.alive().await, 1, "it is handed over, not stopped");
        let _next = bed.runner().await;
        bed.provider.complete().await;
        assert_eq!(bed.over(&job).await.job.status, JobStatus::Completed);
        assert_eq!(bed.provider.begun().await, 1);
    } else {
        // Work that cannot be handed over is waited for as long as was said.
        let waited = tokio::spawn(runner.shutdown(LONG));
        bed.provider.complete().await;
        let report = waited.await.expect("no panic");
        assert_eq!((report.interrupted, report.unsettled), (0, 0), "{report:?}");
        assert_eq!(bed.over(&job).await.job.status, JobStatus::Completed);
    }
}

/// It goes without a word while an executor is between its permit and its begin: the executor is
/// refused, which is not the outcome of its work.
pub(super) async fn a_runner_that_is_dropped_fails_nothing(bed: Bed) {
    let runner = bed.runner().await;
    let incarnation = runner.incarnation().expect("its lease has not run out");
    bed.gate.close(Point::AfterSave);
    let job = bed.submit(&[Work::Ends]).await;
    bed.gate.holds(Point::AfterSave).await;
    drop(runner);
    bed.gate.open(Point::AfterSave);
    while bed.jobs.contexts().count() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bed.get(&job).await.job.status, JobStatus::Running);
    bed.jobs.store().end_node(incarnation, NodeEnd::ProcessGone).await.expect("end_node");
    let _next = bed.runner().await;
    assert_eq!(bed.over(&job).await.job.status, JobStatus::Completed);
    assert_eq!(bed.provider.begun().await, 1);
}

/// Its token fires, and work that may save itself does: what it brings then is not its result.
pub(super) async fn a_runner_that_is_dropped_completes_nothing(bed: Bed) {
    if !bed.can(ExecutorCapability::Grace) {
        return;
    }
    let runner = bed.runner().await;
    let incarnation = runner.incarnation().expect("its lease has not run out");
    let job = bed.submit(&[Work::SavesItself]).await;
    bed.until(&job, |now| now.executions[0].status == ExecutionStatus::Running).await;
    bed.alive(1).await;
    drop(runner);
    while bed.jobs.contexts().count() > 0 {
        tokio::task::yield_now().await;
    }
    let detail = bed.get(&job).await;
    assert_eq!((detail.job.status, &detail.executions[0].output), (JobStatus::Running, &None));
    bed.jobs.store().end_node(incarnation, NodeEnd::ProcessGone).await.expect("end_node");
    goes_on_with_the_next_runner(&bed, &job).await;
}

pub(super) async fn work_that_a_shutdown_interrupts_is_not_over(bed: Bed) {
    if !bed.can(ExecutorCapability::Grace) {
        return;
    }
    let runner = bed.runner().await;
    let job = bed.submit(&[Work::SavesItself]).await;
    bed.until(&job, |now| now.executions[0].status == ExecutionStatus::Running).await;
    bed.alive(1).await;
    let report = runner.shutdown(Duration::ZERO).await;
    let detail = bed.get(&job).await;
    assert_eq!((detail.job.status, &detail.executions[0].output), (JobStatus::Running, &None));
    assert_eq!(report.unsettled, 0, "{report:?}");
    goes_on_with_the_next_runner(&bed, &job).await;
}

async fn goes_on_with_the_next_runner(bed: &Bed, job: &JobId) {
    let _next = bed.runner().await;
    let attempts = if bed.capabilities().resume { 1 } else { 2 };
    bed.until(job, |now| {
        (now.executions[0].status, now.executions[0].attempt) == (ExecutionStatus::Running, attempts)
    })
    .await;
    bed.alive(1).await;
    bed.provider.complete().await;
    let detail = bed.over(job).await;
    assert_eq!(detail.job.status, JobStatus::Completed);
    assert!(detail.executions[0].output.is_some());
    assert_eq!(bed.provider.begun().await, attempts as usize);
}
