//! Stops until they are settled: promises 4 and 5, and the traces H1, H2, H3, H4, H6, H10 and H11.

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

use beacon_jobs::cancel::StopMode;
use beacon_jobs::executor::Reach;
use beacon_jobs::host::ProcessIdentity;
use beacon_jobs::stop::StopRequest;
use beacon_jobs::store::{CloseStop, CloseStopOutcome, StopAnswer, StopUpdate};
use serde_json::Value;
use support::prelude::*;
use tokio::sync::Semaphore;

on_each_store!(
    h1_evidence_older_than_the_last_possible_start_confirms_nothing,
    h2_a_retry_forgets_no_older_compute,
    h3_a_stop_without_a_handle_is_settled_by_the_seal,
    h3_one_step_work_without_a_handle_is_never_called_stopped,
    h6_a_failure_requests_the_stop_of_what_it_leaves_alive,
    h10_a_retry_waits_until_the_older_compute_has_ended,
    h10_an_older_stop_that_never_settles_fails_the_execution,
    h11_a_stop_is_driven_through_errors_and_acknowledgements,
    a_stop_call_is_told_what_the_one_before_it_showed,
    a_stop_call_is_told_what_another_process_saw,
    an_overdue_acknowledgement_is_on_record_with_what_it_shows,
    what_was_asked_during_a_stop_call_is_told_what_that_call_showed,
    overdue_is_nothing_while_the_grace_runs_and_grows_after_it,
    a_timeout_stops_the_attempt_and_tries_again,
    a_job_out_of_time_fails_and_is_stopped,
    a_blocking_closure_is_unconfirmable_until_it_returns,
    work_of_a_missing_host_is_left_alone_and_said_to_be_unconfirmed,
    an_administrator_closes_a_stop_on_record,
    a_refused_save_begins_nothing,
    a_local_cancel_is_driven_while_the_store_is_asked_for_stops,
    every_stop_of_a_job_of_many_executions_is_driven,
    h13_a_create_that_lands_after_the_settle_limit_is_saved_and_stopped,
);

async fn h1_evidence_older_than_the_last_possible_start_confirms_nothing(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    provider.hold(Point::Begin);
    let id = submit(&jobs, one("remote")).await;
    provider.reached(Point::Begin).await;
    // The begin request is on its way when the cancel commits.
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    let stopped = provider.wait("a stop call", |state| (state.count("stop") > 0).then_some(()));
    stopped.await;
    let now = until(&jobs, &id, |detail| detail.stops.acknowledged == 1).await;
    assert_eq!(now.stops.confirmed, 0, "the provider showed an inert object, which may still begin");
    provider.release();
    let end = settled(&jobs, &id).await;
    assert_eq!(end.stops.confirmed, 1);
    assert_eq!(provider.alive(), [], "confirmed while the compute runs");
    let evidence = end.executions[0].stop.as_ref().unwrap().evidence.clone().unwrap();
    assert_ne!(evidence["was"], "Some(Inert)", "the evidence is older than the begin");
    runner.shutdown(LONG).await;
}

async fn h2_a_retry_forgets_no_older_compute(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    provider.fail_attempts(1);
    provider.stubborn(true);
    let mut spec = one("remote").with_max_attempts(2);
    (spec.backoff_seconds, spec.allow_overlap) = (0, true);
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, spec).await;
    let alive = provider.wait_alive(2).await;
    provider.finish(alive[1]);
    let now = until(&jobs, &id, |detail| detail.job.status == JobStatus::Completed).await;
    // The newer attempt's end says nothing of the older one, which still computes.
    assert!(now.stops.open == 1 && now.stops.confirmed == 0, "{:?}", now.stops);
    provider.stubborn(false);
    let end = settled(&jobs, &id).await;
    assert_eq!(end.stops.confirmed, 1);
    assert_eq!(provider.alive(), []);
    assert_eq!(end.executions[0].attempt, 2);
    runner.shutdown(LONG).await;
}

