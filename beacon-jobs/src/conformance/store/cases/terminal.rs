use serde_json::json;

use super::super::bed::Bed;
use super::super::words::*;
use crate::id::AttemptId;
use crate::job::{JobDetail, JobStatus};
use crate::stop::SealedBy;
use crate::store::{FinishExecution, Release};

/// The part of a job that never changes once it has its outcome: all but what is learnt about its
/// attempts (stops and late outputs).
fn outcome(mut detail: JobDetail) -> JobDetail {
    detail.stops = Default::default();
    for execution in &mut detail.executions {
        execution.stop = None;
        execution.late_output = None;
    }
    detail
}

/// Tries every write there is on a job.
async fn every_write(bed: &Bed, held: &Held, attempt: AttemptId) {
    let node = held.fence.incarnation;
    bed.claim(node).await;
    bed.take_over(node, &[]).await;
    for index in 0..2 {
        bed.start(held.start(index, attempt)).await;
        bed.start(held.start(index, bed.attempt())).await;
        bed.save(held.save(index, attempt, &handle("first"))).await;
        bed.save(held.save(index, attempt, &handle("late"))).await;
        for result in [completed(json!("late")), failed(true), failed(false)] {
            bed.finish(FinishExecution { sealed: true, ..held.finish(index, attempt, result) }).await;
        }
    }
    bed.finish_job(&held.finish_job()).await;
    bed.finish_job(&held.time_out()).await;
    let release = Release { fence: held.fence, job: held.job.clone(), sealed: vec![attempt] };
    assert!(!bed.store.release(&release).await.unwrap(), "there is nothing to give back");
    bed.seal(attempt, SealedBy::Time).await;
    for answer in [acknowledged(), unconfirmed(true, true), ended()] {
        bed.record(attempt, Some(SealedBy::Minter), answer).await;
    }
    bed.cancel(&held.job, &by_alice().immediate()).await;
    bed.end(node).await;
    bed.take_over(bed.node().await, &[]).await;
    bed.claim(bed.node().await).await;
}

async fn stays(bed: Bed, status: JobStatus) {
    let (held, attempt) = bed.over("job", status).await;
    let before = outcome(bed.get(&held.job).await);
    // Twice: what one write has changed must not open the door for another.
    for _ in 0..2 {
        every_write(&bed, &held, attempt).await;
        assert_eq!(outcome(bed.get(&held.job).await), before);
    }
    assert_eq!(before.job.status, status);
}

pub(super) async fn a_completed_job_stays_completed_whatever_is_tried(bed: Bed) {
    stays(bed, JobStatus::Completed).await;
}

pub(super) async fn a_failed_job_stays_failed_whatever_is_tried(bed: Bed) {
    stays(bed, JobStatus::Failed).await;
}

pub(super) async fn a_cancelled_job_stays_cancelled_whatever_is_tried(bed: Bed) {
    stays(bed, JobStatus::Cancelled).await;
}

pub(super) async fn a_job_cancelled_while_queued_stays_cancelled_whatever_is_tried(bed: Bed) {
    let job = bed.submit("job", 2).await;
    opened(bed.cancel(&job, &by_alice()).await);
    let before = outcome(bed.get(&job).await);
    let fence = crate::store::Fence { incarnation: bed.node().await, epoch: 1 };
    let held = Held { job, fence };
    every_write(&bed, &held, bed.attempt()).await;
    assert_eq!(outcome(bed.get(&held.job).await), before);
    assert_eq!(bed.due().await, [], "nothing was ever begun");
}
