use std::time::Duration;

use serde_json::json;

use super::super::bed::Bed;
use super::super::words::*;
use crate::ErrorKind;
use crate::cancel::{Actor, CancelOutcome, CancelRequest, StopMode};
use crate::id::JobId;
use crate::job::{AuditAction, Cancellation, ExecutionStatus, JobStatus, StopCounts};
use crate::stop::{Minter, StopState};

fn record(outcome: &CancelOutcome) -> &Cancellation {
    match outcome {
        CancelOutcome::Cancelled { record, .. } | CancelOutcome::AlreadyCancelled { record, .. } => record,
        other => panic!("the job is cancelled, but: {other:?}"),
    }
}

pub(super) async fn a_queued_job_is_cancelled_with_nothing_to_stop(bed: Bed) {
    let job = bed.submit("job", 3).await;

    let outcome = bed.cancel(&job, &by_alice()).await;

    let CancelOutcome::Cancelled { record, stops, opened } = outcome else { panic!("{outcome:?}") };
    assert_eq!((record.previous_status, record.executions_cancelled), (JobStatus::Queued, 3));
    assert_eq!(stops, StopCounts { total: 3, not_needed: 3, ..StopCounts::default() });
    assert_eq!(opened, []);
    let detail = bed.get(&job).await;
    assert_eq!(detail.job.status, JobStatus::Cancelled);
    assert_eq!(detail.stops, stops);
    for execution in &detail.executions {
        assert_eq!((execution.status, &execution.stop), (ExecutionStatus::Cancelled, &None));
    }
    assert_eq!(bed.due().await, []);
}

pub(super) async fn a_cancel_ends_what_has_no_outcome_and_stops_what_is_under_way(bed: Bed) {
    let held = bed.held("job", 5).await;
    bed.ended(&held, 0, completed(json!("result"))).await;
    let failed_one = bed.ended(&held, 1, failed(false)).await;
    let begun = bed.begun(&held, 2).await;
    let starting = bed.started(&held, 3).await;
    let before = bed.get(&held.job).await;

    let outcome = bed.cancel(&held.job, &by_alice()).await;

    let CancelOutcome::Cancelled { record, stops, opened } = outcome else { panic!("{outcome:?}") };
    assert_eq!((record.previous_status, record.executions_cancelled), (JobStatus::Running, 3));
    let after = bed.get(&held.job).await;
    assert_eq!(after.executions[..2], before.executions[..2], "what has its outcome keeps it");
    let expected = [(2, Some(StopState::Requested)), (3, Some(StopState::Requested)), (4, None)];
    for (index, stop) in expected {
        let execution = &after.executions[index];
        assert_eq!(execution.status, ExecutionStatus::Cancelled);
        assert_eq!(execution.stop.as_ref().map(|stop| stop.state), stop, "execution {index}");
        assert!(execution.finished_at.is_some(), "execution {index}");
    }
    assert_eq!(stops, StopCounts { total: 4, not_needed: 1, requested: 3, open: 3, ..StopCounts::default() });
    let mut attempts: Vec<_> = opened.iter().map(|item| item.attempt).collect();
    attempts.sort();
    assert_eq!(attempts, [begun, starting], "only what this commit opened");
    let due: Vec<_> = bed.due().await.iter().map(|item| item.attempt).collect();
    assert_eq!(due, [failed_one, begun, starting]);
}

pub(super) async fn the_job_shows_the_record_of_its_cancel(bed: Bed) {
    let held = bed.held("job", 2).await;
    let request = by_alice().with_reason("wrong model").immediate();

    let outcome = bed.cancel(&held.job, &request).await;

    let record = record(&outcome);
    assert_eq!((record.cancelled_by.as_str(), record.reason.as_deref()), (ALICE, Some("wrong model")));
    assert_eq!((record.mode, record.executions_cancelled), (StopMode::Immediate, 2));
    let job = bed.get(&held.job).await.job;
    assert_eq!(job.cancellation.as_ref(), Some(record));
    assert_eq!(job.finished_at, Some(record.cancelled_at));
    if let Some(now) = bed.now() {
        assert_eq!(record.cancelled_at, now);
    }
}

