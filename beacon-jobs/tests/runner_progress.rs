//! What an executor tells of its progress reaches whoever looks, and holds up nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::future_not_send,
    reason = "a test's panic is its verdict, and it waits for the real machine"
)]

#[macro_use]
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use beacon_jobs::job::{ExecutionProgress, JobDetail};
use beacon_jobs::{Error, ErrorKind};
use support::prelude::*;
use support::probe::Answer;
use tokio::sync::Semaphore;

on_each_store!(
    progress_is_seen_while_the_work_goes_on_and_the_last_stays,
    of_much_that_is_told_little_is_written,
    a_store_that_answers_no_progress_holds_up_no_result,
    a_cancel_is_not_held_up_by_progress_that_waits,
    progress_that_the_store_refused_is_written_once_it_answers,
);

fn told(detail: &JobDetail) -> Option<u32> {
    detail.executions[0].progress.as_ref().map(|progress| progress.done)
}

/// A closure that tells of a step whenever it gets a permit, and ends with so many steps.
fn steps(gate: &Arc<Semaphore>, count: u32) -> FunctionExecutor {
    let gate = Arc::clone(gate);
    FunctionExecutor::new("steps", move |call| {
        let gate = Arc::clone(&gate);
        async move {
            for step in 1..=count {
                gate.acquire().await.unwrap().forget();
                call.report_progress(ExecutionProgress::new(step).of(count).with_message("working"));
                // Whoever writes has its turn.
                tokio::task::yield_now().await;
            }
            Ok(json!(null))
        }
    })
}

async fn progress_is_seen_while_the_work_goes_on_and_the_last_stays(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let gate = Arc::new(Semaphore::new(0));
    let runner = runner(&jobs).executor(steps(&gate, 3)).start().await.unwrap();
    let id = submit(&jobs, one("steps")).await;
    let mut watch = jobs.watch(&id);
    for step in 1..3 {
        gate.add_permits(1);
        let seen = async {
            while let Some(outline) = watch.next().await.unwrap() {
                let progress = outline.executions[0].progress.as_ref();
                if progress.is_some_and(|progress| progress.done == step) {
                    return progress.unwrap().to_string();
                }
            }
            panic!("the job is over");
        };
        assert_eq!(tokio::time::timeout(LONG, seen).await.unwrap(), format!("{step} of 3: working"));
    }
    gate.add_permits(1);
    let detail = settled(&jobs, &id).await;
    assert_eq!((detail.job.status, told(&detail)), (JobStatus::Completed, Some(3)));
    runner.shutdown(LONG).await;
}

async fn of_much_that_is_told_little_is_written(stand: Stand) {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let hook: Hook = Box::new(move |name, before| {
        count.fetch_add(usize::from(before && name == "report_progress"), Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    });
    let jobs = Jobs::new(Probe::new(&stand.store, hook));
    let gate = Arc::new(Semaphore::new(5_000));
    let runner = runner(&jobs).executor(steps(&gate, 5_000)).start().await.unwrap();
    let id = submit(&jobs, one("steps")).await;
    let detail = settled(&jobs, &id).await;
    assert_eq!((detail.job.status, told(&detail)), (JobStatus::Completed, Some(5_000)));
    let written = written.load(Ordering::SeqCst);
    assert!((1..100).contains(&written), "{written} of 5 000 were written");
    runner.shutdown(LONG).await;
}

/// A store whose answer to a report of progress comes from this.
fn answering(stand: &Stand, answer: impl Fn() -> Answer + Send + Sync + 'static) -> Jobs {
    let hook: Hook =
        Box::new(
            move |name, before| {
                if before && name == "report_progress" { answer() } else { Box::pin(async { Ok(()) }) }
            },
        );
    Jobs::new(Probe::new(&stand.store, hook))
}

async fn a_store_that_answers_no_progress_holds_up_no_result(stand: Stand) {
    let jobs = answering(&stand, || Box::pin(std::future::pending()));
    let gate = Arc::new(Semaphore::new(3));
    let runner = runner(&jobs).executor(steps(&gate, 3)).start().await.unwrap();
    let id = submit(&jobs, one("steps")).await;
    let detail = settled(&jobs, &id).await;
    assert_eq!((detail.job.status, told(&detail)), (JobStatus::Completed, None));
    runner.shutdown(LONG).await;
}

async fn a_cancel_is_not_held_up_by_progress_that_waits(stand: Stand) {
    let asked = Arc::new(Semaphore::new(0));
    let told = Arc::clone(&asked);
    let jobs = answering(&stand, move || {
        told.add_permits(1);
        Box::pin(std::future::pending())
    });
    let gate = Arc::new(Semaphore::new(1));
    let work = steps(&gate, 3);
    let runner = runner(&jobs).executor(work.clone()).start().await.unwrap();
    let id = submit(&jobs, one("steps")).await;
    asked.acquire().await.unwrap().forget();
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    let detail = settled(&jobs, &id).await;
    assert_eq!(detail.job.status, JobStatus::Cancelled);
    assert_eq!(work.running(), 0);
    runner.shutdown(LONG).await;
}

async fn progress_that_the_store_refused_is_written_once_it_answers(stand: Stand) {
    let tries = AtomicUsize::new(0);
    let jobs = answering(&stand, move || {
        let fails = tries.fetch_add(1, Ordering::SeqCst) == 0;
        let error = || Error::new(ErrorKind::Unavailable, "not now");
        Box::pin(async move { if fails { Err(error()) } else { Ok(()) } })
    });
    let gate = Arc::new(Semaphore::new(1));
    let runner = runner(&jobs).executor(steps(&gate, 2)).start().await.unwrap();
    let id = submit(&jobs, one("steps")).await;
    until(&jobs, &id, |detail| told(detail) == Some(1)).await;
    gate.add_permits(1);
    assert_eq!(told(&settled(&jobs, &id).await), Some(2));
    runner.shutdown(LONG).await;
}
