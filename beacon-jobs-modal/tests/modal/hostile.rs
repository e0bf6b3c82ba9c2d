//! A Modal that behaves badly is never believed too early. Each wait for a stop looks at every step that
//! nothing is confirmed while it computes.

use std::time::Duration;

use beacon_jobs::job::{ExecutionStatus, JobStatus};
use beacon_jobs::stop::StopState;
use beacon_jobs_modal::fake::Fault;
use serde_json::json;
use tonic::Code;

use crate::bed::{Bed, input};

const NOW: Duration = Duration::ZERO;
const EVER: u32 = u32::MAX;

#[tokio::test]
async fn an_input_reported_as_terminated_is_no_end_while_a_thread_of_it_computes() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.plane.behave(|behaviour| behaviour.terminate_after = None);
    let id = bed.submit(input("leaves_a_thread")).await;
    bed.alive(1).await;
    bed.cancel(&id, NOW).await;
    let stop = bed.stop(&id, StopState::Confirmed).await;
    let evidence = stop.evidence.unwrap();
    assert_eq!(
        (&evidence["level"], &evidence["input"]["reported"]),
        (&json!("containers"), &json!("terminated"))
    );
    assert_eq!(bed.plane.received("ContainerStop"), 1, "only that has ended it");
    assert!(evidence["containers"][0]["finished_at"].as_f64().unwrap() > 0.0, "{evidence}");
}

#[tokio::test]
async fn a_success_after_the_cancel_is_kept_beside_it() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let id = bed.submit(input("saves")).await;
    bed.alive(1).await;
    bed.cancel(&id, Duration::from_secs(600)).await;
    let stop = bed.stop(&id, StopState::Confirmed).await;
    assert_eq!(stop.evidence.unwrap()["input"]["reported"], json!("success"));
    let job = bed.get(&id).await;
    assert_eq!(job.job.status, JobStatus::Cancelled);
    assert_eq!((&job.executions[0].output, job.executions[0].status), (&None, ExecutionStatus::Cancelled));
    assert_eq!(job.executions[0].late_output, Some(json!({ "saved": true })));
    assert_eq!(
        bed.plane.calls()[0].cancelled,
        Some(false),
        "there was grace, so its container was not ended"
    );
}

#[tokio::test]
async fn work_that_swallows_a_cancel_is_forced_when_its_grace_is_over() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let id = bed.submit(input("swallows")).await;
    bed.alive(1).await;
    bed.cancel(&id, Duration::from_millis(300)).await;
    bed.stop(&id, StopState::Acknowledged).await;
    bed.stop(&id, StopState::Confirmed).await;
    assert_eq!(bed.plane.calls()[0].cancelled, Some(true));
}

/// Its container was seen in a call that broke off, and nobody names it again.
#[tokio::test]
async fn a_container_that_was_seen_once_is_not_forgotten_when_the_next_question_gets_no_answer() {
    let bed = Bed::new().await;
    let executor = bed.executor().with_container_stop_after(None);
    let _runner = bed.runner_with(executor).await;
    bed.plane.behave(|behaviour| behaviour.start_after = Duration::from_millis(100));
    bed.plane.behave(|behaviour| behaviour.terminate_after = None);
    bed.plane.inject("FunctionCallGetInfo", 1, Fault::Fails(Code::NotFound));
    let id = bed.submit(input("swallows")).await;
    bed.alive(1).await;
    bed.plane.inject("TaskGetInfo", 1, Fault::Fails(Code::Aborted));
    bed.cancel(&id, NOW).await;
    bed.plane.until(|plane| plane.received("TaskGetInfo") > 0).await;
    bed.plane.preempt(true);
    bed.plane.until(|plane| plane.begun() == 2).await;
    let stop = loop {
        let stop = bed.get(&id).await.executions[0].stop.clone().unwrap();
        let known = stop.evidence.as_ref().and_then(|shown| shown["containers"].as_array()).map(Vec::len);
        if known == Some(2) {
            break stop;
        }
        tokio::task::yield_now().await;
    };
    assert_ne!(stop.state, StopState::Confirmed);
    bed.plane.end_containers();
    bed.stop(&id, StopState::Confirmed).await;
}