pub(super) async fn a_cancel_is_on_record_once(bed: Bed) {
    let held = bed.held("job", 1).await;
    bed.begun(&held, 0).await;
    for _ in 0..3 {
        bed.cancel(&held.job, &by_alice().with_reason("enough")).await;
    }
    let entries = bed.audit(&held.job, AuditAction::Cancelled).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((entries[0].actor.as_str(), entries[0].reason.as_deref()), (ALICE, Some("enough")));
    assert_eq!(bed.audit(&held.job, AuditAction::Escalated).await, []);
}

pub(super) async fn an_opened_stop_holds_all_that_its_driver_needs(bed: Bed) {
    let held = bed.held("job", 2).await;
    let begun = bed.begun(&held, 0).await;
    let starting = bed.started(&held, 1).await;

    let mut items = opened(bed.cancel(&held.job, &by_alice().with_grace(Duration::from_secs(30))).await);

    items.sort_by_key(|item| item.attempt);
    assert_eq!(timeless(items.clone()), timeless(bed.due().await), "what the answer holds is what is due");
    for (item, (attempt, index, saved)) in
        items.iter().zip([(begun, 0, Some(handle("first"))), (starting, 1, None)])
    {
        assert_eq!((item.attempt, item.index, &item.job), (attempt, index, &held.job));
        assert_eq!((item.executor.as_str(), item.incarnation), (DOUBLE, held.fence.incarnation));
        assert_eq!((item.minter, item.sealed, item.tries), (Minter::Alive, None, 0));
        assert_eq!((item.state, item.mode), (StopState::Requested, StopMode::Graceful));
        assert_eq!(item.force_at, item.requested_at + Duration::from_secs(30));
        assert_eq!(item.handle, saved);
    }
}

pub(super) async fn an_immediate_cancel_leaves_no_grace(bed: Bed) {
    let held = bed.held("job", 1).await;
    bed.begun(&held, 0).await;
    let items = opened(bed.cancel(&held.job, &by_alice().immediate()).await);
    assert_eq!((items[0].mode, items[0].force_at), (StopMode::Immediate, items[0].requested_at));
}

pub(super) async fn a_job_that_does_not_exist_is_not_found(bed: Bed) {
    assert_eq!(bed.cancel(&id("nobody"), &by_alice()).await, CancelOutcome::NotFound);
    assert_eq!(bed.store.audit(&id("nobody")).await.unwrap(), []);
}

pub(super) async fn only_the_owner_may_cancel_and_a_refusal_changes_nothing(bed: Bed) {
    let queued = bed.submit("queued", 1).await;
    let mallory = CancelRequest::new(Actor::Owner("mallory".to_owned())).immediate();
    let mut jobs = vec![queued.clone()];
    let before = bed.snapshot(&queued).await;
    assert_eq!(bed.cancel(&queued, &mallory).await, CancelOutcome::NotYours);
    assert_eq!(bed.snapshot(&queued).await, before);

    let running = bed.held("running", 1).await;
    bed.begun(&running, 0).await;
    jobs.push(running.job);
    for (name, status) in [("a", JobStatus::Completed), ("b", JobStatus::Failed), ("c", JobStatus::Cancelled)]
    {
        jobs.push(bed.over(name, status).await.0.job);
    }
    for job in jobs {
        let before = bed.snapshot(&job).await;
        assert_eq!(bed.cancel(&job, &mallory).await, CancelOutcome::NotYours, "{job}");
        assert_eq!(bed.snapshot(&job).await, before, "{job}");
    }
}

