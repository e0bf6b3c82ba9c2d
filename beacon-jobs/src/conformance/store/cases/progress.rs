use serde_json::json;

use super::super::bed::Bed;
use super::super::words::*;
use crate::job::JobOutline;
use crate::store::{ExecutionPage, FinishOutcome, SaveOutcome};

pub(super) async fn what_is_told_is_read_as_it_was_and_the_last_stays(bed: Bed) {
    let held = bed.held("job", 2).await;
    let attempt = bed.begun(&held, 0).await;
    assert_eq!(bed.execution(&held.job, 0).await.progress, None);

    assert!(bed.report(held.report(0, attempt, 1)).await);
    let mut last = held.report(0, attempt, 2);
    last.progress = last.progress.with_message("quote \" backslash \\ snowman \u{2603} crab \u{1f980}");
    assert!(bed.report(last.clone()).await);
    assert!(bed.report(last.clone()).await, "the same again");

    assert_eq!(bed.execution(&held.job, 0).await.progress, Some(last.progress.clone()));
    assert_eq!(bed.execution(&held.job, 1).await.progress, None);
    let detail = bed.store.get(&held.job, ExecutionPage::ALL).await.unwrap().unwrap();
    let outline = bed.store.outline(&held.job).await.unwrap().unwrap();
    assert_eq!(outline, JobOutline::from(detail), "both ways to read tell the same");
    assert_eq!(outline.executions[0].progress, Some(last.progress));
}

pub(super) async fn it_is_told_before_the_handle_is_saved_and_by_who_took_the_job_over(bed: Bed) {
    let first = bed.held("job", 1).await;
    let attempt = bed.started(&first, 0).await;
    assert!(bed.report(first.report(0, attempt, 1)).await);
    assert_eq!(bed.save(first.save(0, attempt, &handle("a"))).await, SaveOutcome::Granted);
    assert_eq!(bed.steps(&first.job, 0).await, Some(1), "a save leaves it");

    let second = bed.successor(&first).await;
    assert_eq!(bed.steps(&first.job, 0).await, Some(1), "a take-over leaves it");
    assert!(bed.report(second.report(0, attempt, 2)).await);
    assert_eq!(bed.steps(&first.job, 0).await, Some(2));
}

pub(super) async fn it_stays_with_what_has_ended(bed: Bed) {
    let held = bed.held("job", 2).await;
    let done = bed.begun(&held, 0).await;
    assert!(bed.report(held.report(0, done, 9)).await);
    let under_way = bed.begun(&held, 1).await;
    assert!(bed.report(held.report(1, under_way, 4)).await);

    assert_eq!(bed.finish(held.finish(0, done, completed(json!(1)))).await, FinishOutcome::Finished);
    opened(bed.cancel(&held.job, &by_alice()).await);

    assert_eq!((bed.steps(&held.job, 0).await, bed.steps(&held.job, 1).await), (Some(9), Some(4)));
}

pub(super) async fn the_next_attempt_begins_without(bed: Bed) {
    let held = bed.held("job", 1).await;
    let first = bed.begun(&held, 0).await;
    assert!(bed.report(held.report(0, first, 3)).await);
    assert_eq!(bed.finish(held.finish(0, first, failed(true))).await, FinishOutcome::Finished);
    assert_eq!(bed.steps(&held.job, 0).await, Some(3), "until then it is that of the last");
    bed.confirm(first).await;

    let second = bed.begun(&held, 0).await;
    assert_eq!(bed.steps(&held.job, 0).await, None);
    assert!(bed.report(held.report(0, second, 1)).await);
    assert_eq!(bed.steps(&held.job, 0).await, Some(1));
}

pub(super) async fn it_is_refused_under_a_stale_fence_and_of_an_older_attempt(bed: Bed) {
    let first = bed.held("job", 1).await;
    let older = bed.begun(&first, 0).await;
    let second = bed.successor(&first).await;
    assert!(!bed.report(first.report(0, older, 1)).await);
    assert_eq!(bed.steps(&first.job, 0).await, None);

    assert_eq!(bed.finish(second.finish(0, older, failed(true))).await, FinishOutcome::Finished);
    bed.confirm(older).await;
    bed.begun(&second, 0).await;
    assert!(!bed.report(second.report(0, older, 1)).await);
    assert_eq!(bed.steps(&first.job, 0).await, None);
}

pub(super) async fn it_is_refused_of_what_has_ended(bed: Bed) {
    let held = bed.held("job", 2).await;
    let done = bed.begun(&held, 0).await;
    let under_way = bed.begun(&held, 1).await;
    assert_eq!(bed.finish(held.finish(0, done, completed(json!(1)))).await, FinishOutcome::Finished);
    assert!(!bed.report(held.report(0, done, 1)).await);

    opened(bed.cancel(&held.job, &by_alice()).await);
    let before = bed.snapshot(&held.job).await;
    assert!(!bed.report(held.report(1, under_way, 1)).await);
    assert_eq!(bed.snapshot(&held.job).await, before);
}

pub(super) async fn it_is_refused_of_what_does_not_exist(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    assert!(!bed.report(held.report(0, bed.attempt(), 1)).await);
    assert!(!bed.report(held.report(7, attempt, 1)).await);
    let elsewhere = Held { job: id("nobody"), ..held.clone() };
    assert!(!bed.report(elsewhere.report(0, attempt, 1)).await);
    assert_eq!(bed.steps(&held.job, 0).await, None);
}

pub(super) async fn each_report_of_a_batch_gets_its_own_answer_in_order(bed: Bed) {
    let held = bed.held("job", 3).await;
    let mut attempts = Vec::new();
    for index in 0..3 {
        attempts.push(bed.begun(&held, index).await);
    }
    assert_eq!(bed.finish(held.finish(1, attempts[1], completed(json!(1)))).await, FinishOutcome::Finished);
    let reports = [
        held.report(2, attempts[2], 5),
        held.report(1, attempts[1], 6),
        held.report(0, attempts[0], 7),
        held.report(2, attempts[2], 8),
    ];

    assert_eq!(bed.store.report_progress(&reports).await.unwrap(), [true, false, true, true]);
    assert!(bed.store.report_progress(&[]).await.unwrap().is_empty());

    assert_eq!(bed.steps(&held.job, 0).await, Some(7));
    assert_eq!(bed.steps(&held.job, 1).await, None);
    assert_eq!(bed.steps(&held.job, 2).await, Some(8), "the last of several stays");
}
