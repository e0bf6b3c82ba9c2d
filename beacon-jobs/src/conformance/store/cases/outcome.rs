use serde_json::json;

use super::super::bed::Bed;
use super::super::words::*;
use crate::job::{ExecutionStatus, FailureKind, JobStatus};
use crate::store::{Fence, FinishJobOutcome, Refusal};

const UNFINISHED: FinishJobOutcome = FinishJobOutcome::Unfinished;

const fn finished(status: JobStatus) -> FinishJobOutcome {
    FinishJobOutcome::Finished(status)
}

const fn refused(refusal: Refusal) -> FinishJobOutcome {
    FinishJobOutcome::Refused(refusal)
}

pub(super) async fn a_job_is_unfinished_while_an_execution_has_no_outcome(bed: Bed) {
    let held = bed.held("job", 1).await;
    let before = bed.snapshot(&held.job).await;
    assert_eq!(bed.finish_job(&held.finish_job()).await, UNFINISHED, "queued");
    assert_eq!(bed.snapshot(&held.job).await, before);
    let attempt = bed.started(&held, 0).await;
    assert_eq!(bed.finish_job(&held.finish_job()).await, UNFINISHED, "starting");
    bed.save(held.save(0, attempt, &handle("first"))).await;
    assert_eq!(bed.finish_job(&held.finish_job()).await, UNFINISHED, "running");
    bed.finish(held.finish(0, attempt, failed(true))).await;
    assert_eq!(bed.finish_job(&held.finish_job()).await, UNFINISHED, "queued for a retry");
    assert_eq!(bed.status(&held.job).await, JobStatus::Running);
}

pub(super) async fn a_job_completes_when_all_its_executions_completed(bed: Bed) {
    let (held, _) = bed.over("job", JobStatus::Completed).await;
    let job = bed.get(&held.job).await.job;
    assert_eq!(job.status, JobStatus::Completed);
    assert!(job.finished_at.is_some());
    assert_eq!(job.cancellation, None);
}

pub(super) async fn the_share_of_completed_executions_decides(bed: Bed) {
    for (name, rate, completions, expected) in [
        ("all-of-all", 1.0, 4, JobStatus::Completed),
        ("three-of-all", 1.0, 3, JobStatus::Failed),
        ("three-of-three", 0.75, 3, JobStatus::Completed),
        ("two-of-three", 0.75, 2, JobStatus::Failed),
        ("none-of-none", 0.0, 0, JobStatus::Completed),
    ] {
        let mut spec = spec(4);
        spec.min_success_rate = rate;
        let held = bed.held_spec(name, spec).await;
        for index in 0..4 {
            let result = if index < completions { completed(json!(1)) } else { failed(false) };
            bed.ended(&held, index, result).await;
        }
        assert_eq!(bed.finish_job(&held.finish_job()).await, finished(expected), "{name}");
        assert_eq!(bed.status(&held.job).await, expected, "{name}");
    }
}

pub(super) async fn the_same_end_again_gives_the_same_answer(bed: Bed) {
    for (name, status) in [("a", JobStatus::Completed), ("b", JobStatus::Failed)] {
        let (held, _) = bed.over(name, status).await;
        let before = bed.snapshot(&held.job).await;
        assert_eq!(bed.finish_job(&held.finish_job()).await, finished(status));
        assert_eq!(bed.finish_job(&held.time_out()).await, finished(status), "too late to time out");
        assert_eq!(bed.snapshot(&held.job).await, before);
    }
}

pub(super) async fn only_the_holder_ends_a_job(bed: Bed) {
    let first = bed.held("job", 1).await;
    bed.ended(&first, 0, completed(json!(1))).await;
    let second = bed.again(&first).await;
    let third = bed.successor(&second).await;
    let before = bed.snapshot(&first.job).await;
    for stale in [&first, &second] {
        assert_eq!(bed.finish_job(&stale.finish_job()).await, refused(Refusal::Lost));
        assert_eq!(bed.finish_job(&stale.time_out()).await, refused(Refusal::Lost));
    }
    assert_eq!(bed.snapshot(&first.job).await, before);
    assert_eq!(bed.finish_job(&third.finish_job()).await, finished(JobStatus::Completed));
}

pub(super) async fn a_job_that_nobody_holds_gets_no_outcome(bed: Bed) {
    let queued = bed.submit("queued", 1).await;
    let fence = Fence { incarnation: bed.node().await, epoch: 0 };
    for job in [queued.clone(), id("nobody")] {
        let held = Held { job, fence };
        assert_eq!(bed.finish_job(&held.finish_job()).await, refused(Refusal::Lost));
        assert_eq!(bed.finish_job(&held.time_out()).await, refused(Refusal::Lost));
    }
    assert_eq!(bed.status(&queued).await, JobStatus::Queued);
}

pub(super) async fn a_cancelled_job_gets_no_other_outcome(bed: Bed) {
    let held = bed.held("job", 1).await;
    bed.ended(&held, 0, completed(json!(1))).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    let before = bed.snapshot(&held.job).await;
    assert_eq!(bed.finish_job(&held.finish_job()).await, refused(Refusal::Cancelled));
    assert_eq!(bed.finish_job(&held.time_out()).await, refused(Refusal::Cancelled));
    assert_eq!(bed.snapshot(&held.job).await, before);
}

pub(super) async fn a_job_whose_time_is_up_fails_with_all_that_is_unfinished(bed: Bed) {
    let held = bed.held("job", 4).await;
    bed.ended(&held, 0, completed(json!(1))).await;
    let begun = bed.begun(&held, 1).await;
    let starting = bed.started(&held, 2).await;
    let before = bed.get(&held.job).await;

    assert_eq!(bed.finish_job(&held.time_out()).await, finished(JobStatus::Failed));

    let after = bed.get(&held.job).await;
    assert_eq!(after.job.status, JobStatus::Failed);
    assert_eq!(after.executions[0], before.executions[0]);
    for execution in &after.executions[1..] {
        assert_eq!(execution.status, ExecutionStatus::Failed);
        assert_eq!(execution.error.as_ref().map(|error| error.kind), Some(FailureKind::Timeout));
        assert!(execution.finished_at.is_some());
    }
    // Both attempts under way are stopped by this very commit; the last never passed the barrier.
    let due: Vec<_> = bed.due().await.iter().map(|item| item.attempt).collect();
    assert_eq!(due, [begun, starting]);
    assert_eq!(after.executions[3].stop, None);
}

pub(super) async fn open_stops_outlive_the_end_of_their_job(bed: Bed) {
    let (held, attempt) = bed.over("job", JobStatus::Failed).await;
    assert!(bed.due_stop(attempt).await.is_some());
    assert_eq!(bed.get(&held.job).await.stops.open, 1);
    bed.confirm(attempt).await;
    let detail = bed.get(&held.job).await;
    assert_eq!((detail.job.status, detail.stops.open), (JobStatus::Failed, 0));
}
