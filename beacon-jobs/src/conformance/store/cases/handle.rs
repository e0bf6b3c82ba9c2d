use serde_json::json;

use super::super::bed::Bed;
use super::super::words::*;
use crate::id::AttemptId;
use crate::job::{ExecutionStatus, JobStatus};
use crate::stop::{SealedBy, StopState};
use crate::store::{Refusal, SaveOutcome};

const LOST: SaveOutcome = SaveOutcome::Refused(Refusal::Lost);
const CANCELLED: SaveOutcome = SaveOutcome::Refused(Refusal::Cancelled);

/// Shows that a refused save is on record and that its stop is due.
async fn is_recorded_and_stopped(bed: &Bed, attempt: AttemptId, name: &str) {
    let item = bed.due_stop(attempt).await.expect("the refusal requests the stop");
    assert_eq!((item.handle, item.state), (Some(handle(name)), StopState::Requested));
}

pub(super) async fn a_save_grants_the_permit_and_the_execution_runs(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.started(&held, 0).await;
    assert_eq!(bed.save(held.save(0, attempt, &handle("a"))).await, SaveOutcome::Granted);
    assert_eq!(bed.execution_status(&held.job, 0).await, ExecutionStatus::Running);
    assert_eq!(bed.due().await, []);
}

pub(super) async fn the_same_save_again_gives_the_same_answer(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    let before = bed.snapshot(&held.job).await;
    assert_eq!(bed.save(held.save(0, attempt, &handle("first"))).await, SaveOutcome::Granted);
    assert_eq!(bed.snapshot(&held.job).await, before);
}

pub(super) async fn a_saved_handle_reaches_who_takes_the_job_over(bed: Bed) {
    let first = bed.held("job", 1).await;
    let attempt = bed.begun(&first, 0).await;
    bed.end(first.fence.incarnation).await;
    let taken = bed.take_over(bed.node().await, &[]).await.remove(0);
    assert_eq!(taken.executions[0].status, ExecutionStatus::Running);
    let past = taken.executions[0].last_attempt.as_ref().expect("the attempt is known");
    assert_eq!((past.id, past.number, past.stop), (attempt, 1, StopState::NotNeeded));
    assert_eq!(past.handle, Some(handle("first")));
}

/// Re-attaching saves nothing anew, but a runner may repeat the save of what it took over.
pub(super) async fn a_new_holder_may_save_for_the_current_attempt(bed: Bed) {
    let first = bed.held("job", 1).await;
    let attempt = bed.begun(&first, 0).await;
    let second = bed.successor(&first).await;
    assert_eq!(bed.save(second.save(0, attempt, &handle("first"))).await, SaveOutcome::Granted);
}

pub(super) async fn a_save_after_a_cancel_is_refused_recorded_and_stopped(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.started(&held, 0).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    assert_eq!(bed.save(held.save(0, attempt, &handle("late"))).await, CANCELLED);
    is_recorded_and_stopped(&bed, attempt, "late").await;
    assert_eq!(bed.execution_status(&held.job, 0).await, ExecutionStatus::Cancelled);
}

pub(super) async fn a_refused_save_again_gives_the_same_answer(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.started(&held, 0).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    assert_eq!(bed.save(held.save(0, attempt, &handle("late"))).await, CANCELLED);
    let before = bed.snapshot(&held.job).await;
    assert_eq!(bed.save(held.save(0, attempt, &handle("late"))).await, CANCELLED);
    assert_eq!(bed.snapshot(&held.job).await, before);
}

pub(super) async fn a_save_in_a_job_that_timed_out_is_refused_recorded_and_stopped(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.started(&held, 0).await;
    bed.finish_job(&held.time_out()).await;
    let outcome = bed.save(held.save(0, attempt, &handle("late"))).await;
    assert_eq!(outcome, SaveOutcome::Refused(Refusal::Finished));
    is_recorded_and_stopped(&bed, attempt, "late").await;
}

/// The attempt had not begun when its job completed without it: it must not begin now.
pub(super) async fn a_save_in_a_job_that_has_its_outcome_is_refused_recorded_and_stopped(bed: Bed) {
    for (name, status) in [("a", JobStatus::Completed), ("b", JobStatus::Failed)] {
        let (held, attempt) = bed.over(name, status).await;
        let outcome = bed.save(held.save(0, attempt, &handle("late"))).await;
        assert_eq!(outcome, SaveOutcome::Refused(Refusal::Finished));
        is_recorded_and_stopped(&bed, attempt, "late").await;
        assert_eq!(bed.status(&held.job).await, status);
    }
}

pub(super) async fn a_save_under_a_stale_fence_is_refused_recorded_and_stopped(bed: Bed) {
    let first = bed.held("job", 1).await;
    let attempt = bed.started(&first, 0).await;
    let second = bed.successor(&first).await;
    assert_eq!(bed.save(first.save(0, attempt, &handle("late"))).await, LOST);
    is_recorded_and_stopped(&bed, attempt, "late").await;
    // Its stop is requested: nobody gets the permit for it any more.
    assert_eq!(bed.save(second.save(0, attempt, &handle("late"))).await, LOST);
}

pub(super) async fn a_save_in_a_job_that_was_given_back_is_refused_recorded_and_stopped(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.started(&held, 0).await;
    let release = crate::store::Release { fence: held.fence, job: held.job.clone(), sealed: vec![] };
    assert!(bed.store.release(&release).await.unwrap());
    assert_eq!(bed.save(held.save(0, attempt, &handle("late"))).await, LOST);
    is_recorded_and_stopped(&bed, attempt, "late").await;
}