pub(super) async fn an_administrator_may_cancel_and_is_named(bed: Bed) {
    let job = bed.submit("job", 1).await;
    let outcome = bed.cancel(&job, &CancelRequest::new(Actor::Admin("root".to_owned()))).await;
    assert_eq!(record(&outcome).cancelled_by, "root");
    assert_eq!(bed.audit(&job, AuditAction::Cancelled).await[0].actor, "root");
}

pub(super) async fn a_second_cancel_repeats_the_first_record_and_changes_nothing(bed: Bed) {
    let held = bed.held("job", 2).await;
    let attempt = bed.begun(&held, 0).await;
    let first = bed.cancel(&held.job, &by_alice().with_reason("the first")).await;
    bed.confirm(attempt).await;
    bed.pass(INSTANT).await;
    let before = bed.snapshot(&held.job).await;

    let second = CancelRequest::new(Actor::Admin("root".to_owned())).with_reason("the second").immediate();
    let outcome = bed.cancel(&held.job, &second).await;

    let CancelOutcome::AlreadyCancelled { record: again, stops, escalation } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(&again, record(&first));
    assert_eq!(stops, StopCounts { total: 2, not_needed: 1, confirmed: 1, ..StopCounts::default() });
    assert_eq!(escalation, None, "nothing is open");
    assert_eq!(bed.snapshot(&held.job).await, before);
}

pub(super) async fn a_job_that_has_its_outcome_keeps_it(bed: Bed) {
    for (name, status) in [("a", JobStatus::Completed), ("b", JobStatus::Failed)] {
        let (held, _) = bed.over(name, status).await;
        let before = bed.snapshot(&held.job).await;
        let outcome = bed.cancel(&held.job, &by_alice().immediate()).await;
        assert_eq!(outcome, CancelOutcome::AlreadyFinished { status });
        assert_eq!(bed.snapshot(&held.job).await, before);
    }
}

pub(super) async fn an_illegal_request_is_refused_and_changes_nothing(bed: Bed) {
    let job = bed.submit("job", 1).await;
    let before = bed.snapshot(&job).await;
    for (request, field) in [
        (by_alice().with_reason("x".repeat(501)), "reason"),
        (by_alice().with_grace(Duration::from_secs(601)), "grace_seconds"),
    ] {
        let error = bed.store.cancel(&job, &request).await.expect_err(field);
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
        assert_eq!(bed.snapshot(&job).await, before);
    }
}

pub(super) async fn a_cancel_reaches_a_job_whose_owner_has_ended(bed: Bed) {
    let held = bed.held("job", 1).await;
    bed.begun(&held, 0).await;
    bed.end(held.fence.incarnation).await;
    let items = opened(bed.cancel(&held.job, &by_alice()).await);
    assert!(matches!(items[0].minter, Minter::Ended(_)), "{:?}", items[0].minter);
}

pub(super) async fn a_cancel_leaves_other_jobs_alone(bed: Bed) {
    let other = bed.held("other", 1).await;
    bed.begun(&other, 0).await;
    let held = bed.held("job", 1).await;
    bed.begun(&held, 0).await;
    let before = bed.get(&other.job).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    assert_eq!(bed.get(&other.job).await, before);
}

pub(super) async fn ten_thousand_executions_are_cancelled_in_one_commit(bed: Bed) {
    const EXECUTIONS: u32 = 10_000;
    let held = bed.held("job", EXECUTIONS as usize).await;
    let starts: Vec<_> = (0..100).map(|index| held.start(index, bed.attempt())).collect();
    bed.store.start(&starts).await.unwrap();

    let outcome = bed.cancel(&held.job, &by_alice()).await;

    let CancelOutcome::Cancelled { record, stops, opened } = outcome else { panic!("{outcome:?}") };
    assert_eq!(record.executions_cancelled, u64::from(EXECUTIONS));
    let expected =
        StopCounts { total: 10_000, not_needed: 9_900, requested: 100, open: 100, ..StopCounts::default() };
    assert_eq!(stops, expected);
    assert_eq!(opened.len(), 100);
    let detail = bed.get(&held.job).await;
    assert_eq!(detail.job.progress.cancelled, u64::from(EXECUTIONS));
    assert!(detail.executions.iter().all(|execution| execution.status == ExecutionStatus::Cancelled));
}