async fn h3_a_stop_without_a_handle_is_settled_by_the_seal(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    provider.hold(Point::BeforeCreate);
    let id = submit(&jobs, one("remote")).await;
    provider.reached(Point::BeforeCreate).await;
    jobs.cancel(&id, &by_alice().with_grace(LONG)).await.unwrap();
    let now = detail(&jobs, &id).await;
    assert_eq!((now.stops.requested, now.stops.open), (1, 1), "the barrier was passed: a stop is open");
    provider.release();
    let end = settled(&jobs, &id).await;
    let stop = end.executions[0].stop.as_ref().unwrap();
    assert_eq!(stop.state, StopState::Confirmed);
    assert_eq!(stop.evidence.as_ref().unwrap()["never_began"], true);
    assert_eq!(provider.calls(), Vec::<String>::new());
    runner.shutdown(LONG).await;
}

async fn h3_one_step_work_without_a_handle_is_never_called_stopped(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    provider.hold(Point::BeforeCreate);
    let mut remote = Remote::one_step(&provider);
    remote.capabilities.lifetime_limit = Some(std::time::Duration::from_secs(3600));
    let runner = runner(&jobs).executor(remote).start().await.unwrap();
    let id = submit(&jobs, one("remote")).await;
    provider.reached(Point::BeforeCreate).await;
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    let end = settled(&jobs, &id).await;
    let stop = end.executions[0].stop.as_ref().unwrap();
    assert_eq!(stop.state, StopState::Unconfirmed);
    assert!(stop.why.as_ref().unwrap().contains("3600s"), "{stop:?}");
    provider.release();
    runner.shutdown(LONG).await;
}

async fn h6_a_failure_requests_the_stop_of_what_it_leaves_alive(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    provider.lose_begin_replies();
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, one("remote")).await;
    let end = settled(&jobs, &id).await;
    assert_eq!(end.job.status, JobStatus::Failed);
    assert_eq!(end.stops.confirmed, 1);
    assert_eq!(provider.alive(), []);
    runner.shutdown(LONG).await;
}

async fn h10_a_retry_waits_until_the_older_compute_has_ended(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    provider.fail_attempts(1);
    provider.stubborn(true);
    let mut spec = one("remote").with_max_attempts(2);
    spec.backoff_seconds = 0;
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, spec).await;
    provider.wait("stop calls", |state| (state.count("stop") > 5).then_some(())).await;
    assert_eq!(provider.count("begin"), 1, "two copies compute");
    provider.stubborn(false);
    provider.wait("a second begin", |state| (state.count("begin") == 2).then_some(())).await;
    provider.wait_alive(1).await;
    provider.finish_all();
    let end = settled(&jobs, &id).await;
    assert_eq!((end.job.status, end.executions[0].attempt), (JobStatus::Completed, 2));
    runner.shutdown(LONG).await;
}

async fn h10_an_older_stop_that_never_settles_fails_the_execution(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    provider.fail_attempts(1);
    provider.stubborn(true);
    let mut spec = one("remote").with_max_attempts(2);
    (spec.backoff_seconds, spec.stop_wait_seconds) = (0, 1);
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, spec).await;
    let now = until(&jobs, &id, |detail| detail.job.status.is_terminal()).await;
    assert_eq!(now.job.status, JobStatus::Failed);
    assert_eq!(now.executions[0].error.as_ref().unwrap().kind, FailureKind::StopUnconfirmed);
    assert_eq!(now.stops.open, 1, "the stop is still driven");
    provider.stubborn(false);
    settled(&jobs, &id).await;
    runner.shutdown(LONG).await;
}

async fn h11_a_stop_is_driven_through_errors_and_acknowledgements(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, one("remote")).await;
    provider.wait_alive(1).await;
    provider.fail_stops(6);
    provider.acknowledge_stops(3);
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    let end = settled(&jobs, &id).await;
    assert_eq!(end.stops.confirmed, 1);
    assert!(provider.count("stop") >= 10, "{:?}", provider.calls());
    assert_eq!(provider.alive(), []);
    runner.shutdown(LONG).await;
}

fn shown(provider: &Provider) -> Vec<Option<Value>> {
    provider.told().into_iter().map(|request| request.evidence).collect()
}

