use super::super::bed::Bed;
use super::super::words::*;
use crate::cancel::CancelOutcome;
use crate::id::{AttemptId, IncarnationId, RandomIds};
use crate::job::{ExecutionStatus, JobStatus};
use crate::stop::{SealedBy, StopState};
use crate::store::{Fence, FinishOutcome, Refusal, SaveOutcome, StartOutcome};

const fn started(number: u32) -> StartOutcome {
    StartOutcome::Started { number }
}

const fn refused(refusal: Refusal) -> StartOutcome {
    StartOutcome::Refused(refusal)
}

/// Tries to start, and shows that a refusal left neither a change nor an attempt.
async fn refusal(bed: &Bed, held: &Held, index: u32) -> StartOutcome {
    let attempt = bed.attempt();
    let before = bed.snapshot(&held.job).await;
    let outcome = bed.start(held.start(index, attempt)).await;
    assert_eq!(bed.snapshot(&held.job).await, before);
    assert_eq!(bed.record(attempt, None, acknowledged()).await, None, "no attempt was added");
    outcome
}

pub(super) async fn the_barrier_moves_an_execution_from_queued_to_starting(bed: Bed) {
    let held = bed.held("job", 2).await;
    let outcome = bed.start(held.start(1, bed.attempt())).await;
    assert_eq!(outcome, started(1));
    let executions = bed.get(&held.job).await.executions;
    assert_eq!((executions[1].status, executions[1].attempt), (ExecutionStatus::Starting, 1));
    assert!(executions[1].started_at.is_some());
    assert_eq!((executions[0].status, executions[0].attempt), (ExecutionStatus::Queued, 0));
}

pub(super) async fn the_same_start_again_gives_the_same_answer(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.started(&held, 0).await;
    let before = bed.snapshot(&held.job).await;
    assert_eq!(bed.start(held.start(0, attempt)).await, started(1));
    assert_eq!(bed.snapshot(&held.job).await, before);
}

pub(super) async fn another_attempt_is_refused_while_one_is_under_way(bed: Bed) {
    let held = bed.held("job", 2).await;
    bed.started(&held, 0).await;
    bed.begun(&held, 1).await;
    assert_eq!(refusal(&bed, &held, 0).await, refused(Refusal::Lost), "starting");
    assert_eq!(refusal(&bed, &held, 1).await, refused(Refusal::Lost), "running");
}

pub(super) async fn what_does_not_exist_cannot_be_started(bed: Bed) {
    let held = bed.held("job", 1).await;
    assert_eq!(refusal(&bed, &held, 1).await, refused(Refusal::Lost), "no such execution");
    let nobody = Held { job: id("nobody"), fence: held.fence };
    assert_eq!(refusal(&bed, &nobody, 0).await, refused(Refusal::Lost), "no such job");
}

pub(super) async fn a_job_that_nobody_holds_starts_nothing(bed: Bed) {
    let job = bed.submit("job", 1).await;
    let fence = Fence { incarnation: bed.node().await, epoch: 0 };
    assert_eq!(refusal(&bed, &Held { job, fence }, 0).await, refused(Refusal::Lost));
}

pub(super) async fn a_stale_fence_starts_nothing(bed: Bed) {
    let first = bed.held("job", 1).await;
    let second = bed.again(&first).await;
    assert_eq!(refusal(&bed, &first, 0).await, refused(Refusal::Lost), "an older epoch");
    let newer = Fence { epoch: second.fence.epoch + 1, ..second.fence };
    let newer = Held { job: first.job.clone(), fence: newer };
    assert_eq!(refusal(&bed, &newer, 0).await, refused(Refusal::Lost), "an epoch that nobody was given");
    let other = Fence { incarnation: IncarnationId::mint(&RandomIds), ..second.fence };
    let other = Held { job: first.job.clone(), fence: other };
    assert_eq!(refusal(&bed, &other, 0).await, refused(Refusal::Lost), "another incarnation of this epoch");
    let third = bed.successor(&second).await;
    assert_eq!(refusal(&bed, &second, 0).await, refused(Refusal::Lost), "a node that lost the job");
    assert_eq!(bed.start(third.start(0, bed.attempt())).await, started(1));
}

