use std::time::Duration;

use serde_json::json;

use super::super::bed::Bed;
use super::super::words::*;
use crate::id::{AttemptId, IncarnationId, RandomIds};
use crate::job::JobStatus;
use crate::stop::{SealedBy, StopState};
use crate::store::{HostBound, StopAnswer, StopUpdate, TakeStops};

/// A cancelled attempt whose stop is open, and its job.
async fn open(bed: &Bed) -> (Held, AttemptId) {
    bed.over("job", JobStatus::Cancelled).await
}

fn why() -> StopAnswer {
    StopAnswer::Nothing { why: "connection refused".to_owned() }
}

pub(super) async fn stops_go_to_who_has_their_executor(bed: Bed) {
    let (_, attempt) = open(&bed).await;
    let take = |executors: &[&str]| TakeStops {
        incarnation: IncarnationId::mint(&RandomIds),
        executors: executors.iter().map(|&name| name.to_owned()).collect(),
        host_bound: HostBound::default(),
        hold: Duration::ZERO,
        limit: 10,
    };
    assert_eq!(bed.store.take_stops(&take(&["modal"])).await.unwrap(), []);
    assert_eq!(bed.store.take_stops(&take(&[])).await.unwrap(), []);
    let taken = bed.store.take_stops(&take(&["modal", DOUBLE])).await.unwrap();
    assert_eq!(taken.iter().map(|item| item.attempt).collect::<Vec<_>>(), [attempt]);
}

pub(super) async fn a_stop_that_was_taken_is_left_alone_until_its_hold_is_over(bed: Bed) {
    let (_, attempt) = open(&bed).await;
    assert_eq!(bed.take_stops(HOUR, 10).await.len(), 1);
    bed.pass(INSTANT).await;
    assert_eq!(bed.due().await, []);
    // A driver that dies: what it held becomes due again.
    bed.seal(attempt, SealedBy::Ended).await;
    assert_eq!(bed.take_stops(INSTANT, 10).await.len(), 1);
    while bed.due().await.is_empty() {
        bed.pass(INSTANT).await;
    }
}

pub(super) async fn no_more_stops_are_taken_than_asked_for(bed: Bed) {
    let held = bed.held("job", 5).await;
    for index in 0..5 {
        bed.started(&held, index).await;
    }
    opened(bed.cancel(&held.job, &by_alice()).await);
    let mut taken = Vec::new();
    for expected in [2, 2, 1, 0] {
        let items = bed.take_stops(HOUR, 2).await;
        assert_eq!(items.len(), expected);
        taken.extend(items.iter().map(|item| item.attempt));
    }
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), 5, "each once");
}

/// Else some would never be driven while there are more than are taken at a time.
pub(super) async fn the_stop_that_is_due_longest_is_taken_first(bed: Bed) {
    let held = bed.held("job", 3).await;
    let mut attempts = Vec::new();
    for index in [1, 2, 0] {
        let attempt = bed.started(&held, index).await;
        bed.finish(held.finish(index, attempt, failed(false))).await;
        attempts.push(attempt);
        bed.pass(INSTANT).await;
    }
    // The first of them is put off: now it is due after the others.
    bed.record(attempts[0], None, why()).await;
    bed.pass(INSTANT).await;
    for expected in [attempts[1], attempts[2], attempts[0]] {
        let items = bed.take_stops(HOUR, 1).await;
        assert_eq!(items.iter().map(|item| item.attempt).collect::<Vec<_>>(), [expected]);
    }
}

pub(super) async fn evidence_of_a_sealed_attempt_confirms(bed: Bed) {
    let (held, attempt) = open(&bed).await;
    bed.seal(attempt, SealedBy::Ended).await;
    let seen = bed.due_stop(attempt).await.expect("it is due").sealed;

    assert_eq!(bed.record(attempt, seen, ended()).await, Some(StopState::Confirmed));

    let stop = bed.execution(&held.job, 0).await.stop.expect("the stop is shown");
    assert_eq!((stop.state, stop.why), (StopState::Confirmed, None));
    assert!(stop.confirmed_at.is_some_and(|at| at >= stop.requested_at));
    let evidence = stop.evidence.expect("a confirmed stop has evidence");
    assert_eq!((&evidence["exit_code"], &evidence["sealed_by"]), (&json!(143), &json!("ended")));
    assert_eq!(bed.due().await, [], "nobody asks again");
    let stops = bed.get(&held.job).await.stops;
    assert_eq!((stops.confirmed, stops.open), (1, 0));
}