async fn a_stop_call_is_told_what_the_one_before_it_showed(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, one("remote")).await;
    provider.wait_alive(1).await;
    provider.acknowledge_stops(3);
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    settled(&jobs, &id).await;
    let heard = |count| Some(json!({ "heard": count }));
    // What was asked for twice at once may be told the same twice; none is told less than one before it.
    let told = shown(&provider);
    let all = [None, heard(1), heard(2), heard(3), heard(4)];
    let place = |told| all.iter().position(|known| known == told).unwrap();
    assert!(told.is_sorted_by_key(place), "{told:?}");
    assert!(told[0].is_none() && told.last().is_some_and(|last| place(last) >= 2), "{told:?}");
    runner.shutdown(LONG).await;
}

async fn a_stop_call_is_told_what_another_process_saw(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let id = submit(&jobs, one("remote")).await;
    let lost = LostNode::begin(&stand.store, ProcessIdentity::current()).await;
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    let evidence = json!({ "containers": ["c-7"] });
    let update = StopUpdate {
        attempt: lost.attempt,
        seen_seal: None,
        seen_confirmed: false,
        seen_tries: None,
        answer: StopAnswer::Acknowledged { evidence: evidence.clone() },
        due_in: std::time::Duration::ZERO,
        watch: false,
    };
    stand.store.record_stops(&[update]).await.unwrap();
    lost.abandon(&stand.store).await;
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    settled(&jobs, &id).await;
    assert_eq!(shown(&provider)[0], Some(evidence));
    runner.shutdown(LONG).await;
}

async fn an_overdue_acknowledgement_is_on_record_with_what_it_shows(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let mut remote = Remote::two_step(&provider);
    remote.capabilities.confirm_limit = std::time::Duration::ZERO;
    let runner = runner(&jobs).executor(remote).start().await.unwrap();
    let id = submit(&jobs, one("remote")).await;
    provider.wait_alive(1).await;
    provider.acknowledge_stops(u32::MAX);
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    let now = until(&jobs, &id, |detail| {
        detail.executions[0].stop.as_ref().is_some_and(|stop| stop.evidence.is_some())
    });
    let stop = now.await.executions[0].stop.clone().unwrap();
    assert_eq!(stop.state, StopState::Unconfirmed, "{stop:?}");
    assert!(stop.why.is_some(), "{stop:?}");
    provider.acknowledge_stops(0);
    settled(&jobs, &id).await;
    runner.shutdown(LONG).await;
}

async fn what_was_asked_during_a_stop_call_is_told_what_that_call_showed(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, one("remote")).await;
    provider.wait_alive(1).await;
    provider.acknowledge_stops(1);
    provider.hold(Point::Stop);
    jobs.cancel(&id, &by_alice().with_grace(LONG)).await.unwrap();
    provider.reached(Point::Stop).await;
    // What it hastens was read while nothing was known.
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    provider.release();
    settled(&jobs, &id).await;
    let told = provider.told();
    let second = (told[1].mode, &told[1].evidence);
    assert_eq!(second, (StopMode::Immediate, &Some(json!({ "heard": 1 }))));
    runner.shutdown(LONG).await;
}

async fn overdue_is_nothing_while_the_grace_runs_and_grows_after_it(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, one("remote")).await;
    provider.wait_alive(1).await;
    provider.stubborn(true);
    jobs.cancel(&id, &by_alice().with_grace(LONG)).await.unwrap();
    provider.wait("stop calls", |state| (state.told().len() > 2).then_some(())).await;
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    let grown = |told: &[StopRequest]| {
        let mut forced = told.iter().filter(|request| request.grace.is_zero()).map(|request| request.overdue);
        let first = forced.next()?;
        forced.next_back().filter(|last| *last > first)
    };
    provider.wait("a call that is told more", |state| grown(state.told())).await;
    for request in provider.told() {
        assert!(request.grace.is_zero() || request.overdue.is_zero(), "{request:?}");
    }
    provider.stubborn(false);
    settled(&jobs, &id).await;
    runner.shutdown(LONG).await;
}

