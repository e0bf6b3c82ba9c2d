use std::time::Duration;

use super::super::bed::Bed;
use super::super::words::*;
use crate::cancel::{Actor, CancelRequest, StopMode};
use crate::job::AuditAction;
use crate::stop::SealedBy;

const GRACE: Duration = Duration::from_secs(60);

/// A cancelled job with an open stop whose grace runs for a minute.
async fn in_grace(bed: &Bed) -> (Held, crate::AttemptId) {
    let held = bed.held("job", 2).await;
    let attempt = bed.begun(&held, 0).await;
    opened(bed.cancel(&held.job, &by_alice().with_grace(GRACE)).await);
    (held, attempt)
}

pub(super) async fn an_immediate_cancel_ends_a_running_grace(bed: Bed) {
    let (held, attempt) = in_grace(&bed).await;
    let before = bed.due_stop(attempt).await.expect("it is due");

    let escalation = escalation(bed.cancel(&held.job, &by_alice().immediate()).await);

    let hastened = escalation.expect("it is harsher").hastened;
    assert_eq!(hastened.len(), 1);
    assert_eq!((hastened[0].attempt, hastened[0].mode), (attempt, StopMode::Immediate));
    assert!(hastened[0].force_at < before.force_at, "{:?}", hastened[0]);
    assert_eq!(timeless(bed.due().await), timeless(hastened));
}

pub(super) async fn an_escalation_is_on_record(bed: Bed) {
    let (held, _) = in_grace(&bed).await;
    let root = CancelRequest::new(Actor::Admin("root".to_owned())).immediate().with_reason("now");
    escalation(bed.cancel(&held.job, &root).await).expect("it is harsher");

    let entries = bed.audit(&held.job, AuditAction::Escalated).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((entries[0].actor.as_str(), entries[0].reason.as_deref()), ("root", Some("now")));
    assert_eq!(bed.audit(&held.job, AuditAction::Cancelled).await.len(), 1);
    let record = bed.get(&held.job).await.job.cancellation.expect("it is cancelled");
    assert_eq!((record.cancelled_by.as_str(), record.mode), (ALICE, StopMode::Graceful), "the first stays");
}

pub(super) async fn an_earlier_end_of_the_grace_is_an_escalation(bed: Bed) {
    let (held, attempt) = in_grace(&bed).await;
    let shorter = by_alice().with_grace(Duration::from_secs(1));
    escalation(bed.cancel(&held.job, &shorter).await).expect("it is harsher");
    let item = bed.due_stop(attempt).await.expect("it is due");
    assert!(item.force_at < item.requested_at + GRACE, "{item:?}");
    assert_eq!(item.mode, StopMode::Graceful);
}

pub(super) async fn a_gentler_cancel_changes_nothing(bed: Bed) {
    let (held, _) = in_grace(&bed).await;
    let before = bed.snapshot(&held.job).await;
    let longer = by_alice().with_grace(Duration::from_secs(600));
    assert_eq!(escalation(bed.cancel(&held.job, &longer).await), None);
    assert_eq!(bed.snapshot(&held.job).await, before);
}

pub(super) async fn the_same_escalation_again_changes_nothing(bed: Bed) {
    let (held, _) = in_grace(&bed).await;
    escalation(bed.cancel(&held.job, &by_alice().immediate()).await).expect("it is harsher");
    bed.pass(INSTANT).await;
    let before = bed.snapshot(&held.job).await;
    assert_eq!(escalation(bed.cancel(&held.job, &by_alice().immediate()).await), None);
    assert_eq!(bed.snapshot(&held.job).await, before);
}

pub(super) async fn a_stop_that_others_hold_back_is_due_at_once_when_it_became_harsher(bed: Bed) {
    let (held, attempt) = in_grace(&bed).await;
    assert_eq!(bed.take_stops(HOUR, 10).await.len(), 1);
    assert_eq!(bed.due().await, []);
    escalation(bed.cancel(&held.job, &by_alice().immediate()).await).expect("it is harsher");
    assert!(bed.due_stop(attempt).await.is_some());
}

pub(super) async fn a_confirmed_stop_does_not_become_harsher(bed: Bed) {
    let (held, attempt) = in_grace(&bed).await;
    bed.seal(attempt, SealedBy::Minter).await;
    bed.confirm(attempt).await;
    let before = bed.snapshot(&held.job).await;
    assert_eq!(escalation(bed.cancel(&held.job, &by_alice().immediate()).await), None);
    assert_eq!(bed.snapshot(&held.job).await, before);
}