#[tokio::test]
async fn a_container_whose_end_is_not_on_record_yet_is_waited_for() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.plane.behave(|behaviour| behaviour.record_after = Duration::from_secs(1));
    let id = bed.submit(input("goes_on")).await;
    bed.alive(1).await;
    bed.cancel(&id, NOW).await;
    bed.alive(0).await;
    let stop = bed.get(&id).await.executions[0].stop.clone().unwrap();
    assert_ne!(stop.state, StopState::Confirmed);
    bed.stop(&id, StopState::Confirmed).await;
}

#[tokio::test]
async fn a_container_that_nothing_ends_is_said_to_be_unconfirmed_and_is_asked_on() {
    let bed = Bed::new().await;
    let quick = bed.executor().with_confirm_limit(Duration::from_millis(500));
    let _runner = bed.runner_with(quick).await;
    bed.plane.behave(|behaviour| {
        behaviour.terminate_after = None;
        behaviour.stop_after = None;
    });
    let id = bed.submit(input("leaves_a_thread")).await;
    bed.alive(1).await;
    bed.cancel(&id, NOW).await;
    bed.stop(&id, StopState::Unconfirmed).await;
    assert_eq!(bed.plane.alive(), 1);
    // It ends after all.
    bed.plane.end_containers();
    bed.stop(&id, StopState::Confirmed).await;
}

#[tokio::test]
async fn every_container_that_held_the_input_is_waited_for_also_by_another_node() {
    let bed = Bed::new().await;
    let runner = bed.runner().await;
    bed.plane.behave(|behaviour| behaviour.terminate_after = None);
    let id = bed.submit(input("goes_on")).await;
    bed.alive(1).await;
    bed.containers_known(1).await;
    // The first container computes on, and Modal does not name it any more.
    bed.plane.preempt(true);
    bed.alive(2).await;
    bed.containers_known(2).await;
    let report = runner.shutdown(Duration::from_secs(20)).await;
    assert_eq!(report.unsettled, 0, "{report:?}");
    bed.cancel(&id, NOW).await;
    let _next = bed.runner().await;
    let stop = bed.stop(&id, StopState::Confirmed).await;
    assert_eq!(stop.evidence.unwrap()["containers"].as_array().unwrap().len(), 2);
    assert_eq!(bed.plane.received("ContainerStop"), 1, "the second one ended when it had nothing to do");
}

/// Modal shows the input as one that never started; the container that it was taken from computes.
#[tokio::test]
async fn an_input_that_waits_for_its_second_container_is_not_one_that_never_started() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.plane.behave(|behaviour| behaviour.terminate_after = None);
    let id = bed.submit(input("goes_on")).await;
    bed.alive(1).await;
    bed.containers_known(1).await;
    bed.plane.behave(|behaviour| behaviour.start_after = Duration::from_secs(600));
    bed.plane.preempt(true);
    bed.cancel(&id, NOW).await;
    let evidence = bed.stop(&id, StopState::Confirmed).await.evidence.unwrap();
    assert_eq!((&evidence["level"], &evidence["input"]["started"]), (&json!("containers"), &json!(false)));
    assert_eq!((bed.plane.received("ContainerStop"), bed.plane.begun()), (1, 1));
}

#[tokio::test]
async fn without_container_records_nothing_is_confirmed_and_it_is_said_why() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.plane.inject("TaskGetInfo", EVER, Fault::Fails(Code::Unimplemented));
    let id = bed.submit(input("goes_on")).await;
    bed.alive(1).await;
    bed.cancel(&id, NOW).await;
    let stop = bed.stop(&id, StopState::Unconfirmed).await;
    let evidence = stop.evidence.unwrap();
    assert_eq!(
        evidence["containers"].as_array().map(Vec::len),
        Some(1),
        "it is kept which one it was: {evidence}"
    );
    let why = stop.why.unwrap();
    assert!(why.contains("TaskGetInfo") && why.contains("the input has ended"), "{why}");
    assert_eq!(bed.plane.calls()[0].cancelled, Some(true), "the cancel itself was sent");
}

