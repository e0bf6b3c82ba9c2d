//! Waiting for work, from whichever process.

use std::time::Duration;

use beacon_jobs::job::{ExecutionStatus, FailureKind};
use beacon_jobs::runner::JobRunner;
use beacon_jobs_golem::fake::Fault;
use serde_json::json;

use crate::bed::{Bed, input};

/// Hands the work over to the next node, as a deploy does.
async fn hand_over(runner: JobRunner) {
    let report = runner.shutdown(Duration::from_secs(20)).await;
    assert_eq!((report.unsettled, report.open_stops), (0, 0), "{report:?}");
}

#[tokio::test]
async fn work_that_goes_on_is_watched_and_paid_by_the_next_node() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| behaviour.note_every = Some(Duration::from_millis(20)));
    let runner = bed.runner().await;
    let id = bed.computing().await;
    hand_over(runner).await;
    assert_eq!(bed.yagna.alive(), 1, "it goes on meanwhile");
    let before = bed.yagna.received("AcceptDebitNote");
    let _next = bed.runner().await;
    bed.yagna.until(|yagna| yagna.received("AcceptDebitNote") > before).await;
    bed.yagna.complete();
    let record = bed.outcome(&id).await;
    assert_eq!((record.status, record.attempt), (ExecutionStatus::Completed, 1), "{:?}", record.error);
    assert_eq!(record.output.unwrap()["results"][0]["stdout"], json!("done\n"));
    assert_eq!((bed.yagna.begun(), bed.yagna.received("Exec")), (1, 1));
    bed.clean().await;
}

#[tokio::test]
async fn a_node_of_another_daemon_says_so() {
    let bed = Bed::new().await;
    let other = Bed::new().await;
    let runner = bed.runner().await;
    let id = bed.computing().await;
    hand_over(runner).await;
    let body = "{\"identity\":\"0xanother\",\"name\":\"\",\"role\":\"manager\"}".to_owned();
    other.yagna.inject("Me", u32::MAX, Fault::Answers(body));
    let _next = bed.runner_with(other.executor()).await;
    let failure = bed.outcome(&id).await.error.unwrap();
    assert_eq!(failure.kind, FailureKind::Interrupted);
    assert!(failure.message.contains("0xanother"), "{failure}");
    let stop = bed.stop(&id, beacon_jobs::stop::StopState::Unconfirmed).await;
    assert!(stop.why.unwrap().contains("0xanother"));
    assert_eq!(bed.yagna.alive(), 1, "what nobody reaches is not said to have ended");
}

#[tokio::test]
async fn polls_without_an_answer_say_nothing_about_the_work() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.inject("GetResults", 2, Fault::Fails(408, String::new()));
    bed.yagna.inject("GetResults", 2, Fault::ReplyLost);
    bed.yagna.inject("GetResults", 2, Fault::Answers("[{]".to_owned()));
    bed.yagna.inject("GetResults", 2, Fault::Fails(500, "oh".to_owned()));
    assert_eq!(bed.run(input("echo")).await.status, ExecutionStatus::Completed);
    assert!(bed.yagna.received("GetResults") > 8);
    assert_eq!(bed.yagna.begun(), 1);
    bed.clean().await;
}

/// The output is there, and what ran is not shown to have ended: that is no success.
#[tokio::test]
async fn work_that_is_done_and_does_not_end_is_not_completed() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.inject("DestroyActivity", 6, Fault::Fails(408, "\"timeout\"".to_owned()));
    let id = bed.submit(input("echo")).await;
    let record = bed.outcome(&id).await;
    let failure = record.error.unwrap();
    assert!(failure.message.contains("its activity does not end"), "{failure}");
    assert_eq!(record.output.or(record.late_output).unwrap()["results"][0]["stdout"], json!("one\ntwo\n"));
    bed.stop(&id, beacon_jobs::stop::StopState::Confirmed).await;
    bed.clean().await;
}