pub(super) async fn nothing_starts_after_a_cancel(bed: Bed) {
    let held = bed.held("job", 2).await;
    let attempt = bed.started(&held, 0).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    assert_eq!(refusal(&bed, &held, 1).await, refused(Refusal::Cancelled), "a queued execution");
    let again = bed.start(held.start(0, attempt)).await;
    assert_eq!(again, refused(Refusal::Cancelled), "an attempt that passed the barrier before");
}

pub(super) async fn nothing_starts_in_a_job_that_has_its_outcome(bed: Bed) {
    for (name, status) in [("a", JobStatus::Completed), ("b", JobStatus::Failed)] {
        let (held, attempt) = bed.over(name, status).await;
        assert_eq!(refusal(&bed, &held, 0).await, refused(Refusal::Finished));
        assert_eq!(bed.start(held.start(0, attempt)).await, refused(Refusal::Finished));
    }
}

pub(super) async fn an_execution_that_has_its_outcome_is_not_started_again(bed: Bed) {
    let held = bed.held("job", 2).await;
    bed.ended(&held, 0, completed(serde_json::json!(1))).await;
    bed.ended(&held, 1, failed(false)).await;
    assert_eq!(refusal(&bed, &held, 0).await, refused(Refusal::Finished), "completed");
    assert_eq!(refusal(&bed, &held, 1).await, refused(Refusal::Finished), "failed");
}

pub(super) async fn a_retry_waits_until_the_older_stop_is_settled(bed: Bed) {
    let held = bed.held("job", 1).await;
    let first = bed.ended(&held, 0, failed(true)).await;
    assert_eq!(refusal(&bed, &held, 0).await, refused(Refusal::StopOpen), "requested");
    bed.record(first, None, acknowledged()).await;
    assert_eq!(refusal(&bed, &held, 0).await, refused(Refusal::StopOpen), "acknowledged");
    bed.record(first, None, unconfirmed(false, true)).await;
    assert_eq!(refusal(&bed, &held, 0).await, refused(Refusal::StopOpen), "unconfirmed, asked again");
    bed.confirm(first).await;
    assert_eq!(bed.start(held.start(0, bed.attempt())).await, started(2));
    assert_eq!(bed.execution(&held.job, 0).await.attempt, 2);
}

pub(super) async fn a_retry_goes_on_once_the_older_stop_is_declared_unconfirmable(bed: Bed) {
    let held = bed.held("job", 1).await;
    let first = bed.ended(&held, 0, failed(true)).await;
    bed.record(first, None, unconfirmed(true, true)).await;
    assert_eq!(bed.start(held.start(0, bed.attempt())).await, started(2));
}

pub(super) async fn a_retry_of_a_job_that_allows_overlap_does_not_wait(bed: Bed) {
    let mut spec = spec(1);
    spec.allow_overlap = true;
    let held = bed.held_spec("job", spec).await;
    let first = bed.ended(&held, 0, failed(true)).await;
    assert_eq!(bed.start(held.start(0, bed.attempt())).await, started(2));
    assert!(bed.due_stop(first).await.is_some(), "the older stop goes on");
}

/// The newest attempt has ended; an older one that was given up turns out to have a handle.
pub(super) async fn a_retry_waits_for_every_older_stop(bed: Bed) {
    let held = bed.held("job", 1).await;
    let first = bed.started(&held, 0).await;
    bed.finish(held.finish(0, first, failed(true))).await;
    bed.record(first, None, unconfirmed(true, false)).await;
    let second = bed.ended(&held, 0, failed(true)).await;
    bed.confirm(second).await;
    bed.save(held.save(0, first, &handle("late"))).await;
    assert_eq!(refusal(&bed, &held, 0).await, refused(Refusal::StopOpen));
    bed.confirm(first).await;
    assert_eq!(bed.start(held.start(0, bed.attempt())).await, started(3));
}