/// Whether the output is there or has expired.
#[tokio::test]
async fn an_input_that_has_started_in_a_container_without_a_name_is_never_confirmed() {
    for expires in [false, true] {
        let bed = Bed::new().await;
        let executor = bed.executor().with_confirm_limit(Duration::from_secs(1));
        let _runner = bed.runner_with(executor).await;
        bed.plane.behave(|behaviour| behaviour.names_containers = false);
        let id = bed.submit(input("leaves_a_thread")).await;
        bed.alive(1).await;
        bed.cancel(&id, Duration::from_secs(600)).await;
        bed.stop(&id, StopState::Acknowledged).await;
        if expires {
            bed.plane.expire_outputs();
        }
        let stop = bed.stop(&id, StopState::Unconfirmed).await;
        assert_eq!(stop.evidence.unwrap()["level"], json!("input"));
        assert_eq!(bed.plane.alive(), 1);
    }
}

#[tokio::test]
async fn where_the_call_may_not_be_looked_at_its_output_names_the_container() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.plane.inject("FunctionCallGetInfo", EVER, Fault::Fails(Code::PermissionDenied));
    let id = bed.submit(input("goes_on")).await;
    bed.alive(1).await;
    bed.cancel(&id, NOW).await;
    let stop = bed.stop(&id, StopState::Confirmed).await;
    let evidence = stop.evidence.unwrap();
    assert!(evidence["withheld"][0].as_str().unwrap().contains("FunctionCallGetInfo"), "{evidence}");
}

#[tokio::test]
async fn an_input_that_arrives_after_the_cancel_is_ended_too() {
    let bed = Bed::new().await;
    // Only a second cancel ends it: its container is never stopped by its name.
    let _runner = bed.runner_with(bed.executor().with_container_stop_after(None)).await;
    bed.plane.inject("FunctionPutInputs", 1, Fault::Late(Duration::from_millis(700)));
    let id = bed.submit(input("goes_on")).await;
    bed.plane.until(|plane| plane.received("FunctionPutInputs") == 1).await;
    bed.cancel(&id, NOW).await;
    // Modal has taken the cancel of the empty call before its input comes, and runs the input.
    bed.plane.until(|plane| plane.calls()[0].cancelled.is_some()).await;
    bed.alive(1).await;
    bed.stop(&id, StopState::Confirmed).await;
    assert_eq!(bed.plane.begun(), 1);
}

#[tokio::test]
async fn an_input_whose_container_never_started_needs_none() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.plane.behave(|behaviour| behaviour.start_after = Duration::from_secs(600));
    let id = bed.submit(input("goes_on")).await;
    bed.plane.until(|plane| plane.calls().first().is_some_and(|call| call.inputs == 1)).await;
    bed.cancel(&id, NOW).await;
    let stop = bed.stop(&id, StopState::Confirmed).await;
    assert_eq!(stop.evidence.unwrap()["level"], json!("never_started"));
    assert_eq!(bed.plane.begun(), 0);
}

#[tokio::test]
async fn a_cancel_weathers_storms() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let id = bed.submit(input("goes_on")).await;
    bed.alive(1).await;
    for rpc in ["FunctionCallCancel", "FunctionCallGetInfo", "TaskGetInfo", "FunctionGetOutputs"] {
        bed.plane.inject(rpc, 5, Fault::Fails(Code::Unavailable));
        bed.plane.inject(rpc, 3, Fault::Throttled(Duration::from_millis(20)));
        bed.plane.inject(rpc, 2, Fault::ReplyLost);
        bed.plane.inject(rpc, 2, Fault::Fails(Code::ResourceExhausted));
    }
    bed.cancel(&id, NOW).await;
    bed.stop(&id, StopState::Confirmed).await;
}
