use super::super::bed::Bed;
use super::super::words::*;
use crate::job::{ExecutionStatus, JobStatus};
use crate::store::{FinishJobOutcome, FinishOutcome, Refusal, Release, SaveOutcome, StartOutcome};

fn release(held: &Held) -> Release {
    Release { fence: held.fence, job: held.job.clone(), sealed: vec![] }
}

pub(super) async fn a_job_that_was_given_back_is_taken_over_at_once(bed: Bed) {
    let held = bed.held("job", 1).await;
    let node = held.fence.incarnation;
    let attempt = bed.begun(&held, 0).await;

    assert!(bed.store.release(&release(&held)).await.unwrap());

    let detail = bed.get(&held.job).await;
    assert_eq!(detail.job.status, JobStatus::Running, "its status is nobody's business");
    assert_eq!(detail.executions[0].status, ExecutionStatus::Running);
    assert_eq!(bed.due().await, [], "what is handed over is not stopped");
    let taken = bed.take_over(node, &[]).await.remove(0);
    assert_eq!(taken.fence.epoch, held.fence.epoch + 1);
    assert_eq!(taken.executions[0].last_attempt.as_ref().map(|past| past.id), Some(attempt));
}

pub(super) async fn who_gave_a_job_back_does_not_hold_it(bed: Bed) {
    let held = bed.held("job", 2).await;
    let attempt = bed.begun(&held, 0).await;
    assert!(bed.store.release(&release(&held)).await.unwrap());
    assert_eq!(bed.start(held.start(1, bed.attempt())).await, StartOutcome::Refused(Refusal::Lost));
    let save = bed.save(held.save(0, attempt, &handle("first"))).await;
    assert_eq!(save, SaveOutcome::Refused(Refusal::Lost));
    let finish = bed.finish(held.finish(0, attempt, failed(false))).await;
    assert_eq!(finish, FinishOutcome::Refused(Refusal::Lost));
    assert_eq!(bed.finish_job(&held.time_out()).await, FinishJobOutcome::Refused(Refusal::Lost));
    assert_eq!(bed.store.held(held.fence.incarnation, &[]).await.unwrap(), []);
}

pub(super) async fn only_the_holder_gives_a_job_back(bed: Bed) {
    let first = bed.held("job", 1).await;
    let second = bed.again(&first).await;
    let before = bed.snapshot(&first.job).await;
    assert!(!bed.store.release(&release(&first)).await.unwrap());
    assert_eq!(bed.snapshot(&first.job).await, before);
    assert_eq!(bed.finish_job(&second.finish_job()).await, FinishJobOutcome::Unfinished, "the fence holds");
}

pub(super) async fn a_job_that_does_not_run_cannot_be_given_back(bed: Bed) {
    for (name, status) in [("a", JobStatus::Completed), ("b", JobStatus::Failed), ("c", JobStatus::Cancelled)]
    {
        let (held, attempt) = bed.over(name, status).await;
        let before = bed.snapshot(&held.job).await;
        let release = Release { sealed: vec![attempt], ..release(&held) };
        assert!(!bed.store.release(&release).await.unwrap());
        assert_eq!(bed.snapshot(&held.job).await, before, "not even a seal");
    }
    let nobody = Held { job: id("nobody"), fence: bed.held("job", 1).await.fence };
    assert!(!bed.store.release(&release(&nobody)).await.unwrap());
}

pub(super) async fn a_job_that_was_given_back_can_be_cancelled(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    assert!(bed.store.release(&release(&held)).await.unwrap());
    let items = opened(bed.cancel(&held.job, &by_alice()).await);
    assert_eq!(items.iter().map(|item| item.attempt).collect::<Vec<_>>(), [attempt]);
    assert_eq!(bed.take_over(held.fence.incarnation, &[]).await, []);
}
