//! A call from its arguments to its result.

use beacon_jobs::job::ExecutionStatus;
use beacon_jobs_modal::fake::Fault;
use serde_json::json;
use std::time::Duration;
use tonic::Code;

use crate::bed::{APP, Bed};

#[tokio::test]
async fn arguments_arrive_and_results_come_back() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let args = json!(["text", 1, -7, 1.5, null, true, [1, [2]], { "deep": { "er": [] } }, u64::MAX, "ü"]);
    let kwargs = json!({ "epochs": 3, "name": "small" });
    let record = bed.run(json!({ "app": APP, "function": "echoes", "args": args, "kwargs": kwargs })).await;
    assert_eq!(record.status, ExecutionStatus::Completed, "{:?}", record.error);
    assert_eq!(record.output, Some(json!({ "args": args, "kwargs": kwargs })));
    assert_eq!(bed.plane.calls().len(), 1);
    assert_eq!(bed.plane.received("BlobCreate"), 0, "what is small travels in the message");
}

#[tokio::test]
async fn what_is_too_big_for_a_message_travels_beside_it() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let text = "x".repeat(3 << 20);
    for (nth, lists) in [(1, false), (2, true)] {
        bed.plane.behave(|behaviour| behaviour.names_lists_of_places = lists);
        let record = bed.run(json!({ "app": APP, "function": "echoes", "args": [text] })).await;
        assert_eq!(record.output, Some(json!({ "args": [text], "kwargs": {} })), "{:?}", record.error);
        assert_eq!((bed.plane.received("BlobCreate"), bed.plane.received("BlobGet")), (nth, nth));
    }
}

#[tokio::test]
async fn an_exception_is_the_failure() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let failure = bed.failure(crate::bed::input("raises")).await;
    assert_eq!(failure.to_string(), "failed: no such model");
}

#[tokio::test]
async fn a_full_queue_is_waited_for() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.plane.behave(|behaviour| behaviour.queue_is_full = true);
    let id = bed.submit(crate::bed::input("echoes")).await;
    bed.plane.until(|plane| plane.received("FunctionPutInputs") >= 1).await;
    bed.plane.behave(|behaviour| behaviour.queue_is_full = false);
    assert_eq!(bed.outcome(&id).await.status, ExecutionStatus::Completed);
    assert_eq!(bed.plane.calls()[0].inputs, 1);
}

#[tokio::test]
async fn storms_are_weathered_and_nothing_is_fed_twice() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let moment = Duration::from_millis(20);
    for rpc in ["WorkspaceNameLookup", "FunctionGet", "FunctionFinishInputs", "FunctionGetOutputs"] {
        bed.plane.inject(rpc, 2, Fault::Fails(Code::Unavailable));
        bed.plane.inject(rpc, 5, Fault::Throttled(moment));
        bed.plane.inject(rpc, 1, Fault::ReplyLost);
    }
    bed.plane.inject("FunctionPutInputs", 2, Fault::Throttled(moment));
    bed.plane.inject("FunctionPutInputs", 1, Fault::ReplyLost);
    let record = bed.run(crate::bed::input("echoes")).await;
    assert_eq!(record.status, ExecutionStatus::Completed, "{:?}", record.error);
    let calls = bed.plane.calls();
    assert_eq!((calls.len(), calls[0].inputs, bed.plane.begun()), (1, 1, 1));
}

/// The call has no input, so nothing runs, and nothing is lost but an id.
#[tokio::test]
async fn a_call_whose_creation_was_not_heard_of_is_left_empty() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.plane.inject("FunctionMap", 1, Fault::ReplyLost);
    let id = bed.submit_with(crate::bed::input("echoes"), |spec| spec.with_max_attempts(2)).await;
    assert_eq!(bed.outcome(&id).await.status, ExecutionStatus::Completed);
    let inputs: Vec<_> = bed.plane.calls().iter().map(|call| call.inputs).collect();
    assert_eq!(inputs, [0, 1]);
    assert_eq!(bed.plane.begun(), 1);
}
