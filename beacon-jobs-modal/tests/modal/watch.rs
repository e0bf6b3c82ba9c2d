//! Waiting for a call, from whichever process.

use std::time::Duration;

use beacon_jobs::job::{ExecutionStatus, FailureKind};
use beacon_jobs::runner::JobRunner;
use beacon_jobs_modal::fake::Fault;
use serde_json::json;
use tonic::Code;

use crate::bed::{Bed, input, quick};

/// Hands the work over to the next node, as a deploy does.
async fn hand_over(runner: JobRunner) {
    let report = runner.shutdown(Duration::from_secs(20)).await;
    assert_eq!((report.unsettled, report.open_stops), (0, 0), "{report:?}");
}

#[tokio::test]
async fn a_call_that_goes_on_is_watched_by_the_next_node() {
    let bed = Bed::new().await;
    let runner = bed.runner().await;
    let id = bed.submit(input("goes_on")).await;
    bed.alive(1).await;
    hand_over(runner).await;
    assert_eq!(bed.plane.alive(), 1, "it goes on meanwhile");
    let _next = bed.runner().await;
    bed.plane.complete();
    let record = bed.outcome(&id).await;
    assert_eq!((record.status, record.attempt), (ExecutionStatus::Completed, 1), "{:?}", record.error);
    assert_eq!(record.output, Some(json!({ "done": true })));
    assert_eq!((bed.plane.begun(), bed.plane.calls()[0].cancelled), (1, None));
}

#[tokio::test]
async fn an_output_that_has_expired_is_no_cancel_and_is_not_run_again() {
    let bed = Bed::new().await;
    let runner = bed.runner().await;
    let id = bed.submit(input("goes_on")).await;
    bed.alive(1).await;
    hand_over(runner).await;
    bed.plane.complete();
    bed.plane.expire_outputs();
    let _next = bed.runner().await;
    let failure = bed.outcome(&id).await.error.unwrap();
    assert_eq!(failure.kind, FailureKind::Provider);
    assert!(failure.message.contains("seven days"), "{failure}");
    assert_eq!(bed.plane.begun(), 1);
}

#[tokio::test]
async fn a_node_of_another_workspace_or_server_says_so() {
    let bed = Bed::new().await;
    let other = Bed::new().await;
    let runner = bed.runner().await;
    let id = bed.submit(input("goes_on")).await;
    bed.alive(1).await;
    hand_over(runner).await;
    let _next = bed.runner_with(quick(&other.plane.config())).await;
    let failure = bed.outcome(&id).await.error.unwrap();
    assert_eq!(failure.kind, FailureKind::Interrupted);
    assert!(failure.message.contains(&bed.plane.url()), "{failure}");
    let stop = bed.stop(&id, beacon_jobs::stop::StopState::Unconfirmed).await;
    assert!(stop.why.unwrap().contains(&other.plane.url()));
    assert_eq!(bed.plane.alive(), 1, "what nobody reaches is not said to have ended");
}

#[tokio::test]
async fn polls_without_an_answer_say_nothing_about_the_work() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.plane.inject("FunctionGetOutputs", 3, Fault::Fails(Code::Internal));
    bed.plane.inject("FunctionCallGetInfo", 3, Fault::Fails(Code::Aborted));
    let id = bed.submit(input("goes_on")).await;
    bed.alive(1).await;
    bed.plane.until(|plane| plane.received("FunctionGetOutputs") > 3).await;
    bed.plane.complete();
    assert_eq!(bed.outcome(&id).await.status, ExecutionStatus::Completed);
    assert_eq!(bed.plane.begun(), 1);
}
