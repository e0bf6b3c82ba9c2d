//! A daemon or a provider that behaves badly is never believed too early. Each wait for a stop looks at
//! every step that nothing is confirmed while anything lives.

use std::time::Duration;

use beacon_jobs::stop::StopState;
use beacon_jobs_golem::fake::{Approval, Fault};
use serde_json::json;

use crate::bed::{Bed, input};

const EVER: u32 = u32::MAX;

#[tokio::test]
async fn a_destroyed_activity_is_confirmed_as_the_providers_word() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let id = bed.computing().await;
    bed.cancel(&id).await;
    let evidence = bed.stop(&id, StopState::Confirmed).await.evidence.unwrap();
    assert_eq!((&evidence["level"], &evidence["attested_by"]), (&json!("activity"), &json!("provider")));
    let agreement = &evidence["agreements"][0];
    assert_eq!(agreement["state"], json!("Terminated"));
    assert_eq!(agreement["activities"][0]["destroyed"], json!(true));
    assert_eq!(agreement["activities"][0]["usage"], json!([1.5, 2.5]));
    bed.clean().await;
}

#[tokio::test]
async fn a_destroy_without_an_answer_in_time_is_no_end() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.behave(|behaviour| behaviour.end_after = Duration::from_secs(1));
    let id = bed.computing().await;
    bed.cancel(&id).await;
    // It is confirmed only when it is over, whatever was said before.
    bed.stop(&id, StopState::Confirmed).await;
    assert!(bed.yagna.received("DestroyActivity") > 1);
    bed.clean().await;
}

#[tokio::test]
async fn a_half_way_state_is_no_end() {
    let bed = Bed::new().await;
    let quick = bed.executor().with_confirm_limit(Duration::from_millis(500));
    let _runner = bed.runner_with(quick).await;
    bed.yagna.behave(|behaviour| {
        behaviour.half_way = true;
        behaviour.end_after = Duration::from_secs(600);
    });
    let id = bed.computing().await;
    bed.cancel(&id).await;
    bed.stop(&id, StopState::Unconfirmed).await;
    assert_eq!(bed.yagna.alive(), 1);
    assert!(bed.yagna.received("GetState") > 0, "it was looked at");
}

/// The provider has it, the daemon does not: nothing but the end of the agreement reaches it.
#[tokio::test]
async fn an_orphan_of_a_late_creation_ends_with_its_agreement_and_is_not_confirmed() {
    let bed = Bed::new().await;
    let quick = bed.executor().with_confirm_limit(Duration::from_secs(2));
    // No bill comes for it.
    let quick = quick.with_invoices(Duration::from_millis(100), Duration::from_millis(500));
    let _runner = bed.runner_with(quick).await;
    bed.yagna.behave(|behaviour| behaviour.create_is_late = true);
    let id = bed.submit(input("go_on")).await;
    bed.yagna.until(|yagna| yagna.computing() == 1).await;
    bed.cancel(&id).await;
    let stop = bed.stop(&id, StopState::Acknowledged).await;
    assert_eq!(stop.evidence.unwrap()["level"], json!("agreement"));
    bed.stop(&id, StopState::Unconfirmed).await;
    assert_eq!(bed.yagna.alive(), 0, "it did end");
    bed.clean().await;
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_said_to_be_unconfirmed_with_the_time_of_its_own_timers() {
    let bed = Bed::new().await;
    let quick = bed.executor().with_confirm_limit(Duration::from_millis(500));
    let _runner = bed.runner_with(quick).await;
    let id = bed.computing().await;
    bed.yagna.behave(|behaviour| behaviour.frozen = true);
    bed.cancel(&id).await;
    let why = bed.stop(&id, StopState::Unconfirmed).await.why.unwrap();
    assert!(why.contains("DestroyActivity") && why.contains("timers end the work by 20"), "{why}");
    assert_eq!(bed.yagna.alive(), 1);
    // It thaws, and the stop has gone on.
    bed.yagna.behave(|behaviour| behaviour.frozen = false);
    bed.stop(&id, StopState::Confirmed).await;
    bed.clean().await;
}

/// Its node says yes to everything, and nothing acts on it.
#[tokio::test]
async fn an_agreement_that_is_terminated_while_its_activity_lives_is_no_more_than_acknowledged() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let id = bed.computing().await;
    bed.yagna.behave(|behaviour| behaviour.agent_is_dead = true);
    bed.cancel(&id).await;
    let stop = bed.stop(&id, StopState::Acknowledged).await;
    assert_eq!(stop.evidence.unwrap()["level"], json!("agreement"));
    assert_eq!((bed.yagna.alive(), &*bed.yagna.agreements()[0].state), (1, "Terminated"));
    bed.yagna.behave(|behaviour| behaviour.agent_is_dead = false);
    bed.stop(&id, StopState::Confirmed).await;
}

