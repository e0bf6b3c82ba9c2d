//! A cancel against everything that runs beside it: promises 1, 2, 3 and 10.

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

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use beacon_jobs::job::AuditAction;
use futures_util::StreamExt;
use support::prelude::*;
use tokio::sync::Semaphore;

on_each_store!(
    cancel_and_completion_raced_10_000_times_have_one_outcome_and_true_answers,
    cancel_at_every_step_before_the_first_call_means_no_call,
    a_job_cancelled_while_queued_is_never_started,
    a_late_output_is_kept_beside_and_is_never_the_result,
    a_cancel_holds_back_sends_while_it_commits,
    a_cancel_that_was_there_before_the_job_was_registered_holds_its_sends_too,
    ten_thousand_running_jobs_cancelled_leave_nothing,
    a_cancel_of_many_ends_them_all,
    a_harsher_cancel_ends_the_grace_of_running_work,
    a_harsher_cancel_ends_the_wait_for_work_that_its_provider_does_not_end,
);

/// Waits for so many microseconds, if they are more than none.
async fn pause(micros: i64) {
    match u64::try_from(micros).unwrap_or(0) {
        // A timer is too coarse for these.
        micros @ 0..1000 => {
            for _ in 0..micros / 10 {
                tokio::task::yield_now().await;
            }
        }
        micros => tokio::time::sleep(Duration::from_micros(micros)).await,
    }
}

async fn cancel_and_completion_raced_10_000_times_have_one_outcome_and_true_answers(stand: Stand) {
    const RACES: usize = 10_000;
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let gates = Arc::new(dashmap::DashMap::<String, Arc<tokio::sync::Notify>>::new());
    let started = Arc::new(dashmap::DashMap::<String, tokio::sync::oneshot::Sender<()>>::new());
    let work = {
        let (gates, started) = (Arc::clone(&gates), Arc::clone(&started));
        FunctionExecutor::new("race", move |call| {
            let gate = gates.get(call.job.as_str()).map(|gate| Arc::clone(&gate)).unwrap();
            if let Some((_, started)) = started.remove(call.job.as_str()) {
                let _ = started.send(());
            }
            async move {
                gate.notified().await;
                Ok(json!("done"))
            }
        })
    };
    let mut options = quick_options();
    options.max_jobs = 256;
    let runner = runner(&jobs).options(options).executor(work).start().await.unwrap();
    let won = Arc::new(AtomicUsize::new(0));
    let lost = Arc::new(AtomicUsize::new(0));
    // By how much the cancel comes later than the end of the work, or earlier: drawn towards what
    // lets both sides win.
    let bias = Arc::new(AtomicI64::new(0));
    let races = futures_util::stream::iter(0..RACES).for_each_concurrent(128, |n| {
        let (jobs, gates, started) = (jobs.clone(), Arc::clone(&gates), Arc::clone(&started));
        let (won, lost, bias) = (Arc::clone(&won), Arc::clone(&lost), Arc::clone(&bias));
        async move {
            let name = format!("race-{n}");
            let gate = Arc::new(tokio::sync::Notify::new());
            gates.insert(name.clone(), Arc::clone(&gate));
            let (tell, told) = tokio::sync::oneshot::channel();
            started.insert(name.clone(), tell);
            let id = submit(&jobs, one("race").with_id(name.parse().unwrap())).await;
            told.await.unwrap();
            let later = bias.load(Ordering::Relaxed) + n as i64 % 8 * 20;
            let cancels = tokio::spawn({
                let (jobs, id) = (jobs.clone(), id.clone());
                async move {
                    pause(later).await;
                    let request = by_alice().immediate();
                    let (first, second) =
                        tokio::join!(jobs.cancel(&id, &request), jobs.cancel(&id, &request));
                    [first.unwrap().outcome, second.unwrap().outcome]
                }
            });
            pause(-later).await;
            gate.notify_one();
            let outcomes = cancels.await.unwrap();
            let now = until(&jobs, &id, |detail| detail.job.status.is_terminal()).await;
            let cancelled = outcomes.iter().filter(|o| matches!(o, CancelOutcome::Cancelled { .. })).count();
            let audit = jobs.audit(&id).await.unwrap();
            let records = audit.iter().filter(|entry| entry.action == AuditAction::Cancelled).count();
            if now.job.status == JobStatus::Cancelled {
                won.fetch_add(1, Ordering::Relaxed);
                bias.fetch_add(100, Ordering::Relaxed);
                assert_eq!(cancelled, 1, "exactly one caller cancelled it: {outcomes:?}");
                assert_eq!(records, 1);
                assert!(outcomes.iter().all(|o| matches!(
                    o,
                    CancelOutcome::Cancelled { .. } | CancelOutcome::AlreadyCancelled { .. }
                )));
                assert!(
                    now.executions[0].output.is_none()
                        || now.executions[0].status == ExecutionStatus::Completed
                );
            } else {
                lost.fetch_add(1, Ordering::Relaxed);
                bias.fetch_sub(100, Ordering::Relaxed);
                assert_eq!(now.job.status, JobStatus::Completed);
                assert_eq!((cancelled, records), (0, 0));
                for outcome in outcomes {
                    assert_eq!(outcome, CancelOutcome::AlreadyFinished { status: JobStatus::Completed });
                }
            }
            let settled = settled(&jobs, &id).await;
            assert_eq!(settled.job.status, now.job.status, "a terminal status changed");
            gates.remove(&name);
        }
    });
    races.await;
    let (won, lost) = (won.load(Ordering::Relaxed), lost.load(Ordering::Relaxed));
    println!("{RACES} races: {won} cancelled, {lost} completed");
    assert!(won > 100 && lost > 100, "a race that one side always wins shows nothing: {won} to {lost}");
    runner.shutdown(LONG).await;
    assert_eq!(jobs.contexts().count(), 0);
}

