//! What comes back from real functions.

use beacon_jobs::job::{ExecutionStatus, FailureKind};
use serde_json::json;

use crate::bed::Bed;
use crate::runtime;

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_ends_by_itself_gives_its_result_and_its_container_lives_on() {
    let Some(python) = runtime::python() else { return };
    let bed = Bed::new(&python, "ends").await;
    let ticks = bed.ticks("ticks");
    let record = bed.run("ends", json!([ticks.path()])).await;
    let expected = (Some(json!({ "ticks": 5 })), ExecutionStatus::Completed);
    assert_eq!((record.output, record.status), expected, "{:?}", record.error);
    assert_eq!(ticks.count(), 5);
    let [seen] = bed.containers();
    // It waits for its next input, as Modal's containers do.
    seen.asks(2).await;
    assert!(seen.gone.borrow().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_arrive_and_results_come_back() {
    let Some(python) = runtime::python() else { return };
    let bed = Bed::new(&python, "echoes").await;
    let args = json!(["text", 1, -7, 1.5, null, true, [1, [2]], { "deep": { "er": [] } }, u64::MAX, "ü"]);
    let kwargs = json!({ "epochs": 3, "name": "small" });
    let id = bed.submit("echoes", args.clone(), kwargs.clone()).await;
    let record = bed.outcome(&id).await;
    assert_eq!(record.output, Some(json!({ "args": args, "kwargs": kwargs })), "{:?}", record.error);
    assert_eq!(bed.plane.received("BlobCreate"), 0, "what is small travels in the message");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_big_for_a_message_travels_beside_it_both_ways() {
    let Some(python) = runtime::python() else { return };
    let bed = Bed::new(&python, "echoes").await;
    let text = "x".repeat(3 << 20);
    let record = bed.run("echoes", json!([text])).await;
    assert_eq!(record.output, Some(json!({ "args": [text], "kwargs": {} })), "{:?}", record.error);
    assert_eq!((bed.plane.received("BlobCreate"), bed.plane.received("BlobGet")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_python_become_json_or_are_said_to_be_none() {
    let Some(python) = runtime::python() else { return };
    let bed = Bed::new(&python, "gives").await;
    let all = json!({
        "nothing": null, "bytes": { "base64": "AP8=" }, "time": "2026-01-02T00:00:00Z",
        "set": [1], "tuple": [1, 2], "keys": { "1": "one" },
    });
    let record = bed.run("gives", json!(["all"])).await;
    assert_eq!(record.output, Some(all), "{:?}", record.error);
    for (what, why) in [("big", "64 bits"), ("decimal", "JSON"), ("object", "SerializationError")] {
        let record = bed.run("gives", json!([what])).await;
        let failure = record.error.unwrap_or_else(|| panic!("{what} became {:?}", record.output));
        assert!(failure.message.contains(why), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_is_the_failure() {
    let Some(python) = runtime::python() else { return };
    let bed = Bed::new(&python, "raises").await;
    let record = bed.run("raises", json!(["no such model"])).await;
    assert_eq!(record.error.unwrap().to_string(), "failed: ValueError('no such model')");
    let traceback = record.output.unwrap()["traceback"].as_str().unwrap().to_owned();
    assert!(traceback.contains("functions.py"), "{traceback}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_its_module_lacks_is_the_failure() {
    let Some(python) = runtime::python() else { return };
    let bed = Bed::new(&python, "absent").await;
    let failure = bed.run("absent", json!([])).await.error.unwrap();
    assert!(failure.message.contains("AttributeError") && failure.message.contains("absent"), "{failure}");
}

/// Modal's runtime cannot tell it from a cancel.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_cancels_itself_is_said_to_be_cancelled_at_modal() {
    let Some(python) = runtime::python() else { return };
    let bed = Bed::new(&python, "cancels_itself").await;
    let failure = bed.run("cancels_itself", json!([])).await.error.unwrap();
    assert_eq!(failure.kind, FailureKind::Provider);
    assert!(failure.message.contains("cancelled at Modal"), "{failure}");
}

/// What a web app answers travels beside its result, which is no result of a function.
#[tokio::test(flavor = "multi_thread")]
async fn the_result_of_a_web_app_is_not_taken_for_that_of_a_function() {
    let Some(python) = runtime::python() else { return };
    let bed = Bed::new(&python, "web_ends").await;
    let ticks = bed.ticks("ticks");
    let record = bed.run("web_ends", json!([ticks.path()])).await;
    assert_eq!(ticks.count(), 1);
    let failure = record.error.unwrap_or_else(|| panic!("it became {:?}", record.output));
    assert!(failure.message.contains("not as CBOR"), "{failure}");
}
