use std::time::Duration;

use super::super::bed::Bed;
use super::super::words::*;
use crate::job::JobStatus;
use crate::store::{ExecutionPage, JobFilter};

async fn exists(bed: &Bed, name: &str) -> bool {
    bed.store.get(&id(name), ExecutionPage::NONE).await.unwrap().is_some()
}

pub(super) async fn a_job_is_kept_as_long_as_was_said(bed: Bed) {
    bed.over("job", JobStatus::Completed).await;
    bed.pass(INSTANT).await;
    assert_eq!(bed.store.prune(HOUR, 10).await.unwrap(), 0);
    assert!(exists(&bed, "job").await);
    assert_eq!(bed.store.prune(INSTANT, 10).await.unwrap(), 1);
    assert!(!exists(&bed, "job").await);
}

pub(super) async fn a_pruned_job_is_gone_with_all_that_belongs_to_it(bed: Bed) {
    let (held, attempt) = bed.over("job", JobStatus::Cancelled).await;
    bed.confirm(attempt).await;
    assert_eq!(bed.store.prune(Duration::ZERO, 10).await.unwrap(), 1);
    assert_eq!(bed.store.audit(&held.job).await.unwrap(), []);
    assert_eq!(bed.store.list(&JobFilter::default()).await.unwrap().jobs, []);
    assert_eq!(bed.record(attempt, None, ended()).await, None, "its attempts are unknown");
    bed.submit("job", 2).await;
    assert_eq!(bed.get(&held.job).await.executions.len(), 2, "the name is free for another");
}

pub(super) async fn a_job_without_an_outcome_is_never_pruned(bed: Bed) {
    bed.held("running", 1).await;
    bed.submit("queued", 1).await;
    bed.pass(INSTANT).await;
    assert_eq!(bed.store.prune(Duration::ZERO, 10).await.unwrap(), 0);
    assert!(exists(&bed, "running").await && exists(&bed, "queued").await);
}

pub(super) async fn a_job_with_an_open_stop_is_never_pruned(bed: Bed) {
    let (_, attempt) = bed.over("job", JobStatus::Cancelled).await;
    for answer in
        [None, Some(acknowledged()), Some(unconfirmed(false, true)), Some(unconfirmed(false, false))]
    {
        if let Some(answer) = answer {
            bed.record(attempt, None, answer).await;
        }
        assert_eq!(bed.store.prune(Duration::ZERO, 10).await.unwrap(), 0);
    }
    bed.record(attempt, None, unconfirmed(true, false)).await;
    assert_eq!(bed.store.prune(Duration::ZERO, 10).await.unwrap(), 1, "a settled one holds nothing back");
}

pub(super) async fn no_more_jobs_are_pruned_than_asked_for(bed: Bed) {
    for name in ["a", "b", "c"] {
        bed.over(name, JobStatus::Completed).await;
    }
    assert_eq!(bed.store.prune(Duration::ZERO, 2).await.unwrap(), 2);
    assert_eq!(bed.store.prune(Duration::ZERO, 2).await.unwrap(), 1);
    assert_eq!(bed.store.prune(Duration::ZERO, 2).await.unwrap(), 0);
}

/// A stop's driver must know how its minter ended.
pub(super) async fn a_node_to_which_an_open_stop_refers_is_kept(bed: Bed) {
    let (held, attempt) = bed.over("job", JobStatus::Cancelled).await;
    bed.end(held.fence.incarnation).await;
    let before = timeless(bed.due_stop(attempt).await);
    bed.store.prune(Duration::ZERO, 10).await.unwrap();
    assert_eq!(timeless(bed.due_stop(attempt).await), before);
}
