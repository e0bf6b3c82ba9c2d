use serde_json::json;

use super::super::bed::Bed;
use super::super::words::*;
use crate::id::AttemptId;
use crate::job::{ExecutionStatus, Failure, FailureKind, JobStatus};
use crate::stop::StopState;
use crate::store::{ExecutionResult, FinishOutcome, Refusal, SaveOutcome};

const fn refused(refusal: Refusal) -> FinishOutcome {
    FinishOutcome::Refused(refusal)
}

fn interrupted(retry: bool) -> ExecutionResult {
    let failure = Failure::new(FailureKind::Interrupted, "the node was lost");
    ExecutionResult::Failed { failure, output: None, retry, counts: false }
}

fn failed_with_output(retry: bool) -> ExecutionResult {
    let failure = Failure::new(FailureKind::Failed, "exit code 1");
    ExecutionResult::Failed { failure, output: Some(json!({ "exit_code": 1 })), retry, counts: true }
}

async fn counted(bed: &Bed, held: &Held) -> u32 {
    bed.take_over(held.fence.incarnation, &[]).await.remove(0).executions[0].counted_attempts
}

/// Finishes again what was refused, and shows that its output was kept aside.
async fn is_kept_as_late(bed: &Bed, held: &Held, attempt: AttemptId, refusal: Refusal) {
    let before = bed.execution(&held.job, 0).await;
    for _ in 0..2 {
        let outcome = bed.finish(held.finish(0, attempt, completed(json!("too late")))).await;
        assert_eq!(outcome, refused(refusal));
        let after = bed.execution(&held.job, 0).await;
        assert_eq!(after.late_output, Some(json!("too late")));
        assert_eq!(
            (after.status, &after.output, &after.error),
            (before.status, &before.output, &before.error)
        );
    }
}

pub(super) async fn an_output_completes_the_execution_with_nothing_to_stop(bed: Bed) {
    let held = bed.held("job", 1).await;
    bed.ended(&held, 0, completed(json!({ "answer": 42 }))).await;
    let execution = bed.execution(&held.job, 0).await;
    assert_eq!(execution.status, ExecutionStatus::Completed);
    assert_eq!((execution.output, execution.error), (Some(json!({ "answer": 42 })), None));
    assert!(execution.finished_at.is_some());
    assert_eq!((execution.stop, execution.late_output), (None, None));
    assert_eq!(bed.due().await, []);
    assert_eq!(bed.status(&held.job).await, JobStatus::Running, "the job has its own end");
}

pub(super) async fn an_attempt_may_complete_without_a_handle(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.started(&held, 0).await;
    let outcome = bed.finish(held.finish(0, attempt, completed(json!(1)))).await;
    assert_eq!(outcome, FinishOutcome::Finished);
    assert_eq!(bed.execution_status(&held.job, 0).await, ExecutionStatus::Completed);
}

pub(super) async fn a_failure_requests_the_stop_in_the_same_commit(bed: Bed) {
    let held = bed.held("job", 2).await;
    let with_handle = bed.begun(&held, 0).await;
    let without = bed.started(&held, 1).await;
    bed.finish(held.finish(0, with_handle, failed_with_output(false))).await;
    bed.finish(held.finish(1, without, failed(false))).await;

    let due = bed.due().await;
    let seen: Vec<_> = due.iter().map(|item| (item.attempt, item.handle.clone(), item.state)).collect();
    let expected =
        [(with_handle, Some(handle("first")), StopState::Requested), (without, None, StopState::Requested)];
    assert_eq!(seen, expected);
    let execution = bed.execution(&held.job, 0).await;
    assert_eq!(execution.status, ExecutionStatus::Failed);
    assert_eq!(execution.error, Some(Failure::new(FailureKind::Failed, "exit code 1")));
    assert_eq!(execution.output, Some(json!({ "exit_code": 1 })));
    assert!(execution.finished_at.is_some());
}

pub(super) async fn a_failure_with_retry_returns_the_execution_to_queued_and_requests_the_stop(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.ended(&held, 0, failed(true)).await;
    let execution = bed.execution(&held.job, 0).await;
    assert_eq!((execution.status, execution.attempt), (ExecutionStatus::Queued, 1));
    assert!(execution.error.is_some());
    assert_eq!(execution.finished_at, None);
    assert_eq!(bed.due().await.iter().map(|item| item.attempt).collect::<Vec<_>>(), [attempt]);
}

pub(super) async fn an_interruption_requests_the_stop_and_does_not_count(bed: Bed) {
    let held = bed.held("job", 1).await;
    let first = bed.ended(&held, 0, interrupted(true)).await;
    assert!(bed.due_stop(first).await.is_some());
    assert_eq!(counted(&bed, &held).await, 0);
    assert_eq!(bed.execution(&held.job, 0).await.attempt, 1, "it is shown all the same");
}

pub(super) async fn a_failure_counts(bed: Bed) {
    let held = bed.held("job", 1).await;
    let first = bed.ended(&held, 0, failed(true)).await;
    bed.confirm(first).await;
    bed.started(&held, 0).await;
    assert_eq!(counted(&bed, &held).await, 2);
}