async fn a_timeout_stops_the_attempt_and_tries_again(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let mut spec = one("remote").with_max_attempts(2);
    spec.backoff_seconds = 0;
    spec.executions[0].timeout_seconds = Some(1);
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, spec).await;
    let end = settled(&jobs, &id).await;
    assert_eq!(end.job.status, JobStatus::Failed);
    let execution = &end.executions[0];
    assert_eq!((execution.attempt, execution.error.as_ref().unwrap().kind), (2, FailureKind::Timeout));
    assert_eq!(end.stops.confirmed, 1);
    assert_eq!(provider.alive(), []);
    assert_eq!(provider.count("begin"), 2);
    runner.shutdown(LONG).await;
}

async fn a_job_out_of_time_fails_and_is_stopped(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let mut spec = many("remote", 3);
    spec.timeout_seconds = Some(1);
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, spec).await;
    let end = settled(&jobs, &id).await;
    assert_eq!(end.job.status, JobStatus::Failed);
    assert!(end.executions.iter().all(|execution| execution.status == ExecutionStatus::Failed));
    assert_eq!(end.executions[0].error.as_ref().unwrap().kind, FailureKind::Timeout);
    assert_eq!(end.stops.confirmed, 3);
    assert_eq!(provider.alive(), []);
    runner.shutdown(LONG).await;
}

async fn a_blocking_closure_is_unconfirmable_until_it_returns(stand: Stand) {
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let blocking = FunctionExecutor::blocking("blocking", move |_| {
        tell.send(()).unwrap();
        let _ = released.lock().unwrap().recv();
        Ok(json!("late"))
    });
    let runner = runner(&jobs).executor(blocking.clone()).start().await.unwrap();
    let id = submit(&jobs, one("blocking")).await;
    told.recv().await.unwrap();
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    let now = until(&jobs, &id, |detail| detail.stops.unconfirmed == 1).await;
    assert!(now.executions[0].stop.as_ref().unwrap().why.as_ref().unwrap().contains("cannot be interrupted"));
    assert_eq!(blocking.running(), 1, "the thread is still inside");
    release.send(()).unwrap();
    let end = until(&jobs, &id, |detail| detail.stops.confirmed == 1).await;
    assert_eq!(end.executions[0].output, None);
    runner.shutdown(LONG).await;
}

async fn work_of_a_missing_host_is_left_alone_and_said_to_be_unconfirmed(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let id = submit(&jobs, one("remote")).await;
    let mut process = ProcessIdentity::current();
    process.machine = "another".to_owned();
    let lost = LostNode::begin(&stand.store, process).await;
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    lost.abandon(&stand.store).await;

    let mut remote = Remote::two_step(&provider);
    remote.capabilities.reach = Reach::ThisHost;
    remote.capabilities.confirm_limit = std::time::Duration::from_millis(200);
    let runner = runner(&jobs).executor(remote).start().await.unwrap();
    let end = settled(&jobs, &id).await;
    assert_eq!((end.stops.unconfirmed, end.stops.open), (1, 0));
    let why = end.executions[0].stop.as_ref().unwrap().why.clone().unwrap();
    assert!(why.contains("only its host another/"), "{why}");
    assert_eq!(provider.count("stop"), 0);
    runner.shutdown(LONG).await;
}

async fn an_administrator_closes_a_stop_on_record(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, one("remote")).await;
    let attempt = provider.wait_alive(1).await[0];
    provider.stubborn(true);
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    let close = CloseStop { attempt, by: "root".to_owned(), reason: "the provider is gone".to_owned() };
    assert_eq!(jobs.close_stop(&close).await.unwrap(), CloseStopOutcome::Closed);
    assert_eq!(jobs.close_stop(&close).await.unwrap(), CloseStopOutcome::AlreadySettled);
    let end = settled(&jobs, &id).await;
    assert_eq!((end.stops.unconfirmed, end.stops.confirmed), (1, 0));
    let last = jobs.audit(&id).await.unwrap().pop().unwrap();
    assert_eq!((last.actor.as_str(), last.reason.as_deref()), ("root", Some("the provider is gone")));
    runner.shutdown(LONG).await;
}