pub(super) async fn a_late_save_of_an_older_attempt_does_not_touch_the_newer(bed: Bed) {
    let held = bed.held("job", 1).await;
    let first = bed.started(&held, 0).await;
    bed.finish(held.finish(0, first, failed(true))).await;
    bed.record(first, None, unconfirmed(true, false)).await;
    let second = bed.started(&held, 0).await;

    assert_eq!(bed.save(held.save(0, first, &handle("of the first"))).await, LOST);

    assert_eq!(bed.execution_status(&held.job, 0).await, ExecutionStatus::Starting);
    assert_eq!(bed.save(held.save(0, second, &handle("of the second"))).await, SaveOutcome::Granted);
    let again = bed.take_over(held.fence.incarnation, &[]).await.remove(0);
    let past = again.executions[0].last_attempt.as_ref().expect("the attempt is known");
    assert_eq!((past.id, &past.handle), (second, &Some(handle("of the second"))));
}

pub(super) async fn a_save_of_an_attempt_that_has_completed_is_refused_recorded_and_stopped(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.started(&held, 0).await;
    bed.finish(held.finish(0, attempt, completed(json!(1)))).await;
    assert_eq!(bed.save(held.save(0, attempt, &handle("late"))).await, LOST);
    is_recorded_and_stopped(&bed, attempt, "late").await;
    assert_eq!(bed.execution_status(&held.job, 0).await, ExecutionStatus::Completed);
}

pub(super) async fn a_save_for_what_does_not_exist_is_refused(bed: Bed) {
    let held = bed.held("job", 1).await;
    let before = bed.snapshot(&held.job).await;
    assert_eq!(bed.save(held.save(0, bed.attempt(), &handle("a"))).await, LOST, "no such attempt");
    let nobody = Held { job: id("nobody"), fence: held.fence };
    assert_eq!(bed.save(nobody.save(0, bed.attempt(), &handle("a"))).await, LOST, "no such job");
    assert_eq!(bed.snapshot(&held.job).await, before);
}

/// The attempt was shown to have ended, or never to have begun; then a handle turns up after all.
pub(super) async fn a_late_handle_reopens_a_confirmed_stop_and_says_so(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.started(&held, 0).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    bed.seal(attempt, SealedBy::Time).await;
    let state = bed.record(attempt, Some(SealedBy::Time), ended()).await;
    assert_eq!(state, Some(StopState::Confirmed));

    assert_eq!(bed.save(held.save(0, attempt, &handle("late"))).await, CANCELLED);

    is_recorded_and_stopped(&bed, attempt, "late").await;
    let stop = bed.execution(&held.job, 0).await.stop.expect("the stop is shown");
    assert_eq!((stop.state, stop.confirmed_at), (StopState::Requested, None));
    assert!(stop.why.is_some(), "it says why it is open again");
    assert_eq!(bed.get(&held.job).await.stops.open, 1);
}

/// A stop that was given up without a handle can be driven once there is one.
pub(super) async fn a_late_handle_reopens_a_stop_that_was_settled_unconfirmed(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.started(&held, 0).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    bed.record(attempt, None, unconfirmed(true, false)).await;
    assert_eq!(bed.due().await, []);

    assert_eq!(bed.save(held.save(0, attempt, &handle("late"))).await, CANCELLED);

    is_recorded_and_stopped(&bed, attempt, "late").await;
    assert_eq!(bed.get(&held.job).await.stops.open, 1);
}

pub(super) async fn a_handle_known_before_does_not_reopen_a_confirmed_stop(bed: Bed) {
    let (held, attempt) = bed.over("job", JobStatus::Cancelled).await;
    bed.confirm(attempt).await;
    let before = bed.snapshot(&held.job).await;
    assert_eq!(bed.save(held.save(0, attempt, &handle("first"))).await, CANCELLED);
    assert_eq!(bed.snapshot(&held.job).await, before);
}

pub(super) async fn a_handle_makes_a_stop_that_waits_for_it_due_at_once(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.started(&held, 0).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    assert_eq!(bed.take_stops(HOUR, 10).await.len(), 1);
    assert_eq!(bed.save(held.save(0, attempt, &handle("late"))).await, CANCELLED);
    is_recorded_and_stopped(&bed, attempt, "late").await;
}

pub(super) async fn each_save_of_a_batch_gets_its_own_answer_in_order(bed: Bed) {
    let held = bed.held("job", 2).await;
    let (cancelled, late) = bed.over("cancelled", JobStatus::Cancelled).await;
    let (first, second) = (bed.started(&held, 0).await, bed.started(&held, 1).await);
    let saves = [
        held.save(1, second, &handle("b")),
        cancelled.save(0, late, &handle("late")),
        held.save(0, bed.attempt(), &handle("nobody's")),
        held.save(0, first, &handle("a")),
    ];
    let outcomes = bed.store.save_handles(&saves).await.unwrap();
    assert_eq!(outcomes, [SaveOutcome::Granted, CANCELLED, LOST, SaveOutcome::Granted]);
    bed.finish(held.finish(0, first, completed(json!(1)))).await;
    bed.finish(held.finish(1, second, failed(false))).await;
    assert_eq!(bed.due_stop(second).await.expect("it failed").handle, Some(handle("b")));
    assert_eq!(bed.due_stop(late).await.expect("it was cancelled").handle, Some(handle("late")));
}
