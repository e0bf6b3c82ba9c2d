//! Nodes that crash, freeze, drain and come back: promises 6 and 7, and the traces H5, H7 and H13.

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

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use beacon_jobs::executor::Executor;
use beacon_jobs::job::OnInterrupt;
use beacon_jobs::runner::JobRunner;
use beacon_jobs::{Error, ErrorKind};
use support::prelude::*;

on_each_store!(
    a_crash_at_any_step_loses_no_job_and_no_compute,
    a_crashed_node_s_work_that_cannot_resume_is_ended_and_begun_again,
    a_crashed_node_s_work_that_can_resume_is_only_watched,
    work_saved_but_never_begun_is_interrupted_not_fed,
    an_interrupted_execution_fails_where_the_job_says_so,
    a_job_whose_executions_are_all_over_gets_its_outcome_after_a_crash,
    lost_replies_of_any_commit_leave_no_job_behind,
    a_drain_hands_over_without_a_stop,
    a_drain_interrupts_what_cannot_resume_and_the_next_node_runs_it,
    a_store_that_is_away_for_a_while_loses_nothing,
    a_dropped_runner_goes_on_with_nothing,
);

/// A node that can be killed: its tasks end at whatever await they are.
struct Victim {
    runtime: Option<tokio::runtime::Runtime>,
    _runner: JobRunner,
}

impl Victim {
    fn start(store: &Arc<dyn JobStore>, executor: impl Executor) -> (Self, Jobs) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let jobs = Jobs::new(Arc::clone(store));
        let builder = runner(&jobs).executor(executor);
        let started = std::thread::scope(|scope| {
            scope.spawn(|| runtime.block_on(builder.start()).unwrap()).join().unwrap()
        });
        (Self { runtime: Some(runtime), _runner: started }, jobs)
    }

    /// Kills the node, and says in the store that its process is gone, as a successor on the same
    /// host finds out by the process id.
    async fn kill(mut self, store: &Arc<dyn JobStore>) {
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10))).await.unwrap();
        for record in store.nodes().await.unwrap() {
            store.end_node(record.node.incarnation, NodeEnd::ProcessGone).await.unwrap();
        }
    }
}