/// Runs one job with a cancel at the `step`-th store call of the runner; tells whether that step
/// came before the first provider call, and checks that then there was none.
async fn cancel_at(stand: &Stand, step: usize) -> bool {
    let provider = Provider::default();
    let door: Arc<std::sync::OnceLock<Jobs>> = Arc::default();
    let seen = Arc::new(AtomicUsize::new(0));
    let before_the_first_call = Arc::new(AtomicUsize::new(0));
    let id: beacon_jobs::JobId = format!("step-{step}").parse().unwrap();
    let hook: Hook = {
        let (door, id, seen) = (Arc::clone(&door), id.clone(), Arc::clone(&seen));
        let (provider, before) = (provider.clone(), Arc::clone(&before_the_first_call));
        Box::new(move |name, _| {
            let (door, id, provider, before) =
                (Arc::clone(&door), id.clone(), provider.clone(), Arc::clone(&before));
            let relevant = matches!(name, "claim" | "take_over" | "start" | "save_handles");
            let now = relevant && seen.fetch_add(1, Ordering::SeqCst) == step;
            Box::pin(async move {
                if now && provider.calls().is_empty() {
                    let answer = door.get().unwrap().cancel(&id, &by_alice().immediate()).await.unwrap();
                    assert!(matches!(answer.outcome, CancelOutcome::Cancelled { .. }));
                    before.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            })
        })
    };
    let jobs = Jobs::new(Probe::new(&stand.store, hook));
    submit(&jobs, one("remote").with_id(id.clone())).await;
    door.set(jobs.clone()).unwrap();
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let cancelled = loop {
        if before_the_first_call.load(Ordering::SeqCst) > 0 {
            break true;
        }
        if !provider.calls().is_empty() {
            break false;
        }
        tokio::task::yield_now().await;
    };
    if !cancelled {
        provider.wait_alive(1).await;
        provider.finish_all();
    }
    let end = settled(&jobs, &id).await;
    if cancelled {
        assert_eq!(end.job.status, JobStatus::Cancelled);
        assert_eq!(provider.calls(), Vec::<String>::new(), "step {step}");
        assert_eq!(end.stops.open, 0);
    }
    runner.shutdown(LONG).await;
    assert_eq!(jobs.contexts().count(), 0);
    cancelled
}

async fn cancel_at_every_step_before_the_first_call_means_no_call(stand: Stand) {
    let mut steps = 0;
    while cancel_at(&stand, steps).await {
        steps += 1;
        assert!(steps < 100, "the first provider call never comes");
    }
    println!("cancelled at {steps} steps between the first look at the job and the first provider call");
    assert!(steps >= 5, "take over, claim and start each have two sides, found {steps}");
}

async fn a_job_cancelled_while_queued_is_never_started(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let id = submit(&jobs, many("remote", 5)).await;
    let answer = jobs.cancel(&id, &by_alice()).await.unwrap();
    let CancelOutcome::Cancelled { record, stops, opened } = answer.outcome else { panic!("{answer:?}") };
    assert_eq!((record.previous_status, record.executions_cancelled), (JobStatus::Queued, 5));
    assert_eq!((stops.not_needed, stops.total, opened.len()), (5, 5, 0));
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let other = submit(&jobs, one("remote")).await;
    provider.wait_alive(1).await;
    provider.finish_all();
    until(&jobs, &other, |detail| detail.job.status == JobStatus::Completed).await;
    runner.shutdown(LONG).await;
    assert_eq!(provider.count("create"), 1, "only the other job's");
    assert_eq!(detail(&jobs, &id).await.job.status, JobStatus::Cancelled);
}

async fn a_late_output_is_kept_beside_and_is_never_the_result(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let saver = FunctionExecutor::new("saver", move |call| {
        let tell = tell.clone();
        async move {
            tell.send(()).unwrap();
            call.token.cancelled().await;
            Ok(json!("saved in time"))
        }
    });
    let runner = runner(&jobs).executor(saver).start().await.unwrap();
    let id = submit(&jobs, one("saver")).await;
    told.recv().await.unwrap();
    jobs.cancel(&id, &by_alice()).await.unwrap();
    let end = settled(&jobs, &id).await;
    assert_eq!(end.job.status, JobStatus::Cancelled);
    assert_eq!(end.executions[0].status, ExecutionStatus::Cancelled);
    assert_eq!(end.executions[0].output, None);
    assert_eq!(end.executions[0].late_output, Some(json!("saved in time")));
    assert_eq!(end.executions[0].stop.as_ref().unwrap().state, StopState::Confirmed);
    runner.shutdown(LONG).await;
}

/// A cancel taken in the owner's own process: an attempt that holds its permit wants to send the
/// request that begins its compute right while the cancel has committed and has not returned yet.
async fn a_cancel_holds_back_sends_while_it_commits(stand: Stand) {
    let provider = Provider::default();
    let hook: Hook = {
        let provider = provider.clone();
        Box::new(move |name, before| {
            let provider = provider.clone();
            Box::pin(async move {
                if name == "cancel" && !before {
                    provider.release();
                    for _ in 0..50 {
                        tokio::task::yield_now().await;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Ok(())
            })
        })
    };
    let jobs = Jobs::new(Probe::new(&stand.store, hook));
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    for _ in 0..20 {
        provider.hold(Point::AfterSave);
        let id = submit(&jobs, one("remote")).await;
        provider.reached(Point::AfterSave).await;
        jobs.cancel(&id, &by_alice()).await.unwrap();
        settled(&jobs, &id).await;
        assert_eq!(provider.count("begin"), 0, "begun beside a cancel");
        assert_eq!(provider.alive(), []);
    }
    runner.shutdown(LONG).await;
}

/// The job is claimed and registered only while its cancel waits to commit.
async fn a_cancel_that_was_there_before_the_job_was_registered_holds_its_sends_too(stand: Stand) {
    let gate = Arc::new(Semaphore::new(0));
    let provider = Provider::default();
    let jobs = Jobs::new(Probe::gated(&stand.store, "cancel", &gate));
    for _ in 0..20 {
        let id = submit(&jobs, one("remote")).await;
        let cancel = tokio::spawn({
            let (jobs, id) = (jobs.clone(), id.clone());
            async move { jobs.cancel(&id, &by_alice()).await }
        });
        tokio::task::yield_now().await;
        let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
        until(&jobs, &id, |now| now.executions[0].status == ExecutionStatus::Starting).await;
        // Nothing tells of a request that does not come: what could send it is given its time.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(provider.count("create"), 0, "created while a cancel commits");
        gate.add_permits(1);
        cancel.await.unwrap().unwrap();
        gate.acquire().await.unwrap().forget();
        settled(&jobs, &id).await;
        assert_eq!(provider.count("create"), 0, "created after the cancel");
        runner.shutdown(LONG).await;
    }
    assert_eq!(jobs.contexts().count(), 0);
}

async fn ten_thousand_running_jobs_cancelled_leave_nothing(stand: Stand) {
    const JOBS: usize = 10_000;
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let work = FunctionExecutor::new("forever", |_| std::future::pending());
    let mut options = quick_options();
    (options.max_jobs, options.max_executions, options.poll) = (JOBS, JOBS, Duration::from_secs(1));
    let runner = runner(&jobs).options(options).executor(work.clone()).start().await.unwrap();
    let tasks_before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let ids: Vec<_> = futures_util::stream::iter(0..JOBS)
        .map(|_| submit(&jobs, one("forever")))
        .buffer_unordered(256)
        .collect()
        .await;
    while work.running() < JOBS {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(jobs.contexts().count(), JOBS);
    let cancelled: usize = futures_util::stream::iter(&ids)
        .map(|id| {
            let jobs = jobs.clone();
            async move { jobs.cancel(id, &by_alice().immediate()).await.unwrap() }
        })
        .buffer_unordered(256)
        .filter(|answer| std::future::ready(matches!(answer.outcome, CancelOutcome::Cancelled { .. })))
        .count()
        .await;
    assert_eq!(cancelled, JOBS);
    for id in &ids {
        let end = settled(&jobs, id).await;
        assert_eq!(end.stops.confirmed, 1);
    }
    // A leak is a wait without end here, and the runner of the tests ends that.
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    while jobs.contexts().count() + runner.running_jobs() + runner.running_attempts() + work.running() > 0
        || tasks() > tasks_before + 4
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let filter = beacon_jobs::store::JobFilter { status: Some(JobStatus::Running), ..Default::default() };
    assert!(stand.store.list(&filter).await.unwrap().jobs.is_empty());
    runner.shutdown(LONG).await;
}

async fn a_harsher_cancel_ends_the_wait_for_work_that_its_provider_does_not_end(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, one("remote")).await;
    provider.wait_alive(1).await;
    provider.stubborn(true);
    jobs.cancel(&id, &by_alice().with_grace(Duration::from_secs(600))).await.unwrap();
    until(&jobs, &id, |detail| detail.stops.acknowledged == 1).await;
    assert_eq!(runner.running_attempts(), 1, "its grace runs");
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    let ended = async {
        while runner.running_attempts() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG / 2, ended).await.expect("the grace goes on");
    assert_eq!(provider.alive().len(), 1, "and nothing claims that it has ended");
    assert_eq!(detail(&jobs, &id).await.stops.confirmed, 0);
    provider.stubborn(false);
    assert_eq!(settled(&jobs, &id).await.stops.confirmed, 1);
    runner.shutdown(LONG).await;
}

async fn a_cancel_of_many_ends_them_all(stand: Stand) {
    const JOBS: usize = 40;
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..JOBS {
        ids.push(submit(&jobs, one("remote")).await);
    }
    provider.wait_alive(JOBS).await;
    let answers = jobs.cancel_many(&ids, &by_alice().immediate()).await.unwrap();
    assert_eq!(answers.len(), JOBS);
    for answer in &answers {
        assert!(answer.context_cancelled && matches!(answer.outcome, CancelOutcome::Cancelled { .. }));
    }
    for id in &ids {
        assert_eq!(settled(&jobs, id).await.stops.confirmed, 1);
    }
    assert_eq!(provider.alive(), []);
    runner.shutdown(LONG).await;
}

async fn a_harsher_cancel_ends_the_grace_of_running_work(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let stubborn = FunctionExecutor::new("stubborn", move |_| {
        let tell = tell.clone();
        async move {
            tell.send(()).unwrap();
            std::future::pending().await
        }
    });
    let runner = runner(&jobs).executor(stubborn).start().await.unwrap();
    let id = submit(&jobs, one("stubborn")).await;
    told.recv().await.unwrap();
    let gently = by_alice().with_grace(Duration::from_secs(600));
    jobs.cancel(&id, &gently).await.unwrap();
    assert!(detail(&jobs, &id).await.stops.open > 0);
    let answer = jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    let CancelOutcome::AlreadyCancelled { escalation, .. } = answer.outcome else { panic!("{answer:?}") };
    assert_eq!(escalation.unwrap().hastened.len(), 1);
    let end = settled(&jobs, &id).await;
    assert_eq!(end.stops.confirmed, 1);
    let actions: Vec<_> = jobs.audit(&id).await.unwrap().iter().map(|entry| entry.action).collect();
    assert_eq!(actions, [AuditAction::Submitted, AuditAction::Cancelled, AuditAction::Escalated]);
    runner.shutdown(LONG).await;
}
