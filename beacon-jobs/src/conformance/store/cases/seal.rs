use super::super::bed::Bed;
use super::super::words::*;
use crate::id::AttemptId;
use crate::job::JobStatus;
use crate::stop::{SealedBy, StopState};
use crate::store::{FinishExecution, Release, Seal};

/// A cancelled attempt whose stop is open, and its job.
async fn open(bed: &Bed) -> (Held, AttemptId) {
    bed.over("job", JobStatus::Cancelled).await
}

async fn sealed(bed: &Bed, attempt: AttemptId) -> Option<SealedBy> {
    bed.due_stop(attempt).await.expect("the stop is due").sealed
}

pub(super) async fn a_seal_makes_an_open_stop_due_at_once(bed: Bed) {
    let (_, attempt) = open(&bed).await;
    assert_eq!(bed.take_stops(HOUR, 10).await.len(), 1);
    assert_eq!(bed.due().await, []);
    bed.seal(attempt, SealedBy::Ended).await;
    assert_eq!(sealed(&bed, attempt).await, Some(SealedBy::Ended));
}

pub(super) async fn the_same_seal_again_changes_nothing(bed: Bed) {
    let (_, attempt) = open(&bed).await;
    bed.seal(attempt, SealedBy::Minter).await;
    bed.take_stops(HOUR, 10).await;
    bed.seal(attempt, SealedBy::Minter).await;
    assert_eq!(bed.due().await, [], "it is still held back");
}

pub(super) async fn the_strongest_seal_stays(bed: Bed) {
    let (_, attempt) = open(&bed).await;
    bed.seal(attempt, SealedBy::Time).await;
    assert_eq!(sealed(&bed, attempt).await, Some(SealedBy::Time));
    bed.seal(attempt, SealedBy::Ended).await;
    assert_eq!(sealed(&bed, attempt).await, Some(SealedBy::Ended), "stronger than time");
    bed.seal(attempt, SealedBy::Time).await;
    assert_eq!(sealed(&bed, attempt).await, Some(SealedBy::Ended), "time is weaker");
}

pub(super) async fn a_seal_alone_requests_no_stop(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    bed.seal(attempt, SealedBy::Minter).await;
    assert_eq!(bed.due().await, []);
    assert_eq!(bed.stop(&held.job, 0).await, None);
    let items = opened(bed.cancel(&held.job, &by_alice()).await);
    assert_eq!(items[0].sealed, Some(SealedBy::Minter), "it counts when a stop is requested later");
}

pub(super) async fn unknown_attempts_are_passed_over(bed: Bed) {
    let (_, attempt) = open(&bed).await;
    let seal = |attempt| Seal { attempt, by: SealedBy::Minter };
    bed.store.seal(&[seal(bed.attempt()), seal(attempt), seal(bed.attempt())]).await.unwrap();
    assert_eq!(sealed(&bed, attempt).await, Some(SealedBy::Minter));
}

pub(super) async fn a_seal_needs_no_fence(bed: Bed) {
    let first = bed.held("job", 1).await;
    let attempt = bed.begun(&first, 0).await;
    let second = bed.successor(&first).await;
    bed.finish(second.finish(0, attempt, failed(false))).await;
    // Any node may find that the minter has ended; the minter may come back and say so itself.
    bed.seal(attempt, SealedBy::Ended).await;
    assert_eq!(sealed(&bed, attempt).await, Some(SealedBy::Ended));
}

pub(super) async fn a_minter_that_comes_back_after_a_seal_by_time_reopens_what_was_confirmed(bed: Bed) {
    let (held, attempt) = open(&bed).await;
    bed.seal(attempt, SealedBy::Time).await;
    assert_eq!(bed.record(attempt, Some(SealedBy::Time), ended()).await, Some(StopState::Confirmed));

    bed.seal(attempt, SealedBy::Minter).await;

    let stop = bed.execution(&held.job, 0).await.stop.expect("the stop is shown");
    assert_eq!((stop.state, stop.confirmed_at), (StopState::Requested, None));
    assert!(stop.why.is_some(), "it says why it is open again");
    assert_eq!(sealed(&bed, attempt).await, Some(SealedBy::Minter));
    assert_eq!(bed.record(attempt, Some(SealedBy::Minter), ended()).await, Some(StopState::Confirmed));
}

pub(super) async fn a_later_proof_of_the_minters_end_does_not_reopen_what_was_confirmed(bed: Bed) {
    let (held, attempt) = open(&bed).await;
    bed.seal(attempt, SealedBy::Time).await;
    bed.record(attempt, Some(SealedBy::Time), ended()).await;
    bed.seal(attempt, SealedBy::Ended).await;
    assert_eq!(bed.stop(&held.job, 0).await, Some(StopState::Confirmed));
}

pub(super) async fn a_finish_may_seal(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    bed.finish(FinishExecution { sealed: true, ..held.finish(0, attempt, failed(false)) }).await;
    assert_eq!(sealed(&bed, attempt).await, Some(SealedBy::Minter));
}

pub(super) async fn a_finish_that_does_not_seal_leaves_the_attempt_unsealed(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    bed.finish(held.finish(0, attempt, failed(false))).await;
    assert_eq!(sealed(&bed, attempt).await, None);
}

pub(super) async fn a_refused_finish_seals_all_the_same(bed: Bed) {
    let (held, attempt) = open(&bed).await;
    bed.finish(FinishExecution { sealed: true, ..held.finish(0, attempt, failed(false)) }).await;
    assert_eq!(sealed(&bed, attempt).await, Some(SealedBy::Minter));
}

pub(super) async fn a_release_seals_what_it_hands_over(bed: Bed) {
    let held = bed.held("job", 2).await;
    let (named, other) = (bed.begun(&held, 0).await, bed.begun(&held, 1).await);
    let release = Release { fence: held.fence, job: held.job.clone(), sealed: vec![named] };
    assert!(bed.store.release(&release).await.unwrap());
    opened(bed.cancel(&held.job, &by_alice()).await);
    assert_eq!(sealed(&bed, named).await, Some(SealedBy::Minter));
    assert_eq!(sealed(&bed, other).await, None);
}