pub(super) async fn evidence_of_an_attempt_that_is_not_sealed_does_not_confirm(bed: Bed) {
    let (held, attempt) = open(&bed).await;
    assert_eq!(bed.record(attempt, None, ended()).await, Some(StopState::Acknowledged));
    let stop = bed.execution(&held.job, 0).await.stop.expect("the stop is shown");
    assert_eq!((stop.state, stop.confirmed_at), (StopState::Acknowledged, None));
    assert!(bed.due_stop(attempt).await.is_some(), "it is asked again");
}

/// The call that brought the evidence began before the seal: a request may have come after it.
pub(super) async fn a_seal_set_while_the_call_was_under_way_does_not_count(bed: Bed) {
    let (_, attempt) = open(&bed).await;
    let seen = bed.due_stop(attempt).await.expect("it is due").sealed;
    assert_eq!(seen, None);
    bed.seal(attempt, SealedBy::Minter).await;
    let update = StopUpdate { due_in: HOUR, ..update(attempt, seen, ended()) };
    let state = bed.store.record_stops(&[update]).await.unwrap();
    assert_eq!(state, [Some(StopState::Acknowledged)]);
    let item = bed.due_stop(attempt).await.expect("the next call may confirm: it is due at once");
    assert_eq!(bed.record(attempt, item.sealed, ended()).await, Some(StopState::Confirmed));
}

pub(super) async fn a_seal_that_has_changed_since_it_was_seen_does_not_count(bed: Bed) {
    let (_, attempt) = open(&bed).await;
    bed.seal(attempt, SealedBy::Time).await;
    bed.seal(attempt, SealedBy::Minter).await;
    let state = bed.record(attempt, Some(SealedBy::Time), ended()).await;
    assert_eq!(state, Some(StopState::Acknowledged));
}

pub(super) async fn a_seal_that_was_never_set_does_not_count(bed: Bed) {
    let (_, attempt) = open(&bed).await;
    let state = bed.record(attempt, Some(SealedBy::Minter), ended()).await;
    assert_eq!(state, Some(StopState::Acknowledged));
}

pub(super) async fn a_stop_that_itself_seals_confirms(bed: Bed) {
    let (held, attempt) = open(&bed).await;
    let answer = StopAnswer::Ended { evidence: json!({ "calls": [] }), seals: true };
    assert_eq!(bed.record(attempt, None, answer).await, Some(StopState::Confirmed));
    let evidence = bed.execution(&held.job, 0).await.stop.and_then(|stop| stop.evidence);
    assert_eq!(evidence.expect("there is evidence")["sealed_by"], "stop");
}