pub(super) async fn the_start_of_an_attempt_that_has_ended_is_not_repeated(bed: Bed) {
    let held = bed.held("job", 1).await;
    let first = bed.ended(&held, 0, failed(true)).await;
    bed.confirm(first).await;
    let before = bed.snapshot(&held.job).await;
    assert_eq!(bed.start(held.start(0, first)).await, refused(Refusal::Lost));
    assert_eq!(bed.snapshot(&held.job).await, before);
}

pub(super) async fn a_start_is_not_repeated_once_its_stop_is_requested(bed: Bed) {
    let first = bed.held("job", 1).await;
    let attempt = bed.started(&first, 0).await;
    let second = bed.again(&first).await;
    let stale = bed.save(first.save(0, attempt, &handle("late"))).await;
    assert_eq!(stale, SaveOutcome::Refused(Refusal::Lost));
    assert_eq!(bed.start(second.start(0, attempt)).await, refused(Refusal::Lost));
}

pub(super) async fn an_attempt_id_is_used_once(bed: Bed) {
    let held = bed.held("job", 3).await;
    let attempt = bed.started(&held, 0).await;
    bed.started(&held, 1).await;
    let before = bed.snapshot(&held.job).await;
    for other in [1, 2] {
        assert_eq!(bed.start(held.start(other, attempt)).await, refused(Refusal::Lost));
        assert_eq!(bed.snapshot(&held.job).await, before);
    }
}

pub(super) async fn each_start_of_a_batch_gets_its_own_answer_in_order(bed: Bed) {
    let held = bed.held("job", 4).await;
    let (cancelled, attempt) = bed.over("cancelled", JobStatus::Cancelled).await;
    bed.ended(&held, 0, failed(true)).await;
    let starts = [
        held.start(0, bed.attempt()),
        held.start(3, bed.attempt()),
        cancelled.start(0, attempt),
        held.start(1, bed.attempt()),
        held.start(1, bed.attempt()),
        held.start(9, bed.attempt()),
        held.stale().start(2, bed.attempt()),
    ];
    let outcomes = bed.store.start(&starts).await.unwrap();
    let expected = [
        refused(Refusal::StopOpen),
        started(1),
        refused(Refusal::Cancelled),
        started(1),
        refused(Refusal::Lost),
        refused(Refusal::Lost),
        refused(Refusal::Lost),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(bed.execution_status(&held.job, 2).await, ExecutionStatus::Queued);
}

pub(super) async fn an_empty_batch_is_answered_with_nothing(bed: Bed) {
    assert_eq!(bed.store.start(&[]).await.unwrap(), []);
    assert_eq!(bed.store.save_handles(&[]).await.unwrap(), []);
    assert_eq!(bed.store.finish(&[]).await.unwrap(), []);
    assert_eq!(bed.store.record_stops(&[]).await.unwrap(), []);
    bed.store.seal(&[]).await.unwrap();
}

/// The owner passes the barrier, the reply is lost, the job is cancelled: the owner seals what it
/// has no task for, and the stop can settle without a handle.
pub(super) async fn a_start_whose_reply_was_lost_does_not_leave_a_stop_open_for_ever(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.started(&held, 0).await;
    let items = opened(bed.cancel(&held.job, &by_alice()).await);
    assert_eq!(items[0].attempt, attempt);
    bed.seal(attempt, SealedBy::Minter).await;
    let item = bed.due_stop(attempt).await.expect("it is due");
    assert_eq!((item.handle, item.sealed), (None, Some(SealedBy::Minter)));
    assert_eq!(bed.record(attempt, item.sealed, ended()).await, Some(StopState::Confirmed));
}

pub(super) async fn an_owner_finds_what_it_started_when_it_takes_the_job_again(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt: AttemptId = bed.started(&held, 0).await;
    let again = bed.take_over(held.fence.incarnation, &[]).await.remove(0);
    assert_eq!(again.executions[0].status, ExecutionStatus::Starting);
    assert_eq!(again.executions[0].last_attempt.as_ref().map(|past| past.id), Some(attempt));
    let outcome = bed.finish(Held::from(again).finish(0, attempt, failed(true))).await;
    assert_eq!(outcome, FinishOutcome::Finished);
    assert!(matches!(bed.cancel(&held.job, &by_alice()).await, CancelOutcome::Cancelled { .. }));
}
