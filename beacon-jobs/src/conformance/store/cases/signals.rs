use std::time::Duration;

use super::super::StoreCapability;
use super::super::bed::Bed;
use super::super::words::*;
use crate::clock::{SystemClock, within};
use crate::job::JobStatus;
use crate::stop::SealedBy;
use crate::store::{Release, Signal, Signals};

/// Waits for a hint; `Missed` stands for any.
async fn hint(signals: &mut Signals, expected: &Signal) {
    let wait = async {
        while !matches!(signals.next().await, seen if seen == *expected || seen == Signal::Missed) {}
    };
    let come = within(&SystemClock, Duration::from_secs(20), wait).await;
    assert!(come.is_some(), "no hint that {expected:?}");
}

pub(super) async fn a_submission_is_told(bed: Bed) {
    if !bed.can(StoreCapability::Signals) {
        return;
    }
    let mut signals = bed.store.signals();
    bed.submit("job", 1).await;
    hint(&mut signals, &Signal::Queued).await;
}

pub(super) async fn a_cancel_is_told_to_all_who_listen(bed: Bed) {
    if !bed.can(StoreCapability::Signals) {
        return;
    }
    let held = bed.held("job", 1).await;
    let mut listeners = [bed.store.signals(), bed.store.signals()];
    opened(bed.cancel(&held.job, &by_alice()).await);
    for signals in &mut listeners {
        hint(signals, &Signal::Cancelled(held.job.clone())).await;
    }
}

pub(super) async fn an_escalation_is_told(bed: Bed) {
    if !bed.can(StoreCapability::Signals) {
        return;
    }
    let (held, _) = bed.over("job", JobStatus::Cancelled).await;
    let mut signals = bed.store.signals();
    escalation(bed.cancel(&held.job, &by_alice().immediate()).await).expect("it is harsher");
    hint(&mut signals, &Signal::Cancelled(held.job)).await;
}

pub(super) async fn a_stop_that_becomes_due_is_told(bed: Bed) {
    if !bed.can(StoreCapability::Signals) {
        return;
    }
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    let mut signals = bed.store.signals();
    bed.finish(held.finish(0, attempt, failed(false))).await;
    hint(&mut signals, &Signal::StopsDue).await;
    let mut signals = bed.store.signals();
    bed.seal(attempt, SealedBy::Minter).await;
    hint(&mut signals, &Signal::StopsDue).await;
}

pub(super) async fn a_job_that_was_given_back_is_told(bed: Bed) {
    if !bed.can(StoreCapability::Signals) {
        return;
    }
    let held = bed.held("job", 1).await;
    let mut signals = bed.store.signals();
    let release = Release { fence: held.fence, job: held.job.clone(), sealed: vec![] };
    assert!(bed.store.release(&release).await.unwrap());
    hint(&mut signals, &Signal::Queued).await;
}