/// A retry would have to wait too long for the older attempt's stop.
pub(super) async fn an_execution_that_waits_for_another_attempt_may_be_failed_by_its_last(bed: Bed) {
    let mut spec = spec(1);
    spec.allow_overlap = true;
    let held = bed.held_spec("job", spec).await;
    let first = bed.ended(&held, 0, failed(true)).await;
    let last = bed.ended(&held, 0, failed(true)).await;
    let failure = Failure::new(FailureKind::StopUnconfirmed, "the older attempt goes on");
    let given_up =
        ExecutionResult::Failed { failure: failure.clone(), output: None, retry: false, counts: true };
    for (held, attempt) in [(&held.stale(), last), (&held, first)] {
        let outcome = bed.finish(held.finish(0, attempt, given_up.clone())).await;
        assert_eq!(outcome, refused(Refusal::Lost));
    }
    let outcome = bed.finish(held.finish(0, last, completed(json!("late")))).await;
    assert_eq!(outcome, refused(Refusal::Lost), "its output came too late");
    assert_eq!(bed.execution_status(&held.job, 0).await, ExecutionStatus::Queued);

    assert_eq!(bed.finish(held.finish(0, last, given_up.clone())).await, FinishOutcome::Finished);

    let execution = bed.execution(&held.job, 0).await;
    assert_eq!((execution.status, execution.error), (ExecutionStatus::Failed, Some(failure)));
    assert_eq!(bed.due().await.len(), 2, "both are still stopped");
    assert_eq!(bed.finish(held.finish(0, last, given_up)).await, FinishOutcome::Finished, "again");
}

pub(super) async fn a_completed_retry_leaves_no_error(bed: Bed) {
    let held = bed.held("job", 1).await;
    let first = bed.ended(&held, 0, failed_with_output(true)).await;
    bed.confirm(first).await;
    bed.ended(&held, 0, completed(json!(2))).await;
    let execution = bed.execution(&held.job, 0).await;
    assert_eq!((execution.output, execution.error), (Some(json!(2)), None));
    assert_eq!(execution.attempt, 2);
}

pub(super) async fn the_same_finish_again_gives_the_same_answer(bed: Bed) {
    for (name, result) in [
        ("completed", completed(json!("result"))),
        ("failed", failed(false)),
        ("failed-with-output", failed_with_output(false)),
        ("retry", failed(true)),
        ("interrupted", interrupted(true)),
    ] {
        let held = bed.held(name, 1).await;
        let attempt = bed.ended(&held, 0, result.clone()).await;
        let before = bed.snapshot(&held.job).await;
        let again = bed.finish(held.finish(0, attempt, result)).await;
        assert_eq!(again, FinishOutcome::Finished, "{name}");
        assert_eq!(bed.snapshot(&held.job).await, before, "{name}");
    }
}

/// The reply was lost, and before the call was repeated the job had its end.
pub(super) async fn the_same_finish_again_tells_the_truth_also_after_the_job_has_ended(bed: Bed) {
    let (held, attempt) = bed.over("job", JobStatus::Completed).await;
    let before = bed.snapshot(&held.job).await;
    let again = bed.finish(held.finish(0, attempt, completed(json!("the result")))).await;
    assert_eq!(again, FinishOutcome::Finished);
    assert_eq!(bed.snapshot(&held.job).await, before);

    let held = bed.held("cancelled", 2).await;
    let attempt = bed.ended(&held, 0, completed(json!("in time"))).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    let before = bed.snapshot(&held.job).await;
    let again = bed.finish(held.finish(0, attempt, completed(json!("in time")))).await;
    assert_eq!(again, FinishOutcome::Finished);
    assert_eq!(bed.snapshot(&held.job).await, before);
}

pub(super) async fn an_output_after_a_cancel_is_kept_aside_and_is_not_the_result(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    is_kept_as_late(&bed, &held, attempt, Refusal::Cancelled).await;
    assert_eq!(bed.execution_status(&held.job, 0).await, ExecutionStatus::Cancelled);
    assert_eq!(bed.execution(&held.job, 0).await.output, None);
    assert_eq!(bed.stop(&held.job, 0).await, Some(StopState::Requested));
}

pub(super) async fn the_output_of_a_failure_after_a_cancel_is_kept_aside(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    let outcome = bed.finish(held.finish(0, attempt, failed_with_output(true))).await;
    assert_eq!(outcome, refused(Refusal::Cancelled));
    let execution = bed.execution(&held.job, 0).await;
    assert_eq!((execution.status, execution.error), (ExecutionStatus::Cancelled, None));
    assert_eq!((execution.output, execution.late_output), (None, Some(json!({ "exit_code": 1 }))));
}

pub(super) async fn an_output_after_the_jobs_time_was_up_is_kept_aside(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    bed.finish_job(&held.time_out()).await;
    is_kept_as_late(&bed, &held, attempt, Refusal::Finished).await;
    assert_eq!(bed.execution_status(&held.job, 0).await, ExecutionStatus::Failed);
}

