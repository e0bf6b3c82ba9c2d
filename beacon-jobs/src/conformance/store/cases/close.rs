use super::super::bed::Bed;
use super::super::words::*;
use crate::job::{AuditAction, JobStatus};
use crate::stop::{SealedBy, StopState};
use crate::store::{CloseStop, CloseStopOutcome};

fn close(attempt: crate::AttemptId) -> CloseStop {
    CloseStop { attempt, by: "root".to_owned(), reason: "the account is gone".to_owned() }
}

pub(super) async fn an_administrator_closes_a_stop_on_record(bed: Bed) {
    let (held, attempt) = bed.over("job", JobStatus::Cancelled).await;

    assert_eq!(bed.store.close_stop(&close(attempt)).await.unwrap(), CloseStopOutcome::Closed);

    let stop = bed.execution(&held.job, 0).await.stop.expect("the stop is shown");
    assert_eq!((stop.state, stop.confirmed_at), (StopState::Unconfirmed, None), "it is not said to be over");
    assert!(stop.why.is_some_and(|why| why.contains("root") && why.contains("the account is gone")));
    assert_eq!(bed.get(&held.job).await.stops.open, 0);
    assert_eq!(bed.due().await, [], "nobody asks again");
    let entries = bed.audit(&held.job, AuditAction::StopClosed).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(
        (entries[0].actor.as_str(), entries[0].reason.as_deref()),
        ("root", Some("the account is gone"))
    );
}

pub(super) async fn a_settled_stop_is_not_closed_again(bed: Bed) {
    let held = bed.held("job", 2).await;
    let (closed, confirmed) = (bed.begun(&held, 0).await, bed.begun(&held, 1).await);
    opened(bed.cancel(&held.job, &by_alice()).await);
    bed.store.close_stop(&close(closed)).await.unwrap();
    bed.confirm(confirmed).await;
    let before = bed.snapshot(&held.job).await;
    for attempt in [closed, confirmed] {
        let again = bed.store.close_stop(&close(attempt)).await.unwrap();
        assert_eq!(again, CloseStopOutcome::AlreadySettled);
    }
    assert_eq!(bed.snapshot(&held.job).await, before);
}

pub(super) async fn an_unknown_attempt_has_no_stop_to_close(bed: Bed) {
    let outcome = bed.store.close_stop(&close(bed.attempt())).await.unwrap();
    assert_eq!(outcome, CloseStopOutcome::NotFound);
}

pub(super) async fn a_closed_stop_lets_a_retry_begin(bed: Bed) {
    let held = bed.held("job", 1).await;
    let first = bed.ended(&held, 0, failed(true)).await;
    bed.store.close_stop(&close(first)).await.unwrap();
    bed.started(&held, 0).await;
}

pub(super) async fn better_news_after_a_closed_stop_is_taken(bed: Bed) {
    let (held, attempt) = bed.over("job", JobStatus::Cancelled).await;
    bed.store.close_stop(&close(attempt)).await.unwrap();
    bed.seal(attempt, SealedBy::Minter).await;
    assert_eq!(bed.due().await, [], "a seal does not open it again");
    bed.record(attempt, Some(SealedBy::Minter), ended()).await;
    assert_eq!(bed.stop(&held.job, 0).await, Some(StopState::Confirmed));
}