pub(super) async fn evidence_of_any_form_tells_what_its_seal_rests_on(bed: Bed) {
    let (held, attempt) = open(&bed).await;
    let answer = StopAnswer::Ended { evidence: json!(["gone"]), seals: true };
    bed.record(attempt, None, answer).await;
    let evidence = bed.execution(&held.job, 0).await.stop.and_then(|stop| stop.evidence);
    let evidence = evidence.expect("there is evidence");
    assert_eq!(evidence["sealed_by"], "stop");
    assert!(evidence.to_string().contains(r#"["gone"]"#), "{evidence}");
}

pub(super) async fn nothing_that_a_stop_call_brings_takes_a_confirmation_back(bed: Bed) {
    let (held, attempt) = open(&bed).await;
    bed.confirm(attempt).await;
    let before = bed.snapshot(&held.job).await;
    for answer in [why(), acknowledged(), unconfirmed(true, true), unconfirmed(false, false), ended()] {
        let state = bed.record(attempt, Some(SealedBy::Minter), answer).await;
        assert_eq!(state, Some(StopState::Confirmed));
        assert_eq!(bed.snapshot(&held.job).await, before);
    }
}

pub(super) async fn an_acknowledged_stop_shows_what_is_known_and_is_asked_again(bed: Bed) {
    let (held, attempt) = open(&bed).await;
    assert_eq!(bed.record(attempt, None, acknowledged()).await, Some(StopState::Acknowledged));
    let stop = bed.execution(&held.job, 0).await.stop.expect("the stop is shown");
    assert_eq!((stop.state, stop.evidence), (StopState::Acknowledged, Some(json!({ "asked": true }))));
    let item = bed.due_stop(attempt).await.expect("it is asked again");
    assert_eq!((item.state, item.tries), (StopState::Acknowledged, 1));
}

pub(super) async fn what_the_last_answer_showed_comes_with_the_stop(bed: Bed) {
    let (held, attempt) = open(&bed).await;
    let shown = async || bed.due_stop(attempt).await.expect("it is asked again").evidence;
    assert_eq!(shown().await, None);
    bed.record(attempt, None, acknowledged()).await;
    // Neither of these shows anything.
    for answer in [why(), unconfirmed(false, true)] {
        assert_eq!(shown().await, Some(json!({ "asked": true })));
        bed.record(attempt, None, answer).await;
    }
    let harsher = escalation(bed.cancel(&held.job, &by_alice().immediate()).await);
    let hastened = harsher.expect("it is harsher").hastened;
    assert_eq!(hastened[0].evidence, Some(json!({ "asked": true })));
    // Not sealed, so that it stays open.
    bed.record(attempt, None, ended()).await;
    assert_eq!(shown().await, Some(json!({ "exit_code": 143 })));
}

/// Two nodes ask at once, and each sees something else.
pub(super) async fn what_another_call_showed_meanwhile_is_not_overwritten_and_holds_a_confirmation_back(
    bed: Bed,
) {
    let (held, attempt) = open(&bed).await;
    bed.seal(attempt, SealedBy::Minter).await;
    let read = bed.due_stop(attempt).await.expect("it is due");
    let answer = |tries, answer| {
        let update = update(attempt, read.sealed, answer);
        [StopUpdate { seen_tries: Some(tries), due_in: HOUR, ..update }]
    };
    let seen = |container: &str| json!({ "containers": [container] });
    let first = StopAnswer::Acknowledged { evidence: seen("c-1") };
    bed.store.record_stops(&answer(read.tries, first)).await.unwrap();
    let late = [
        StopAnswer::Acknowledged { evidence: seen("c-2") },
        StopAnswer::Ended { evidence: seen("c-2"), seals: false },
        StopAnswer::Ended { evidence: seen("c-2"), seals: true },
        unconfirmed(false, true),
        StopAnswer::Unconfirmed {
            why: String::new(),
            evidence: Some(seen("c-2")),
            settled: false,
            again: true,
        },
    ];
    for late in late {
        bed.store.record_stops(&answer(read.tries, late.clone())).await.unwrap();
        assert_ne!(bed.stop(&held.job, 0).await, Some(StopState::Confirmed), "{late:?}");
        let item = bed.due_stop(attempt).await.expect("it is due at once");
        assert_eq!((item.tries, item.evidence), (1, Some(seen("c-1"))), "{late:?} is not counted");
    }
    let read = bed.due_stop(attempt).await.expect("it is due");
    let ended = StopAnswer::Ended { evidence: json!({ "containers": ["c-1", "c-2"] }), seals: false };
    let states = bed.store.record_stops(&answer(read.tries, ended)).await.unwrap();
    assert_eq!(states, [Some(StopState::Confirmed)]);
}

pub(super) async fn what_is_known_is_kept_when_a_stop_is_shown_as_unconfirmed(bed: Bed) {
    let (held, attempt) = open(&bed).await;
    let evidence = json!({ "containers": ["c-1"] });
    let why = "it takes too long".to_owned();
    let answer =
        StopAnswer::Unconfirmed { why, evidence: Some(evidence.clone()), settled: false, again: true };
    bed.record(attempt, None, answer).await;
    assert_eq!(bed.due_stop(attempt).await.expect("it is asked again").evidence, Some(evidence.clone()));
    let stop = bed.execution(&held.job, 0).await.stop.expect("the stop is shown");
    assert_eq!(stop.evidence, Some(evidence));
}

pub(super) async fn a_call_without_an_answer_is_counted_and_told(bed: Bed) {
    let (held, attempt) = open(&bed).await;
    for tries in 1..=3 {
        assert_eq!(bed.record(attempt, None, why()).await, Some(StopState::Requested));
        assert_eq!(bed.due_stop(attempt).await.expect("it is asked again").tries, tries);
    }
    let stop = bed.execution(&held.job, 0).await.stop.expect("the stop is shown");
    assert_eq!(stop.why.as_deref(), Some("connection refused"));
}

pub(super) async fn an_open_stop_is_due_again_when_the_driver_said(bed: Bed) {
    let (_, attempt) = open(&bed).await;
    for answer in [why(), acknowledged(), ended(), unconfirmed(false, true)] {
        let update = |due_in| StopUpdate { due_in, ..update(attempt, None, answer.clone()) };
        bed.store.record_stops(&[update(HOUR)]).await.unwrap();
        bed.pass(INSTANT).await;
        assert_eq!(bed.due().await, [], "{answer:?}");
        bed.store.record_stops(&[update(INSTANT)]).await.unwrap();
        while bed.due().await.is_empty() {
            bed.pass(INSTANT).await;
        }
    }
}

pub(super) async fn an_unconfirmed_stop_may_still_be_asked_and_confirmed(bed: Bed) {
    let (held, attempt) = open(&bed).await;
    bed.seal(attempt, SealedBy::Minter).await;
    let state = bed.record(attempt, Some(SealedBy::Minter), unconfirmed(false, true)).await;
    assert_eq!(state, Some(StopState::Unconfirmed));
    let detail = bed.get(&held.job).await;
    assert_eq!((detail.stops.unconfirmed, detail.stops.open), (1, 1), "it is not settled");
    let stop = detail.executions[0].stop.as_ref().expect("the stop is shown");
    assert_eq!(stop.why.as_deref(), Some("the provider cannot say"));
    assert!(bed.due_stop(attempt).await.is_some());
    let state = bed.record(attempt, Some(SealedBy::Minter), acknowledged()).await;
    assert_eq!(state, Some(StopState::Unconfirmed), "shown as unconfirmed until it is confirmed");
    let state = bed.record(attempt, Some(SealedBy::Minter), ended()).await;
    assert_eq!(state, Some(StopState::Confirmed));
}

pub(super) async fn a_settled_stop_counts_as_over_and_is_asked_again_only_if_that_was_said(bed: Bed) {
    let held = bed.held("job", 2).await;
    let (asked, left) = (bed.begun(&held, 0).await, bed.begun(&held, 1).await);
    opened(bed.cancel(&held.job, &by_alice()).await);
    bed.record(asked, None, unconfirmed(true, true)).await;
    bed.record(left, None, unconfirmed(true, false)).await;
    let stops = bed.get(&held.job).await.stops;
    assert_eq!((stops.unconfirmed, stops.open), (2, 0));
    assert!(bed.due_stop(asked).await.is_some());
    assert!(bed.due_stop(left).await.is_none());
    bed.seal(asked, SealedBy::Minter).await;
    let state = bed.record(asked, Some(SealedBy::Minter), ended()).await;
    assert_eq!(state, Some(StopState::Confirmed), "better news is taken");
}

pub(super) async fn an_attempt_that_nobody_asked_to_stop_is_not_confirmed(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    let answer = StopAnswer::Ended { evidence: json!({}), seals: true };
    assert_eq!(bed.record(attempt, None, answer).await, Some(StopState::NotNeeded));
    assert_eq!(bed.stop(&held.job, 0).await, None);
    assert_eq!(bed.record(bed.attempt(), None, ended()).await, None, "an unknown one");
}

pub(super) async fn each_answer_of_a_batch_is_recorded_in_order(bed: Bed) {
    let held = bed.held("job", 3).await;
    let attempts = [bed.begun(&held, 0).await, bed.begun(&held, 1).await, bed.started(&held, 2).await];
    opened(bed.cancel(&held.job, &by_alice()).await);
    bed.seal(attempts[1], SealedBy::Minter).await;
    let states = bed
        .store
        .record_stops(&[
            update(attempts[2], None, why()),
            update(bed.attempt(), None, ended()),
            update(attempts[1], Some(SealedBy::Minter), ended()),
            update(attempts[0], None, acknowledged()),
            update(attempts[1], Some(SealedBy::Minter), acknowledged()),
        ])
        .await
        .unwrap();
    let expected = [
        Some(StopState::Requested),
        None,
        Some(StopState::Confirmed),
        Some(StopState::Acknowledged),
        Some(StopState::Confirmed),
    ];
    assert_eq!(states, expected);
}
