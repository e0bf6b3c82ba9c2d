use std::time::Duration;

use super::super::bed::Bed;
use super::super::words::*;
use crate::id::AttemptId;
use crate::job::{JobStatus, StopRecord};
use crate::stop::{SealedBy, StopState};
use crate::store::{StopAnswer, StopUpdate};

/// A cancelled attempt whose confirmation rests on time, and its job.
async fn confirmed_by_time(bed: &Bed) -> (Held, AttemptId) {
    let (held, attempt) = bed.over("job", JobStatus::Cancelled).await;
    bed.seal(attempt, SealedBy::Time).await;
    let state = bed.record(attempt, Some(SealedBy::Time), ended()).await;
    assert_eq!(state, Some(StopState::Confirmed));
    (held, attempt)
}

/// Records what a call brought that began after the confirmation.
async fn watch(bed: &Bed, attempt: AttemptId, seal: SealedBy, answer: StopAnswer) -> Option<StopState> {
    let update = StopUpdate { seen_confirmed: true, ..update(attempt, Some(seal), answer) };
    bed.store.record_stops(&[update]).await.unwrap()[0]
}

async fn stop(bed: &Bed, held: &Held) -> StopRecord {
    bed.execution(&held.job, 0).await.stop.expect("the stop is shown")
}

pub(super) async fn a_confirmation_that_rests_on_time_is_asked_again(bed: Bed) {
    let (held, attempt) = confirmed_by_time(&bed).await;
    assert_eq!(stop(&bed, &held).await.evidence.unwrap()["sealed_by"], "time");
    let stops = bed.get(&held.job).await.stops;
    assert_eq!((stops.confirmed, stops.open), (1, 0), "it is settled all the same");
    for tries in 1..=3 {
        let item = bed.due_stop(attempt).await.expect("it is watched");
        assert_eq!((item.state, item.sealed), (StopState::Confirmed, Some(SealedBy::Time)));
        assert_eq!(item.tries, tries);
        assert_eq!(watch(&bed, attempt, SealedBy::Time, ended()).await, Some(StopState::Confirmed));
    }
}

pub(super) async fn a_watch_without_an_answer_goes_on(bed: Bed) {
    let (held, attempt) = confirmed_by_time(&bed).await;
    let before = stop(&bed, &held).await;
    for answer in [StopAnswer::Nothing { why: "no answer".to_owned() }, unconfirmed(true, false)] {
        assert_eq!(watch(&bed, attempt, SealedBy::Time, answer).await, Some(StopState::Confirmed));
        assert_eq!(stop(&bed, &held).await, before);
        assert!(bed.due_stop(attempt).await.is_some());
    }
}

pub(super) async fn a_watch_ends_when_its_driver_says_so(bed: Bed) {
    let (_, attempt) = confirmed_by_time(&bed).await;
    let last = update(attempt, Some(SealedBy::Time), ended());
    bed.store.record_stops(&[StopUpdate { seen_confirmed: true, watch: false, ..last }]).await.unwrap();
    assert_eq!(bed.due().await, []);
}

/// What was shown under a seal by time is older than the proof: it is asked once more.
pub(super) async fn a_watch_ends_with_evidence_from_after_a_proof_of_the_minters_end(bed: Bed) {
    let (held, attempt) = confirmed_by_time(&bed).await;
    bed.seal(attempt, SealedBy::Ended).await;
    watch(&bed, attempt, SealedBy::Time, ended()).await;
    assert!(bed.due_stop(attempt).await.is_some(), "that call began before the proof");
    watch(&bed, attempt, SealedBy::Ended, ended()).await;
    assert_eq!(bed.due().await, []);
    assert_eq!(stop(&bed, &held).await.evidence.unwrap()["sealed_by"], "ended");
}

pub(super) async fn no_other_confirmation_is_watched(bed: Bed) {
    for (name, seal) in [("minter", SealedBy::Minter), ("ended", SealedBy::Ended)] {
        let (_, attempt) = bed.over(name, JobStatus::Cancelled).await;
        bed.seal(attempt, seal).await;
        bed.record(attempt, Some(seal), ended()).await;
        let nothing = StopAnswer::Nothing { why: "no answer".to_owned() };
        for answer in [nothing, ended()] {
            assert_eq!(watch(&bed, attempt, seal, answer).await, Some(StopState::Confirmed));
            assert_eq!(bed.due().await, []);
        }
    }
}

pub(super) async fn work_that_is_seen_alive_after_its_confirmation_opens_the_stop_again(bed: Bed) {
    let (held, attempt) = confirmed_by_time(&bed).await;
    let state = watch(&bed, attempt, SealedBy::Time, acknowledged()).await;
    assert_eq!(state, Some(StopState::Acknowledged));
    let record = stop(&bed, &held).await;
    assert_eq!((record.state, record.confirmed_at), (StopState::Acknowledged, None));
    assert!(record.why.is_some(), "it says why it is open again");
    assert_eq!(bed.get(&held.job).await.stops.open, 1);
    assert!(bed.due_stop(attempt).await.is_some());
    let state = bed.record(attempt, Some(SealedBy::Time), ended()).await;
    assert_eq!(state, Some(StopState::Confirmed));
}

pub(super) async fn a_job_whose_stop_is_watched_is_not_pruned(bed: Bed) {
    let (_, attempt) = confirmed_by_time(&bed).await;
    assert_eq!(bed.store.prune(Duration::ZERO, 10).await.unwrap(), 0);
    bed.seal(attempt, SealedBy::Ended).await;
    watch(&bed, attempt, SealedBy::Ended, ended()).await;
    assert_eq!(bed.store.prune(Duration::ZERO, 10).await.unwrap(), 1);
}