/// Who lost the job is not asked whether the work that the next holder watches shall end.
pub(super) async fn an_end_under_a_stale_fence_is_kept_aside_and_its_attempt_goes_on(bed: Bed) {
    let first = bed.held("job", 1).await;
    let attempt = bed.begun(&first, 0).await;
    let second = bed.successor(&first).await;
    is_kept_as_late(&bed, &first, attempt, Refusal::Lost).await;
    assert_eq!(bed.execution_status(&first.job, 0).await, ExecutionStatus::Running);
    let lost = FinishOutcome::Refused(Refusal::Lost);
    assert_eq!(bed.finish(first.finish(0, attempt, failed(false))).await, lost);
    assert_eq!(
        bed.save(first.save(0, attempt, &handle("of late"))).await,
        SaveOutcome::Refused(Refusal::Lost)
    );
    assert_eq!(bed.due_stop(attempt).await, None);
    // What it knew of the work is recorded all the same.
    assert_eq!(bed.save(second.save(0, attempt, &handle("of late"))).await, SaveOutcome::Granted);
    assert_eq!(bed.finish(second.finish(0, attempt, failed(false))).await, FinishOutcome::Finished);
    assert_eq!(
        bed.due_stop(attempt).await.expect("the holder's word ends it").handle,
        Some(handle("of late"))
    );
}

/// Without a handle nobody can watch it.
pub(super) async fn an_end_under_a_stale_fence_stops_an_attempt_whose_handle_is_unknown(bed: Bed) {
    let first = bed.held("job", 1).await;
    let attempt = bed.started(&first, 0).await;
    bed.successor(&first).await;
    let refused = bed.finish(first.finish(0, attempt, failed(true))).await;
    assert_eq!(refused, FinishOutcome::Refused(Refusal::Lost));
    assert!(bed.due_stop(attempt).await.is_some(), "a refusal stops");
}

pub(super) async fn the_output_of_an_older_attempt_does_not_touch_the_newer(bed: Bed) {
    let held = bed.held("job", 1).await;
    let first = bed.ended(&held, 0, failed(true)).await;
    bed.confirm(first).await;
    let second = bed.begun(&held, 0).await;
    is_kept_as_late(&bed, &held, first, Refusal::Lost).await;
    assert_eq!(bed.execution_status(&held.job, 0).await, ExecutionStatus::Running);
    let outcome = bed.finish(held.finish(0, second, completed(json!("in time")))).await;
    assert_eq!(outcome, FinishOutcome::Finished);
    let execution = bed.execution(&held.job, 0).await;
    assert_eq!((execution.output, execution.late_output), (Some(json!("in time")), Some(json!("too late"))));
}

pub(super) async fn an_execution_that_has_its_outcome_keeps_it(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.ended(&held, 0, completed(json!("first"))).await;
    for late in [completed(json!("second")), failed_with_output(false), failed(true)] {
        let outcome = bed.finish(held.finish(0, attempt, late)).await;
        assert!(matches!(outcome, FinishOutcome::Refused(_)), "{outcome:?}");
        let execution = bed.execution(&held.job, 0).await;
        assert_eq!((execution.status, execution.error), (ExecutionStatus::Completed, None));
        assert_eq!((execution.output, execution.late_output), (Some(json!("first")), Some(json!("second"))));
    }
}

pub(super) async fn a_finish_of_what_does_not_exist_is_refused(bed: Bed) {
    let held = bed.held("job", 1).await;
    let before = bed.snapshot(&held.job).await;
    let unknown = bed.finish(held.finish(0, bed.attempt(), completed(json!(1)))).await;
    assert_eq!(unknown, refused(Refusal::Lost), "no such attempt");
    let nobody = Held { job: id("nobody"), fence: held.fence };
    let unknown = bed.finish(nobody.finish(0, bed.attempt(), completed(json!(1)))).await;
    assert_eq!(unknown, refused(Refusal::Lost), "no such job");
    assert_eq!(bed.snapshot(&held.job).await, before);
}

pub(super) async fn each_finish_of_a_batch_gets_its_own_answer_in_order(bed: Bed) {
    let held = bed.held("job", 3).await;
    let (cancelled, late) = bed.over("cancelled", JobStatus::Cancelled).await;
    let attempts = [bed.begun(&held, 0).await, bed.begun(&held, 1).await, bed.begun(&held, 2).await];
    let finishes = [
        held.finish(2, attempts[2], failed(true)),
        cancelled.finish(0, late, completed(json!("late"))),
        held.finish(0, bed.attempt(), completed(json!("nobody's"))),
        held.finish(0, attempts[0], completed(json!(0))),
        held.stale().finish(1, attempts[1], completed(json!(1))),
    ];
    let outcomes = bed.store.finish(&finishes).await.unwrap();
    let expected = [
        FinishOutcome::Finished,
        refused(Refusal::Cancelled),
        refused(Refusal::Lost),
        FinishOutcome::Finished,
        refused(Refusal::Lost),
    ];
    assert_eq!(outcomes, expected);
    let statuses: Vec<_> = bed.get(&held.job).await.executions.iter().map(|row| row.status).collect();
    assert_eq!(statuses, [ExecutionStatus::Completed, ExecutionStatus::Running, ExecutionStatus::Queued]);
}
