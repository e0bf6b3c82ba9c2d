use serde_json::json;

use super::super::bed::Bed;
use super::super::words::*;
use crate::job::JobStatus;
use crate::store::{ExecutionPage, Fence, JobFilter, Submitted};

/// All that can be read, of all jobs.
async fn everything(bed: &Bed) -> Vec<Snapshot> {
    let mut all = Vec::new();
    for job in bed.store.list(&JobFilter::default()).await.unwrap().jobs {
        all.push(bed.snapshot(&job.id).await);
    }
    all
}

pub(super) async fn everything_is_there_again(mut bed: Bed) {
    for (name, status) in [("a", JobStatus::Completed), ("b", JobStatus::Failed), ("c", JobStatus::Cancelled)]
    {
        bed.over(name, status).await;
        bed.pass(INSTANT).await;
    }
    let held = bed.held("running", 3).await;
    bed.ended(&held, 0, completed(json!(1))).await;
    bed.ended(&held, 1, failed(true)).await;
    bed.begun(&held, 2).await;
    bed.submit("queued", 1).await;
    let (before, nodes) = (everything(&bed).await, bed.store.nodes().await.unwrap());
    assert_eq!(before.len(), 5);

    if bed.reopen().await {
        assert_eq!(everything(&bed).await, before);
        assert_eq!(bed.store.nodes().await.unwrap(), nodes);
        let again = bed.store.submit(&submission("queued", ALICE, spec(1))).await.unwrap();
        assert_eq!(again, Submitted::Existing(id("queued"), JobStatus::Queued));
    }
}

pub(super) async fn an_acknowledged_cancel_holds(mut bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    let items = opened(bed.cancel(&held.job, &by_alice()).await);
    if bed.reopen().await {
        assert_eq!(bed.status(&held.job).await, JobStatus::Cancelled);
        assert_eq!(timeless(bed.due().await), timeless(items));
        bed.confirm(attempt).await;
    }
}

pub(super) async fn a_job_is_taken_up_where_it_was(mut bed: Bed) {
    let first = bed.held("job", 1).await;
    let attempt = bed.begun(&first, 0).await;
    if bed.reopen().await {
        bed.end(first.fence.incarnation).await;
        let taken = bed.take_over(bed.node().await, &[]).await.remove(0);
        assert_eq!(taken.fence.epoch, first.fence.epoch + 1, "an epoch is never given twice");
        let past = taken.executions[0].last_attempt.as_ref().expect("the attempt is known");
        assert_eq!((past.id, &past.handle), (attempt, &Some(handle("first"))));
    }
}

pub(super) async fn what_was_pruned_stays_gone(mut bed: Bed) {
    bed.over("job", JobStatus::Completed).await;
    let cursor = bed.store.list(&JobFilter::default()).await.unwrap().jobs.len();
    assert_eq!((cursor, bed.store.prune(std::time::Duration::ZERO, 10).await.unwrap()), (1, 1));
    if bed.reopen().await {
        assert_eq!(bed.store.get(&id("job"), ExecutionPage::NONE).await.unwrap(), None);
        bed.submit("job", 1).await;
        let claimed = bed.claim(bed.node().await).await.remove(0);
        assert_eq!(claimed.fence, Fence { epoch: 1, ..claimed.fence });
    }
}