/// The cancel comes from a process that does not run the job, and this one does not learn of it, so
/// nothing holds back the sends there: the refused save does.
async fn a_refused_save_begins_nothing(stand: Stand) {
    let provider = Provider::default();
    let looks = Arc::new(Semaphore::new(0));
    let jobs = Jobs::new(Probe::gated(&stand.store, "held", &looks));
    provider.hold(Point::Create);
    let id = submit(&jobs, one("remote")).await;
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    provider.reached(Point::Create).await;
    let elsewhere = Jobs::new(Arc::clone(&stand.store));
    assert!(!elsewhere.cancel(&id, &by_alice()).await.unwrap().context_cancelled);
    provider.release();
    let end = settled(&jobs, &id).await;
    assert_eq!(provider.count("begin"), 0);
    assert_eq!(end.stops.confirmed, 1);
    assert!(provider.count("stop") > 0, "the refused handle was recorded and stopped");
    looks.add_permits(1);
    runner.shutdown(LONG).await;
}

/// The limit ends the waiting, not the request: its reply still brings a handle, which is saved,
/// sealed and stopped.
async fn h13_a_create_that_lands_after_the_settle_limit_is_saved_and_stopped(stand: Stand) {
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    provider.hold(Point::Create);
    let runner = runner(&jobs).executor(Remote::one_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, one("remote")).await;
    provider.reached(Point::Create).await;
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    // There is no grace, so whatever may be dropped is dropped by now.
    tokio::time::sleep(quick_options().poll * 4).await;
    let now = detail(&jobs, &id).await;
    assert_eq!((now.stops.requested, now.stops.open), (1, 1), "no handle, and not sealed: nothing is said");
    assert_eq!(runner.running_attempts(), 1, "the request is under way");
    provider.release();
    let end = settled(&jobs, &id).await;
    assert_eq!((end.stops.confirmed, provider.alive().len()), (1, 0));
    assert!(provider.count("stop") > 0);
    runner.shutdown(LONG).await;
}

async fn a_local_cancel_is_driven_while_the_store_is_asked_for_stops(stand: Stand) {
    let provider = Provider::default();
    let (asks, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let shut = Arc::clone(&gate);
    let hook: Hook = Box::new(move |name, before| {
        let (asks, shut) = (asks.clone(), Arc::clone(&shut));
        Box::pin(async move {
            if name == "take_stops" && before {
                // The test may be over.
                let _ = asks.send(());
                drop(shut.acquire().await);
            }
            Ok(())
        })
    });
    let jobs = Jobs::new(Probe::new(&stand.store, hook));
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, one("remote")).await;
    provider.wait_alive(1).await;
    asked.recv().await.unwrap();
    // From here on the runner's look at the store does not come back.
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    provider.wait("a stop call", |state| (state.count("stop") > 0).then_some(())).await;
    gate.add_permits(1_000);
    settled(&jobs, &id).await;
    runner.shutdown(LONG).await;
}

async fn every_stop_of_a_job_of_many_executions_is_driven(stand: Stand) {
    const EXECUTIONS: usize = 3 * CancelOutcome::MOST_OPENED as usize / 2;
    let provider = Provider::default();
    let jobs = Jobs::new(Arc::clone(&stand.store));
    let mut options = quick_options();
    options.max_executions = EXECUTIONS;
    let runner = runner(&jobs).options(options).executor(Remote::two_step(&provider)).start().await.unwrap();
    let id = submit(&jobs, many("remote", EXECUTIONS)).await;
    provider.wait_alive(EXECUTIONS).await;
    let answer = jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    let CancelOutcome::Cancelled { stops, opened, .. } = answer.outcome else { panic!("{answer:?}") };
    assert_eq!(stops.open, EXECUTIONS as u64);
    assert!(opened.len() >= CancelOutcome::MOST_OPENED as usize);
    let end = settled(&jobs, &id).await;
    assert_eq!(end.stops.confirmed, EXECUTIONS as u64);
    assert_eq!(provider.alive(), [], "confirmed while the compute runs");
    runner.shutdown(LONG).await;
}
