use crate::ErrorKind;
use crate::job::{ExecutionSpec, JobOutline, JobRecord, JobSpec, JobStatus, Progress};
use crate::stop::StopState;
use crate::store::{ExecutionPage, JobFilter, StopAge, StopAnswer};
use serde_json::Value;
use std::time::Duration;

use super::super::bed::Bed;
use super::super::words::*;

fn names(jobs: &[JobRecord]) -> Vec<&str> {
    jobs.iter().map(|job| job.id.as_str()).collect()
}

/// Submits jobs at moments that differ.
async fn jobs(bed: &Bed, names: &[&str]) {
    for name in names {
        bed.submit(name, 1).await;
        bed.pass(INSTANT).await;
    }
}

pub(super) async fn a_job_that_does_not_exist_is_none(bed: Bed) {
    assert_eq!(bed.store.get(&id("nobody"), ExecutionPage::ALL).await.unwrap(), None);
    assert_eq!(bed.store.audit(&id("nobody")).await.unwrap(), []);
}

pub(super) async fn a_store_that_works_says_so(bed: Bed) {
    bed.store.check().await.unwrap();
}

pub(super) async fn a_page_holds_the_executions_asked_for(bed: Bed) {
    let job = bed.submit("job", 5).await;
    for (offset, limit, expected) in [
        (0, 2, &[0, 1][..]),
        (3, 2, &[3, 4]),
        (4, 2, &[4]),
        (5, 2, &[]),
        (1, 0, &[]),
        (0, u32::MAX, &[0, 1, 2, 3, 4]),
    ] {
        let page = ExecutionPage { offset, limit };
        let detail = bed.store.get(&job, page).await.unwrap().expect("the job exists");
        let indexes: Vec<u32> = detail.executions.iter().map(|execution| execution.index).collect();
        assert_eq!(indexes, expected, "{page:?}");
    }
}

pub(super) async fn counts_cover_all_executions_whatever_the_page(bed: Bed) {
    let held = bed.held("job", 5).await;
    bed.ended(&held, 0, completed(Value::Null)).await;
    bed.ended(&held, 1, failed(false)).await;
    bed.begun(&held, 2).await;
    bed.started(&held, 3).await;

    let detail = bed.store.get(&held.job, ExecutionPage::NONE).await.unwrap().expect("the job exists");

    assert_eq!(detail.executions, []);
    let progress = Progress { total: 5, completed: 1, failed: 1, cancelled: 0, running: 2, queued: 1 };
    assert_eq!(detail.job.progress, progress);
    assert_eq!((detail.stops.total, detail.stops.requested, detail.stops.open), (1, 1, 1));
}

pub(super) async fn an_outline_is_what_get_tells_of_all_executions(bed: Bed) {
    assert_eq!(bed.store.outline(&id("nobody")).await.unwrap(), None);
    let job = bed.submit("job", 6).await;
    assert_outlined(&bed, &job).await;
    let node = bed.node().await;
    let held = Held::from(bed.claim(node).await.remove(0));
    bed.ended(&held, 0, completed(Value::String("the output".to_owned()))).await;
    bed.ended(&held, 1, failed(false)).await;
    let retried = bed.ended(&held, 2, failed(true)).await;
    bed.started(&held, 3).await;
    let running = bed.begun(&held, 4).await;
    assert_outlined(&bed, &job).await;
    bed.cancel(&job, &by_alice()).await;
    bed.record(retried, None, unconfirmed(true, false)).await;
    bed.confirm(running).await;
    let outline = assert_outlined(&bed, &job).await;
    assert_eq!((outline.stops.confirmed, outline.is_over()), (1, false));
}

async fn assert_outlined(bed: &Bed, job: &crate::JobId) -> JobOutline {
    let outline = bed.store.outline(job).await.unwrap().expect("the job exists");
    assert_eq!(outline, JobOutline::from(bed.get(job).await));
    outline
}