/// Kills a node when its runner makes the `step`-th call, lets a second one go on, and looks at
/// what became of the job. `false` when there was no such step.
async fn crash_at(stand: &Stand, step: usize, cancel: bool) -> bool {
    let provider = Provider::default();
    let calls = Arc::new(AtomicUsize::new(0));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let hook: Hook = {
        let calls = Arc::clone(&calls);
        Box::new(move |name, _| {
            let relevant = matches!(
                name,
                "claim" | "start" | "save_handles" | "finish" | "finish_job" | "seal" | "record_stops"
            );
            let now = relevant && calls.fetch_add(1, Ordering::SeqCst) == step;
            let tell = tell.clone();
            Box::pin(async move {
                if now {
                    tell.send(()).unwrap();
                    std::future::pending::<()>().await;
                }
                Ok(())
            })
        })
    };
    let probed: Arc<dyn JobStore> = Arc::new(Probe::new(&stand.store, hook));
    let (victim, jobs) = Victim::start(&probed, Remote::two_step(&provider));
    let id = submit(&jobs, one("remote")).await;
    let other = Jobs::new(Arc::clone(&stand.store));
    let mut alive = false;
    let crashed = loop {
        tokio::select! {
            biased;
            _ = told.recv() => break true,
            () = tokio::time::sleep(Duration::from_millis(2)) => {}
        }
        if !alive && !provider.alive().is_empty() {
            alive = true;
            if cancel {
                other.cancel(&id, &by_alice().immediate()).await.unwrap();
            } else {
                provider.finish_all();
            }
        }
        let now = detail(&other, &id).await;
        if now.job.status.is_terminal() && now.stops.open == 0 {
            break false;
        }
    };
    victim.kill(&stand.store).await;
    let acknowledged = cancel && alive;
    let second = runner(&other).executor(Remote::two_step(&provider)).start().await.unwrap();
    let end = loop {
        provider.finish_all();
        let now = detail(&other, &id).await;
        if now.job.status.is_terminal() && now.stops.open == 0 {
            break now;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    if acknowledged {
        assert_eq!(end.job.status, JobStatus::Cancelled, "step {step}: an acknowledged cancel was lost");
    } else {
        assert_eq!(end.job.status, JobStatus::Completed, "step {step}");
    }
    assert_eq!(provider.alive(), [], "step {step}: forgotten compute");
    second.shutdown(LONG).await;
    crashed
}

async fn a_crash_at_any_step_loses_no_job_and_no_compute(stand: Stand) {
    for cancel in [false, true] {
        let mut steps = 0;
        while crash_at(&stand, steps, cancel).await {
            steps += 1;
            assert!(steps < 200);
        }
        println!("crashed at {steps} steps, with cancel: {cancel}");
        assert!(steps >= 10, "{steps}");
    }
}

async fn a_crashed_node_s_work_that_cannot_resume_is_ended_and_begun_again(stand: Stand) {
    let provider = Provider::default();
    let (victim, jobs) = Victim::start(&stand.store, Remote::two_step(&provider));
    let id = submit(&jobs, many("remote", 3)).await;
    let first: HashSet<_> = provider.wait_alive(3).await.into_iter().collect();
    victim.kill(&stand.store).await;
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let second = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    provider.wait("six begins", |state| (state.count("begin") == 6).then_some(())).await;
    let alive: HashSet<_> = provider.wait_alive(3).await.into_iter().collect();
    assert!(alive.is_disjoint(&first));
    provider.finish_all();
    let end = settled(&jobs, &id).await;
    assert_eq!((end.job.status, end.stops.confirmed), (JobStatus::Completed, 3));
    assert!(end.executions.iter().all(|execution| execution.attempt == 2));
    second.shutdown(LONG).await;
}

async fn a_crashed_node_s_work_that_can_resume_is_only_watched(stand: Stand) {
    let provider = Provider::default();
    let (victim, jobs) = Victim::start(&stand.store, Remote::resumable(&provider));
    let id = submit(&jobs, many("remote", 3)).await;
    provider.wait_alive(3).await;
    victim.kill(&stand.store).await;
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let second = runner(&jobs).executor(Remote::resumable(&provider)).start().await.unwrap();
    provider.wait("watchers", |state| (state.count("attach") == 3).then_some(())).await;
    provider.finish_all();
    let end = settled(&jobs, &id).await;
    assert_eq!((end.job.status, end.stops.total), (JobStatus::Completed, 0));
    assert_eq!((provider.count("begin"), provider.count("stop")), (3, 0));
    second.shutdown(LONG).await;
}

/// H7: the successor of a node that had saved a handle and not begun must not begin it.
async fn work_saved_but_never_begun_is_interrupted_not_fed(stand: Stand) {
    let provider = Provider::default();
    let (victim, jobs) = Victim::start(&stand.store, Remote::resumable(&provider));
    provider.hold(Point::AfterSave);
    let id = submit(&jobs, one("remote")).await;
    provider.reached(Point::AfterSave).await;
    victim.kill(&stand.store).await;
    provider.release();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let second = runner(&jobs).executor(Remote::resumable(&provider)).start().await.unwrap();
    provider.wait_alive(1).await;
    assert_eq!((provider.count("attach"), provider.count("create"), provider.count("begin")), (1, 2, 1));
    provider.finish_all();
    let end = settled(&jobs, &id).await;
    assert_eq!((end.job.status, end.executions[0].attempt), (JobStatus::Completed, 2));
    second.shutdown(LONG).await;
}

async fn an_interrupted_execution_fails_where_the_job_says_so(stand: Stand) {
    let provider = Provider::default();
    let (victim, jobs) = Victim::start(&stand.store, Remote::two_step(&provider));
    let mut spec = one("remote");
    spec.on_interrupt = OnInterrupt::Fail;
    let id = submit(&jobs, spec).await;
    provider.wait_alive(1).await;
    victim.kill(&stand.store).await;
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let second = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let end = settled(&jobs, &id).await;
    assert_eq!(end.job.status, JobStatus::Failed);
    assert_eq!(end.executions[0].error.as_ref().unwrap().kind, FailureKind::Interrupted);
    assert_eq!((end.stops.confirmed, provider.alive().len()), (1, 0));
    second.shutdown(LONG).await;
}

async fn a_job_whose_executions_are_all_over_gets_its_outcome_after_a_crash(stand: Stand) {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let hook: Hook = Box::new(move |name, before| {
        let tell = tell.clone();
        Box::pin(async move {
            if name == "finish_job" && before {
                tell.send(()).unwrap();
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    });
    let probed: Arc<dyn JobStore> = Arc::new(Probe::new(&stand.store, hook));
    let quick = || FunctionExecutor::new("quick", |_| async { Ok(json!(1)) });
    let (victim, jobs) = Victim::start(&probed, quick());
    let id = submit(&jobs, one("quick")).await;
    told.recv().await.unwrap();
    victim.kill(&stand.store).await;
    let jobs = Jobs::new(Arc::clone(&stand.store));
    assert_eq!(detail(&jobs, &id).await.job.status, JobStatus::Running);
    let second = runner(&jobs).executor(quick()).start().await.unwrap();
    assert_eq!(settled(&jobs, &id).await.job.status, JobStatus::Completed);
    second.shutdown(LONG).await;
}

/// H5: every commit happens, and its reply is lost.
async fn lost_replies_of_any_commit_leave_no_job_behind(stand: Stand) {
    const CALLS: [&str; 9] = [
        "claim",
        "take_over",
        "start",
        "save_handles",
        "finish",
        "finish_job",
        "seal",
        "record_stops",
        "take_stops",
    ];
    for cancel in [false, true] {
        for lost in CALLS {
            let provider = Provider::default();
            let times = Arc::new(AtomicUsize::new(0));
            let hook: Hook = {
                let times = Arc::clone(&times);
                Box::new(move |name, before| {
                    let now = name == lost && !before && times.fetch_add(1, Ordering::SeqCst) < 3;
                    Box::pin(async move {
                        if now {
                            Err(Error::new(ErrorKind::OutcomeUnknown, "the reply was lost"))
                        } else {
                            Ok(())
                        }
                    })
                })
            };
            let jobs = Jobs::new(Probe::new(&stand.store, hook));
            let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
            let id = submit(&jobs, one("remote")).await;
            provider.wait_alive(1).await;
            if cancel {
                jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
            } else {
                provider.finish_all();
            }
            let end = settled(&jobs, &id).await;
            let expected = if cancel { JobStatus::Cancelled } else { JobStatus::Completed };
            assert_eq!(end.job.status, expected, "lost: {lost}");
            assert_eq!(provider.alive(), [], "lost: {lost}");
            assert_eq!(provider.count("begin"), 1, "lost: {lost}: begun twice");
            runner.shutdown(LONG).await;
            assert_eq!(jobs.contexts().count(), 0);
        }
    }
}

async fn a_drain_hands_over_without_a_stop(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let first = runner(&jobs).executor(Remote::resumable(&provider)).start().await.unwrap();
    let id = submit(&jobs, many("remote", 4)).await;
    provider.wait_alive(4).await;
    let report = first.shutdown(LONG).await;
    assert_eq!((report.interrupted, report.unsettled, report.open_stops), (0, 0, 0));
    assert_eq!(provider.alive().len(), 4, "a deploy costs nothing");
    let second = runner(&jobs).executor(Remote::resumable(&provider)).start().await.unwrap();
    provider.wait("watchers", |state| (state.count("attach") == 4).then_some(())).await;
    provider.finish_all();
    let end = settled(&jobs, &id).await;
    assert_eq!((end.job.status, end.stops.total), (JobStatus::Completed, 0));
    assert_eq!((provider.count("begin"), provider.count("stop")), (4, 0));
    second.shutdown(LONG).await;
}

async fn a_drain_interrupts_what_cannot_resume_and_the_next_node_runs_it(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let first = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let mut spec = many("remote", 4);
    spec.max_parallel = Some(2);
    let id = submit(&jobs, spec).await;
    provider.wait_alive(2).await;
    let report = first.shutdown(Duration::from_millis(50)).await;
    assert_eq!((report.interrupted, report.unsettled, report.open_stops), (1, 0, 0));
    assert_eq!(provider.alive(), [], "stopped, for nobody can go on watching it");
    let now = detail(&jobs, &id).await;
    assert_eq!((now.job.status, now.stops.confirmed), (JobStatus::Running, 2));
    let second = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let end = loop {
        provider.finish_all();
        let now = detail(&jobs, &id).await;
        if now.job.status.is_terminal() {
            break now;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(end.job.status, JobStatus::Completed);
    assert_eq!(provider.count("begin"), 6, "two were begun again, two for the first time");
    second.shutdown(LONG).await;
}

async fn a_store_that_is_away_for_a_while_loses_nothing(stand: Stand) {
    let provider = Provider::default();
    let away = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let hook: Hook = {
        let away = Arc::clone(&away);
        Box::new(move |name, before| {
            // The test itself looks, and cancels.
            let now = before && !matches!(name, "get" | "cancel") && away.load(Ordering::SeqCst);
            Box::pin(async move {
                if now { Err(Error::new(ErrorKind::Unavailable, "the store is away")) } else { Ok(()) }
            })
        })
    };
    let jobs = Jobs::new(Probe::new(&stand.store, hook));
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, many("remote", 3)).await;
    let alive = provider.wait_alive(3).await;
    away.store(true, Ordering::SeqCst);
    provider.finish(alive[0]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(detail(&jobs, &id).await.job.progress.completed, 0);
    away.store(false, Ordering::SeqCst);
    until(&jobs, &id, |detail| detail.job.progress.completed == 1).await;
    away.store(true, Ordering::SeqCst);
    let answer = jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    assert!(matches!(answer.outcome, CancelOutcome::Cancelled { .. }));
    tokio::time::sleep(Duration::from_millis(100)).await;
    away.store(false, Ordering::SeqCst);
    let end = settled(&jobs, &id).await;
    assert_eq!((end.stops.confirmed, provider.alive().len()), (2, 0));
    runner.shutdown(LONG).await;
}

async fn a_dropped_runner_goes_on_with_nothing(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let work = FunctionExecutor::new("work", |_| std::future::pending());
    let first = runner(&jobs).executor(work.clone()).start().await.unwrap();
    let id = submit(&jobs, one("work")).await;
    let lost = first.incarnation().unwrap();
    while work.running() == 0 {
        tokio::task::yield_now().await;
    }
    drop(first);
    while work.running() + jobs.contexts().count() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(detail(&jobs, &id).await.job.status, JobStatus::Running, "nothing was said");
    stand.store.end_node(lost, NodeEnd::ProcessGone).await.unwrap();
    let quick = FunctionExecutor::new("work", |_| async { Ok(json!(1)) });
    let second = runner(&jobs).executor(quick).start().await.unwrap();
    assert_eq!(settled(&jobs, &id).await.job.status, JobStatus::Completed);
    second.shutdown(LONG).await;
}
