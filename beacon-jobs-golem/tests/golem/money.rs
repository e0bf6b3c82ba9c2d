//! Money: nothing above the budget, nothing owed is left, nothing stays aside.

use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::job::{ExecutionStatus, FailureKind};
use beacon_jobs::stop::StopState;
use beacon_jobs_golem::fake::Fault;
use serde_json::json;

use crate::bed::{Bed, input};

const MOMENT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn debit_notes_are_accepted_while_work_goes_on() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| {
        behaviour.note_every = Some(MOMENT);
        behaviour.note_patience = Some(Duration::from_secs(5));
        behaviour.invoice = "0.5".to_owned();
    });
    let _runner = bed.runner().await;
    let id = bed.computing().await;
    bed.yagna.until(|yagna| yagna.received("AcceptDebitNote") >= 3 && yagna.accepted() > 0.0).await;
    bed.yagna.complete();
    let record = bed.outcome(&id).await;
    assert_eq!(record.status, ExecutionStatus::Completed, "{:?}", record.error);
    assert_eq!(record.output.unwrap()["cost"]["amount"], json!("0.5"));
    // Notes and invoice are of the same work, and are not added.
    assert!((bed.yagna.accepted() - 0.5).abs() < 1e-9, "{}", bed.yagna.accepted());
    bed.clean().await;
}

#[tokio::test]
async fn a_debit_note_above_the_budget_ends_the_work() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| {
        behaviour.note_every = Some(MOMENT);
        behaviour.note = "0.3".to_owned();
        behaviour.invoice = "0.9".to_owned();
    });
    let _runner = bed.runner().await;
    let id = bed.submit(input("go_on")).await;
    let failure = bed.outcome(&id).await.error.unwrap();
    assert_eq!(failure.kind, FailureKind::Provider);
    assert!(failure.message.contains("the budget of 1 GLM is used up"), "{failure}");
    bed.stop(&id, StopState::Confirmed).await;
    bed.clean().await;
    assert!(bed.yagna.accepted() <= 1.0, "{}", bed.yagna.accepted());
}

#[tokio::test]
async fn an_invoice_above_the_budget_is_not_accepted() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| behaviour.invoice = "1.000000000000000001".to_owned());
    let _runner = bed.runner().await;
    let output = bed.run(input("echo")).await.output.unwrap();
    assert_eq!(output["cost"]["state"], json!("refused"));
    assert_eq!(output["cost"]["amount"], json!("1.000000000000000001"));
    bed.clean().await;
    assert_eq!((bed.yagna.accepted(), bed.yagna.received("AcceptInvoice")), (0.0, 0));
}

#[tokio::test]
async fn an_invoice_that_comes_late_is_settled_after_the_output() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| behaviour.invoice_after = Some(Duration::from_millis(600)));
    let executor = bed.executor().with_invoices(Duration::from_millis(50), Duration::from_secs(40));
    let _runner = bed.runner_with(executor).await;
    let output = bed.run(input("echo")).await.output.unwrap();
    assert_eq!(output["cost"]["state"], json!("open"));
    assert_eq!((bed.yagna.accepted(), bed.yagna.allocations()), (0.0, 1), "the money waits for it");
    bed.clean().await;
    assert_eq!(bed.yagna.invoices_accepted(), 1);
}

#[tokio::test]
async fn an_invoice_holds_up_no_stop_and_is_settled_after_it() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| behaviour.invoice_after = Some(Duration::from_millis(800)));
    let _runner = bed.runner().await;
    let id = bed.computing().await;
    bed.cancel(&id).await;
    bed.stop(&id, StopState::Confirmed).await;
    assert_eq!((bed.yagna.invoices_accepted(), bed.yagna.allocations()), (0, 1));
    bed.clean().await;
    assert_eq!(bed.yagna.invoices_accepted(), 1);
}

#[tokio::test]
async fn money_for_an_invoice_that_never_comes_is_given_back() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| behaviour.invoice_after = None);
    let _runner = bed.runner_with(bed.executor().with_invoices(MOMENT, Duration::from_millis(300))).await;
    let output = bed.run(input("echo")).await.output.unwrap();
    assert_eq!(output["cost"]["state"], json!("open"));
    bed.clean().await;
    assert_eq!(bed.yagna.accepted(), 0.0);
}

