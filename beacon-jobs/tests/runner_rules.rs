//! How a job's rules are kept: lanes, limits, retries, the outcome.

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

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use beacon_jobs::executor::ExecuteError;
use beacon_jobs::job::{ExecutionSpec, JobSpec, parse_job_file};
use support::prelude::*;

on_each_store!(
    a_lane_runs_in_order_and_steps_run_side_by_side,
    limits_of_job_executor_and_node_are_kept,
    a_failed_attempt_is_tried_again_as_often_as_the_job_says,
    the_outcome_follows_the_success_rate,
    a_failure_ends_neither_its_lane_nor_its_job,
    a_panic_fails_its_execution_alone,
    a_job_without_its_executor_waits_and_says_for_what,
    ten_thousand_executions_by_matrix_complete,
);

async fn a_lane_runs_in_order_and_steps_run_side_by_side(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let log = Arc::new(Mutex::new(Vec::new()));
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let work = {
        let log = Arc::clone(&log);
        FunctionExecutor::new("step", move |call| {
            let (log, barrier) = (Arc::clone(&log), Arc::clone(&barrier));
            async move {
                // Two executions of a step meet here, or the test hangs.
                barrier.wait().await;
                log.lock().unwrap().push(call.input.as_str().unwrap().to_owned());
                Ok(json!(null))
            }
        })
    };
    let runner = runner(&jobs).executor(work).start().await.unwrap();
    let file = json!({
        "matrix": { "models": ["a", "b"], "regions": ["north"], "questions": ["q1", "q2", "q3"] },
        "template": { "executor": "step", "input": "{{question}}" }
    });
    let spec = parse_job_file(file.to_string().as_bytes()).unwrap();
    let id = submit(&jobs, spec).await;
    assert_eq!(settled(&jobs, &id).await.job.status, JobStatus::Completed);
    assert_eq!(*log.lock().unwrap(), ["q1", "q1", "q2", "q2", "q3", "q3"]);
    runner.shutdown(LONG).await;
}

async fn limits_of_job_executor_and_node_are_kept(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    // As many as may be under way at once: the work waits for them, and a little longer.
    let limit_a = Arc::new(AtomicUsize::new(3));
    let counter = |name: &'static str, limit: &Arc<AtomicUsize>| {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (seen, limit) = (Arc::clone(&most), Arc::clone(limit));
        let executor = FunctionExecutor::new(name, move |_| {
            let (now, most, limit) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&limit));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                while most.load(Ordering::SeqCst) < limit.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(json!(null))
            }
        });
        (executor, seen)
    };
    let (a, most_a) = counter("a", &limit_a);
    let (b, most_b) = counter("b", &Arc::new(AtomicUsize::new(2)));
    let mut options = quick_options();
    options.max_executions = 6;
    options.max_per_executor.insert("b".to_owned(), 2);
    let runner = runner(&jobs).options(options).executor(a).executor(b).start().await.unwrap();
    let mut limited = many("a", 20);
    limited.max_parallel = Some(3);
    let ids = [submit(&jobs, limited).await, submit(&jobs, many("b", 20)).await];
    for id in &ids {
        assert_eq!(settled(&jobs, id).await.job.status, JobStatus::Completed);
    }
    assert_eq!((most_a.load(Ordering::SeqCst), most_b.load(Ordering::SeqCst)), (3, 2));
    limit_a.store(6, Ordering::SeqCst);
    let id = submit(&jobs, many("a", 20)).await;
    settled(&jobs, &id).await;
    assert_eq!(most_a.load(Ordering::SeqCst), 6);
    runner.shutdown(LONG).await;
}

async fn a_failed_attempt_is_tried_again_as_often_as_the_job_says(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let work = FunctionExecutor::new("flaky", |call| async move {
        let good: u32 = call.read()?;
        if call.number == good {
            Ok(json!(call.number))
        } else {
            Err(ExecuteError::failed("not yet").retryable())
        }
    });
    let fatal = FunctionExecutor::new("fatal", |_| async { Err(ExecuteError::failed("never")) });
    let runner = runner(&jobs).executor(work).executor(fatal).start().await.unwrap();
    let mut spec = JobSpec::new([
        ExecutionSpec::new("flaky", json!(3)),
        ExecutionSpec::new("flaky", json!(4)),
        ExecutionSpec::new("fatal", json!(null)),
        ExecutionSpec::new("flaky", json!("three")),
    ])
    .with_max_attempts(3);
    spec.backoff_seconds = 0;
    let id = submit(&jobs, spec).await;
    let end = settled(&jobs, &id).await;
    let seen: Vec<_> = end.executions.iter().map(|e| (e.status, e.attempt)).collect();
    let failed = ExecutionStatus::Failed;
    assert_eq!(seen, [(ExecutionStatus::Completed, 3), (failed, 3), (failed, 1), (failed, 1)]);
    assert_eq!(end.executions[0].output, Some(json!(3)));
    assert_eq!(end.executions[0].error, None);
    assert_eq!(end.executions[3].error.as_ref().unwrap().kind, FailureKind::InvalidInput);
    runner.shutdown(LONG).await;
}