/// A refused save asks for the stop of an attempt whose execution is still under way.
pub(super) async fn a_stop_that_is_open_is_not_opened_again(bed: Bed) {
    for (name, one_of_many) in [("alone", false), ("of many", true)] {
        let first = bed.held(&name.replace(' ', "-"), 1).await;
        let attempt = bed.started(&first, 0).await;
        bed.successor(&first).await;
        bed.save(first.save(0, attempt, &handle("late"))).await;
        let asked = bed.due_stop(attempt).await.expect("the refused save asked for it").requested_at;
        let outcome = if one_of_many {
            let ids = std::slice::from_ref(&first.job);
            bed.store.cancel_many(ids, &by_alice()).await.expect("cancel_many").remove(0)
        } else {
            bed.cancel(&first.job, &by_alice()).await
        };
        assert_eq!(record(&outcome).executions_cancelled, 1);
        assert_eq!(opened(outcome), [], "{name}");
        assert_eq!(bed.due_stop(attempt).await.map(|stop| stop.requested_at), Some(asked));
        assert_eq!(bed.get(&first.job).await.stops.open, 1);
        let entries = bed.audit(&first.job, AuditAction::Cancelled).await;
        assert_eq!(entries[0].detail["stops_requested"], 0, "{name}");
    }
}

pub(super) async fn a_cancel_of_many_answers_for_each_in_order(bed: Bed) {
    let running = bed.held("running", 2).await;
    let attempt = bed.begun(&running, 1).await;
    let (over, _) = bed.over("over", JobStatus::Completed).await;
    bed.submit("queued", 3).await;
    let asked: Vec<JobId> = ["running", "nobody", "queued", "over", "queued"].map(id).into();

    let mut outcomes = bed.store.cancel_many(&asked, &by_alice()).await.unwrap().into_iter();

    let Some(CancelOutcome::Cancelled { record, opened, .. }) = outcomes.next() else { panic!("running") };
    assert_eq!((record.previous_status, record.executions_cancelled), (JobStatus::Running, 2));
    assert_eq!(opened.iter().map(|item| item.attempt).collect::<Vec<_>>(), [attempt]);
    assert_eq!(outcomes.next(), Some(CancelOutcome::NotFound));
    let Some(CancelOutcome::Cancelled { record, .. }) = outcomes.next() else { panic!("queued") };
    assert_eq!((record.previous_status, record.executions_cancelled), (JobStatus::Queued, 3));
    assert_eq!(outcomes.next(), Some(CancelOutcome::AlreadyFinished { status: JobStatus::Completed }));
    let Some(CancelOutcome::AlreadyCancelled { record: first, .. }) = outcomes.next() else {
        panic!("twice")
    };
    assert_eq!(first, record);
    assert_eq!(outcomes.next(), None);
    for job in [&running.job, &id("queued")] {
        assert_eq!(bed.status(job).await, JobStatus::Cancelled);
        assert_eq!(bed.audit(job, AuditAction::Cancelled).await.len(), 1);
    }
    assert_eq!(bed.status(&over.job).await, JobStatus::Completed);
}

pub(super) async fn a_cancel_of_many_spares_what_is_not_the_callers(bed: Bed) {
    bed.submit("hers", 1).await;
    let his = submission("his", "bob", spec(1));
    bed.store.submit(&his).await.unwrap();
    let outcomes = bed.store.cancel_many(&[id("his"), id("hers")], &by_alice()).await.unwrap();
    assert_eq!(outcomes[0], CancelOutcome::NotYours);
    assert!(matches!(outcomes[1], CancelOutcome::Cancelled { .. }));
    assert_eq!(bed.status(&id("his")).await, JobStatus::Queued);
}