#[tokio::test]
async fn a_terminate_without_an_answer_holds_up_no_stop() {
    let bed = Bed::new().await;
    // For so long the request is given a chance.
    let second = Duration::from_secs(1);
    let _runner = bed.runner_with(bed.executor().with_debit_notes(second, second)).await;
    let id = bed.computing().await;
    bed.yagna.inject("TerminateAgreement", 1, Fault::Stalls);
    bed.cancel(&id).await;
    bed.stop(&id, StopState::Confirmed).await;
    bed.clean().await;
}

#[tokio::test]
async fn an_agreement_that_is_cancelled_while_it_waits_is_taken_back() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.behave(|behaviour| behaviour.approval = Approval::Never);
    let id = bed.submit(input("go_on")).await;
    bed.yagna.until(|yagna| yagna.received("WaitForApproval") > 0).await;
    bed.cancel(&id).await;
    let stop = bed.stop(&id, StopState::Confirmed).await;
    assert_eq!(stop.evidence.unwrap()["level"], json!("never_began"));
    assert_eq!(bed.yagna.agreements()[0].state, "Cancelled");
    bed.clean().await;
}

/// The approval comes before the cancel has arrived.
#[tokio::test]
async fn an_agreement_that_is_approved_after_all_is_terminated() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.behave(|behaviour| behaviour.approve_after = Duration::from_millis(300));
    bed.yagna.inject("CancelAgreement", 20, Fault::Fails(500, "{\"message\":\"busy\"}".to_owned()));
    let id = bed.submit(input("go_on")).await;
    bed.yagna.until(|yagna| yagna.received("WaitForApproval") > 0).await;
    bed.cancel(&id).await;
    bed.yagna.until(|yagna| yagna.agreements()[0].state == "Approved").await;
    bed.stop(&id, StopState::Confirmed).await;
    assert_eq!((&*bed.yagna.agreements()[0].state, bed.yagna.begun()), ("Terminated", 0));
    bed.clean().await;
}

/// The request is on its way when the stop has found nothing to end. Without a seal that would pass
/// for the end.
#[tokio::test]
async fn an_activity_that_comes_after_the_stop_is_ended_too() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.inject("CreateActivity", 1, Fault::Late(Duration::from_millis(300)));
    // Nothing reaches the agreement meanwhile.
    bed.yagna.inject("TerminateAgreement", 6, Fault::Fails(500, "{\"message\":\"busy\"}".to_owned()));
    let id = bed.submit(input("go_on")).await;
    bed.yagna.until(|yagna| yagna.received("CreateActivity") == 1).await;
    bed.cancel(&id).await;
    bed.yagna.until(|yagna| yagna.alive() == 1).await;
    bed.stop(&id, StopState::Confirmed).await;
    bed.clean().await;
}

/// The confirmation of the agreement is on its way when the stop sees an agreement that is inert.
#[tokio::test]
async fn an_agreement_that_is_confirmed_after_the_stop_has_looked_is_ended_too() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.inject("ConfirmAgreement", 1, Fault::Late(Duration::from_millis(600)));
    let id = bed.submit(input("go_on")).await;
    bed.yagna.until(|yagna| yagna.received("ConfirmAgreement") == 1).await;
    bed.cancel(&id).await;
    bed.yagna.until(|yagna| matches!(&*yagna.agreements()[0].state, "Approved" | "Terminated")).await;
    bed.stop(&id, StopState::Confirmed).await;
    bed.clean().await;
    assert_eq!(bed.yagna.begun(), 0);
}

#[tokio::test]
async fn an_agreement_that_expires_ends_the_work_and_is_told_so() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let id = bed.computing().await;
    bed.yagna.expire();
    let record = bed.outcome(&id).await;
    let failure = record.error.unwrap();
    assert!(failure.message.contains("the provider ended the work"), "{failure}");
    bed.stop(&id, StopState::Confirmed).await;
    bed.clean().await;
}

#[tokio::test]
async fn a_daemon_that_does_not_know_the_agreement_any_more_confirms_nothing() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let id = bed.computing().await;
    bed.yagna.inject("GetAgreement", EVER, Fault::Fails(404, "{\"message\":\"not found\"}".to_owned()));
    bed.cancel(&id).await;
    let why = bed.stop(&id, StopState::Unconfirmed).await.why.unwrap();
    assert!(why.contains("does not know the agreement"), "{why}");
}

#[tokio::test]
async fn a_cancel_weathers_storms() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let id = bed.computing().await;
    for call in ["DestroyActivity", "GetState", "GetAgreement", "ListActivities", "TerminateAgreement"] {
        bed.yagna.inject(call, 3, Fault::Fails(500, "{\"message\":\"GSB error\"}".to_owned()));
        bed.yagna.inject(call, 2, Fault::ReplyLost);
        bed.yagna.inject(call, 2, Fault::Fails(408, "\"timeout\"".to_owned()));
        bed.yagna.inject(call, 1, Fault::Answers("<html>".to_owned()));
    }
    bed.cancel(&id).await;
    bed.stop(&id, StopState::Confirmed).await;
    bed.clean().await;
}