pub(super) async fn driven_stops_are_counted_by_state_and_age(bed: Bed) {
    assert_eq!(driven(&bed).await, []);
    let job = bed.submit("job", 6).await;
    let node = bed.node().await;
    let held = Held::from(bed.claim(node).await.remove(0));
    let mut attempts = Vec::new();
    for index in 0..5 {
        attempts.push(bed.begun(&held, index).await);
    }
    assert_eq!(driven(&bed).await, [], "nothing is to stop");
    bed.cancel(&job, &by_alice()).await;
    let young = |state, count| (state, StopAge::Seconds, count);
    assert_eq!(driven(&bed).await, [young(StopState::Requested, 5)]);
    bed.confirm(attempts[0]).await;
    bed.record(attempts[1], None, StopAnswer::Acknowledged { evidence: Value::Null }).await;
    bed.record(attempts[2], None, unconfirmed(true, false)).await;
    bed.record(attempts[3], None, unconfirmed(true, true)).await;
    let seen = driven(&bed).await;
    let expected = [StopState::Acknowledged, StopState::Requested, StopState::Unconfirmed];
    assert_eq!(seen, expected.map(|state| young(state, 1)), "one is confirmed, and one given up");
    if bed.now().is_some() {
        for (bound, age) in StopAge::BOUNDS.iter().zip(&StopAge::ALL[1..]) {
            let since = Duration::from_secs(u64::from(*bound));
            let before = StopAge::of(since.saturating_sub(Duration::from_secs(1)));
            assert!(before < *age && StopAge::of(since) == *age);
        }
        bed.pass(Duration::from_secs(599)).await;
        assert!(driven(&bed).await.iter().all(|(_, age, _)| *age == StopAge::Minutes));
        bed.pass(Duration::from_secs(1)).await;
        assert!(driven(&bed).await.iter().all(|(_, age, _)| *age == StopAge::UnderHour));
    }
}

/// The counts that are not of nothing, by the words of their states.
async fn driven(bed: &Bed) -> Vec<(StopState, StopAge, u64)> {
    let stops = bed.store.driven_stops().await.unwrap();
    let mut stops: Vec<_> = stops.iter().map(|it| (it.state, it.age, it.count)).collect();
    stops.retain(|(.., count)| *count > 0);
    stops.sort_by_key(|(state, ..)| state.as_str());
    stops
}

pub(super) async fn jobs_are_listed_newest_first(bed: Bed) {
    jobs(&bed, &["b", "c", "a"]).await;
    let list = bed.store.list(&JobFilter::default()).await.unwrap();
    assert_eq!(names(&list.jobs), ["a", "c", "b"]);
    assert_eq!(list.next_cursor, None);
}

pub(super) async fn a_listed_job_is_the_job_that_get_shows(bed: Bed) {
    let (held, _) = bed.over("job", JobStatus::Cancelled).await;
    let list = bed.store.list(&JobFilter::default()).await.unwrap();
    assert_eq!(list.jobs, [bed.get(&held.job).await.job]);
}

pub(super) async fn a_list_keeps_to_its_filter(bed: Bed) {
    let labelled = spec(1).with_label("suite", "bias").with_label("region", "eu");
    bed.submit_spec("bias-eu", labelled).await;
    bed.pass(INSTANT).await;
    bed.submit_spec("bias-us", spec(1).with_label("suite", "bias").with_label("region", "us")).await;
    bed.pass(INSTANT).await;
    opened(bed.cancel(&id("bias-us"), &by_alice()).await);
    bed.store.submit(&submission("of-bob", "bob", spec(1).with_label("suite", "bias"))).await.unwrap();

    for (filter, expected) in [
        (JobFilter { owner: Some("bob".to_owned()), ..JobFilter::default() }, &["of-bob"][..]),
        (JobFilter { owner: Some("carol".to_owned()), ..JobFilter::default() }, &[]),
        (JobFilter { status: Some(JobStatus::Cancelled), ..JobFilter::default() }, &["bias-us"]),
        (JobFilter { status: Some(JobStatus::Queued), ..JobFilter::default() }, &["of-bob", "bias-eu"]),
        (
            JobFilter { labels: labels(&[("suite", "bias")]), ..JobFilter::default() },
            &["of-bob", "bias-us", "bias-eu"],
        ),
        (
            JobFilter { labels: labels(&[("suite", "bias"), ("region", "eu")]), ..JobFilter::default() },
            &["bias-eu"],
        ),
        (JobFilter { labels: labels(&[("suite", "eu")]), ..JobFilter::default() }, &[]),
        (
            JobFilter {
                owner: Some(ALICE.to_owned()),
                status: Some(JobStatus::Queued),
                labels: labels(&[("suite", "bias")]),
                ..JobFilter::default()
            },
            &["bias-eu"],
        ),
        (JobFilter { limit: 0, ..JobFilter::default() }, &[]),
    ] {
        let list = bed.store.list(&filter).await.unwrap();
        assert_eq!(names(&list.jobs), expected, "{filter:?}");
    }
}