#[tokio::test]
async fn a_cancel_ends_the_acceptance_of_debit_notes() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| {
        behaviour.note_every = Some(MOMENT);
        behaviour.note_patience = Some(Duration::from_millis(300));
        behaviour.invoice_after = None;
    });
    let runner = bed.runner_with(bed.executor().with_confirm_limit(Duration::from_millis(200))).await;
    let id = bed.computing().await;
    bed.yagna.until(|yagna| yagna.received("AcceptDebitNote") > 0).await;
    // Neither way reaches the provider; its own timers do, as soon as nobody pays.
    let busy = || Fault::Fails(500, "{\"message\":\"GSB error\"}".to_owned());
    bed.yagna.inject("DestroyActivity", u32::MAX, busy());
    bed.yagna.inject("TerminateAgreement", u32::MAX, busy());
    bed.cancel(&id).await;
    while runner.running_attempts() > 0 {
        tokio::task::yield_now().await;
    }
    let accepted = bed.yagna.received("AcceptDebitNote");
    bed.yagna.until(|yagna| yagna.alive() == 0).await;
    assert_eq!(bed.yagna.received("AcceptDebitNote"), accepted);
    // Its final state shows the end.
    bed.stop(&id, StopState::Confirmed).await;
}

#[tokio::test]
async fn payments_that_a_dead_process_left_open_are_taken_up_by_the_next() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| behaviour.invoice_after = Some(Duration::from_millis(400)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let executor = bed.executor().with_invoices(MOMENT, Duration::from_secs(40));
    let (jobs, built) = (bed.jobs.clone(), executor.build().unwrap());
    let started = runtime.spawn(async move {
        beacon_jobs::runner::JobRunner::builder(&jobs).executor(built).start().await.unwrap()
    });
    let runner = started.await.unwrap();
    let output = bed.run(input("echo")).await.output.unwrap();
    assert_eq!(output["cost"]["state"], json!("open"));
    runtime.shutdown_background();
    drop(runner);
    assert_eq!(bed.yagna.allocations(), 1);
    let next = bed.executor().build().unwrap();
    assert_eq!(next.recover().await.unwrap(), 1);
    bed.clean().await;
    assert_eq!(bed.yagna.invoices_accepted(), 1);
    assert_eq!(next.recover().await.unwrap(), 0);
}

#[tokio::test]
async fn money_of_work_that_goes_on_is_left_alone_by_who_recovers() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let id = bed.computing().await;
    assert_eq!(bed.executor().build().unwrap().recover().await.unwrap(), 0);
    assert_eq!(bed.yagna.allocations(), 1);
    bed.yagna.complete();
    assert_eq!(bed.outcome(&id).await.status, ExecutionStatus::Completed);
    bed.clean().await;
}

/// The reply that held its id was lost.
#[tokio::test]
async fn money_whose_allocation_was_not_heard_of_is_given_back() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.inject("CreateAllocation", 1, Fault::ReplyLost);
    let id = bed.submit(input("echo")).await;
    assert!(bed.outcome(&id).await.error.is_some());
    bed.stop(&id, StopState::Confirmed).await;
    bed.clean().await;
    assert_eq!(bed.yagna.received("CreateAllocation"), 1);
}

/// It was on its way when the attempt had ended. Before it has arrived, or can arrive no more, nothing is confirmed.
#[tokio::test]
async fn money_and_demands_that_arrive_late_are_taken_back() {
    const LATE: Duration = Duration::from_millis(300);
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    for call in ["CreateAllocation", "Subscribe"] {
        bed.yagna.inject(call, 1, Fault::Late(LATE));
        let id = bed.submit(input("echo")).await;
        assert!(bed.outcome(&id).await.error.is_some());
        bed.stop(&id, StopState::Confirmed).await;
        // By now it has arrived, whatever was said before.
        SystemClock.sleep(LATE).await;
        bed.clean().await;
    }
}

#[tokio::test]
async fn what_the_daemon_does_not_take_back_at_once_is_given_back_later() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.inject("CreateAllocation", 1, Fault::Answers("[1]".to_owned()));
    bed.yagna.inject("ListAllocations", 2, Fault::Fails(500, "busy".to_owned()));
    let failure = bed.failure(input("echo")).await;
    assert!(failure.message.contains("CreateAllocation"), "{failure}");
    bed.clean().await;

    bed.yagna.inject("Subscribe", 1, Fault::Answers("[1]".to_owned()));
    bed.yagna.inject("ListDemands", 2, Fault::Fails(500, "busy".to_owned()));
    let failure = bed.failure(input("echo")).await;
    assert!(failure.message.contains("Subscribe"), "{failure}");
    bed.clean().await;
}
