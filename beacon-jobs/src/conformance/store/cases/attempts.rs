use serde_json::json;

use super::super::bed::Bed;
use super::super::words::*;
use crate::cancel::CancelOutcome;
use crate::job::{ExecutionStatus, StopCounts};
use crate::stop::{SealedBy, StopState};
use crate::store::SaveOutcome;

/// A job that allows overlap, with an execution whose first attempt failed and whose second runs.
async fn two_attempts(bed: &Bed) -> (Held, crate::AttemptId, crate::AttemptId) {
    let mut spec = spec(1);
    spec.allow_overlap = true;
    let held = bed.held_spec("job", spec).await;
    let first = bed.ended(&held, 0, failed(true)).await;
    let second = bed.started(&held, 0).await;
    let outcome = bed.save(held.save(0, second, &handle("second"))).await;
    assert_eq!(outcome, SaveOutcome::Granted);
    (held, first, second)
}

pub(super) async fn an_older_attempt_keeps_its_handle_and_its_stop_beside_a_newer(bed: Bed) {
    let (held, first, second) = two_attempts(&bed).await;
    assert_eq!(bed.due_stop(first).await.expect("it failed").handle, Some(handle("first")));
    assert_eq!(bed.due_stop(second).await, None);
    let items = opened(bed.cancel(&held.job, &by_alice()).await);
    assert_eq!(items.iter().map(|item| item.attempt).collect::<Vec<_>>(), [second], "the first's was open");
    let due: Vec<_> = bed.due().await.into_iter().map(|item| (item.attempt, item.handle)).collect();
    assert_eq!(due, [(first, Some(handle("first"))), (second, Some(handle("second")))]);
}

pub(super) async fn evidence_of_the_first_attempt_never_confirms_the_second(bed: Bed) {
    let (held, first, second) = two_attempts(&bed).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    bed.confirm(first).await;
    assert_eq!(bed.stop(&held.job, 0).await, Some(StopState::Requested));
    assert_eq!(bed.due().await.iter().map(|item| item.attempt).collect::<Vec<_>>(), [second]);
    bed.confirm(second).await;
    assert_eq!(bed.stop(&held.job, 0).await, Some(StopState::Confirmed));
}

pub(super) async fn an_execution_shows_its_least_settled_attempt(bed: Bed) {
    let (held, first, second) = two_attempts(&bed).await;
    assert_eq!(bed.stop(&held.job, 0).await, Some(StopState::Requested), "of the first, the second runs");
    opened(bed.cancel(&held.job, &by_alice()).await);
    bed.record(first, None, acknowledged()).await;
    assert_eq!(bed.stop(&held.job, 0).await, Some(StopState::Requested), "of the second");
    bed.confirm(second).await;
    assert_eq!(bed.stop(&held.job, 0).await, Some(StopState::Acknowledged), "of the first");
    let stops = bed.get(&held.job).await.stops;
    assert_eq!(stops, StopCounts { total: 1, acknowledged: 1, open: 1, ..StopCounts::default() });
}

/// Both are shown as unconfirmed; one is settled, the other is not.
pub(super) async fn an_open_stop_is_not_hidden_behind_a_settled_one(bed: Bed) {
    for settle_the_newer in [true, false] {
        let mut spec = spec(1);
        spec.allow_overlap = true;
        let name = if settle_the_newer { "newer" } else { "older" };
        let held = bed.held_spec(name, spec).await;
        let first = bed.ended(&held, 0, failed(true)).await;
        let second = bed.begun(&held, 0).await;
        opened(bed.cancel(&held.job, &by_alice()).await);
        let (settled, open) = if settle_the_newer { (second, first) } else { (first, second) };
        bed.record(settled, None, unconfirmed(true, false)).await;
        bed.record(open, None, unconfirmed(false, true)).await;
        let stops = bed.get(&held.job).await.stops;
        assert_eq!((stops.unconfirmed, stops.open), (1, 1), "{name}");
    }
    assert_eq!(bed.store.prune(std::time::Duration::ZERO, 10).await.unwrap(), 0, "none may be forgotten");
}

pub(super) async fn a_queued_retry_is_cancelled_and_its_older_stop_goes_on(bed: Bed) {
    let held = bed.held("job", 2).await;
    let first = bed.ended(&held, 0, failed(true)).await;

    let outcome = bed.cancel(&held.job, &by_alice()).await;

    let CancelOutcome::Cancelled { record, stops, opened } = outcome else { panic!("{outcome:?}") };
    assert_eq!((record.executions_cancelled, opened), (2, vec![]));
    assert_eq!(stops, StopCounts { total: 2, not_needed: 1, requested: 1, open: 1, ..StopCounts::default() });
    assert_eq!(bed.execution_status(&held.job, 0).await, ExecutionStatus::Cancelled);
    assert_eq!(bed.due().await.iter().map(|item| item.attempt).collect::<Vec<_>>(), [first]);
}

pub(super) async fn a_stop_is_open_whether_or_not_a_handle_is_known(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.started(&held, 0).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    let item = bed.due_stop(attempt).await.expect("it passed the barrier");
    assert_eq!((item.handle, item.sealed), (None, None));
    // Nobody may close it as "nothing to stop" before it is sealed.
    assert_eq!(bed.record(attempt, None, ended()).await, Some(StopState::Acknowledged));
    bed.seal(attempt, SealedBy::Minter).await;
    let item = bed.due_stop(attempt).await.expect("a seal without a handle is work too");
    assert_eq!((item.handle, item.sealed), (None, Some(SealedBy::Minter)));
    assert_eq!(bed.record(attempt, item.sealed, ended()).await, Some(StopState::Confirmed));
}

pub(super) async fn an_attempt_that_completed_is_not_stopped_when_its_job_is_cancelled(bed: Bed) {
    let held = bed.held("job", 2).await;
    bed.ended(&held, 0, completed(json!(1))).await;
    assert_eq!(opened(bed.cancel(&held.job, &by_alice()).await), []);
    assert_eq!(bed.execution(&held.job, 0).await.stop, None);
    let stops = bed.get(&held.job).await.stops;
    assert_eq!(stops, StopCounts { total: 1, not_needed: 1, ..StopCounts::default() });
}