fn half() -> FunctionExecutor {
    FunctionExecutor::new("half", |call| async move {
        let n: u32 = call.read()?;
        if n.is_multiple_of(2) { Ok(json!(n)) } else { Err(ExecuteError::failed("odd")) }
    })
}

async fn the_outcome_follows_the_success_rate(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let runner = runner(&jobs).executor(half()).start().await.unwrap();
    for (rate, expected) in
        [(0.5, JobStatus::Completed), (0.51, JobStatus::Failed), (0.0, JobStatus::Completed)]
    {
        let mut spec = many("half", 10);
        spec.min_success_rate = rate;
        let id = submit(&jobs, spec).await;
        let end = settled(&jobs, &id).await;
        assert_eq!(end.job.status, expected, "rate {rate}");
        assert_eq!((end.job.progress.completed, end.job.progress.failed), (5, 5));
    }
    runner.shutdown(LONG).await;
}

async fn a_failure_ends_neither_its_lane_nor_its_job(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let runner = runner(&jobs).executor(half()).start().await.unwrap();
    let spec = JobSpec::new((1..=4).map(|n| ExecutionSpec::new("half", json!(n)).with_lane("one")));
    let id = submit(&jobs, spec).await;
    let end = settled(&jobs, &id).await;
    assert_eq!((end.job.progress.completed, end.job.progress.failed), (2, 2));
    runner.shutdown(LONG).await;
}

async fn a_panic_fails_its_execution_alone(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let work = FunctionExecutor::new("work", |call| async move {
        assert!(call.input != json!(1), "on purpose");
        Ok(json!(null))
    });
    let runner = runner(&jobs).executor(work).start().await.unwrap();
    let id = submit(&jobs, many("work", 3)).await;
    let end = settled(&jobs, &id).await;
    assert_eq!((end.job.progress.completed, end.job.progress.failed), (2, 1));
    assert_eq!(end.executions[1].error.as_ref().unwrap().kind, FailureKind::Panicked);
    runner.shutdown(LONG).await;
}

async fn a_job_without_its_executor_waits_and_says_for_what(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let first = runner(&jobs).executor(half()).start().await.unwrap();
    let mut spec = many("half", 1);
    spec.executions.push(ExecutionSpec::new("gpu", json!(null)));
    let id = submit(&jobs, spec).await;
    let other = submit(&jobs, one("half")).await;
    settled(&jobs, &other).await;
    let now = detail(&jobs, &id).await;
    assert_eq!((now.job.status, now.job.waiting_for), (JobStatus::Queued, vec!["gpu".to_owned()]));
    first.shutdown(LONG).await;
    let gpu = FunctionExecutor::new("gpu", |_| async { Ok(json!(null)) });
    let second = runner(&jobs).executor(half()).executor(gpu).start().await.unwrap();
    assert_eq!(settled(&jobs, &id).await.job.status, JobStatus::Completed);
    second.shutdown(LONG).await;
}

async fn ten_thousand_executions_by_matrix_complete(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let quick = FunctionExecutor::new("quick", |_| async { Ok(json!(null)) });
    let runner = runner(&jobs).executor(quick).start().await.unwrap();
    let names = |prefix: &str, count: usize| (0..count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
    let file = json!({
        "matrix": { "models": names("m", 20), "regions": names("r", 50), "questions": names("q", 10) },
        "template": { "executor": "quick", "input": { "ask": "{{question}} of {{model}} in {{region}}" } }
    });
    let id = submit(&jobs, parse_job_file(file.to_string().as_bytes()).unwrap()).await;
    let end = settled(&jobs, &id).await;
    assert_eq!((end.job.status, end.job.progress.completed), (JobStatus::Completed, 10_000));
    runner.shutdown(LONG).await;
}