fn labels(labels: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

pub(super) async fn a_cursor_goes_on_where_the_page_ended(bed: Bed) {
    jobs(&bed, &["a", "b", "c", "d", "e"]).await;
    let mut filter = JobFilter { limit: 2, ..JobFilter::default() };
    let first = bed.store.list(&filter).await.unwrap();
    assert_eq!(names(&first.jobs), ["e", "d"]);

    // A newer job is on an earlier page: it moves nothing on the later ones.
    jobs(&bed, &["f"]).await;
    filter.cursor = first.next_cursor;
    let second = bed.store.list(&filter).await.unwrap();
    assert_eq!(names(&second.jobs), ["c", "b"]);
    filter.cursor = second.next_cursor;
    assert!(filter.cursor.is_some(), "one job is left");
    let third = bed.store.list(&filter).await.unwrap();
    assert_eq!(names(&third.jobs), ["a"]);
    assert_eq!(third.next_cursor, None, "none is left");
}

pub(super) async fn a_page_that_ends_with_the_last_job_has_no_cursor(bed: Bed) {
    jobs(&bed, &["a", "b"]).await;
    let filter = JobFilter { limit: 2, ..JobFilter::default() };
    assert_eq!(bed.store.list(&filter).await.unwrap().next_cursor, None);
}

pub(super) async fn a_cursor_from_elsewhere_is_refused(bed: Bed) {
    jobs(&bed, &["a"]).await;
    for cursor in ["", "no cursor", "' OR 1=1 --", "\u{0}"] {
        let filter = JobFilter { cursor: Some(cursor.to_owned()), ..JobFilter::default() };
        let error = bed.store.list(&filter).await.expect_err(cursor);
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("cursor")));
    }
}

pub(super) async fn a_queued_job_names_the_executors_that_no_live_node_has(bed: Bed) {
    let execution = |name| ExecutionSpec::new(name, Value::Null);
    let spec = JobSpec::new([execution("modal"), execution(DOUBLE), execution("modal")]);
    let job = bed.submit_spec("job", spec).await;
    assert_eq!(bed.get(&job).await.job.waiting_for, [DOUBLE, "modal"]);

    let node = bed.node().await;
    assert_eq!(bed.get(&job).await.job.waiting_for, ["modal"]);

    bed.lapse(node).await;
    assert_eq!(bed.get(&job).await.job.waiting_for, [DOUBLE, "modal"]);
    bed.end(node).await;
    assert_eq!(bed.get(&job).await.job.waiting_for, [DOUBLE, "modal"]);
}

pub(super) async fn only_a_queued_job_waits_for_executors(bed: Bed) {
    let held = bed.held("job", 1).await;
    bed.end(held.fence.incarnation).await;
    assert_eq!(bed.get(&held.job).await.job.waiting_for, [""; 0]);
    opened(bed.cancel(&held.job, &by_alice()).await);
    assert_eq!(bed.get(&held.job).await.job.waiting_for, [""; 0]);
}
