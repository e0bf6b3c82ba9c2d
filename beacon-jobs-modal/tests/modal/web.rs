//! Web endpoints by plain HTTP: what is followed, what is stopped, and what is said of the rest.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::job::{ExecutionSpec, ExecutionStatus, FailureKind, JobSpec};
use beacon_jobs::runner::JobRunner;
use beacon_jobs::stop::StopState;
use beacon_jobs_modal::fake::{Fault, Work};
use beacon_jobs_modal::{InferenceReply, InferenceRequest, WebBuilder, WebExecutor};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::bed::{APP, Bed};

const NOW: Duration = Duration::ZERO;
const LEG: Duration = Duration::from_millis(50);

/// Without a token of the API.
fn plain(bed: &Bed) -> WebBuilder {
    WebExecutor::builder().with_name("modal").with_origin(bed.plane.web_origin())
}

fn native(bed: &Bed) -> WebBuilder {
    plain(bed).with_native(bed.executor().build().unwrap())
}

async fn runner(bed: &Bed, executor: WebBuilder) -> JobRunner {
    bed.runner_of(Arc::new(executor.build().unwrap())).await
}

fn input(bed: &Bed, function: &str) -> Value {
    json!({ "url": bed.plane.web_url(APP, function), "body": { "prompt": "hello" } })
}

async fn bed(leg: Duration) -> Bed {
    let bed = Bed::new().await;
    bed.plane.behave(|behaviour| behaviour.web_leg = leg);
    bed
}

/// Waits until the endpoint was asked again, by the name of the call: then its handle is on record.
async fn named(bed: &Bed) {
    bed.plane.until(|plane| plane.received("GET") > 0).await;
}

#[tokio::test]
async fn an_answer_is_followed_through_redirects_and_asked_for_once() {
    let bed = bed(LEG).await;
    let _runner = runner(&bed, plain(&bed)).await;
    let id = bed.submit(input(&bed, "goes_on")).await;
    bed.plane.until(|plane| plane.received("GET") >= 3).await;
    bed.plane.inject("GET", 2, Fault::ReplyLost);
    let asked = bed.plane.received("GET");
    bed.plane.until(|plane| plane.received("GET") >= asked + 3).await;
    bed.plane.complete();
    let record = bed.outcome(&id).await;
    assert_eq!(record.output, Some(json!({ "done": true })));
    assert_eq!((bed.plane.begun(), bed.plane.received("POST")), (1, 1));
}

#[tokio::test]
async fn the_body_arrives_and_the_answer_is_the_output() {
    let bed = bed(Duration::from_secs(60)).await;
    let _runner = runner(&bed, plain(&bed)).await;
    let record = bed.run(input(&bed, "echoes")).await;
    assert_eq!(record.output, Some(json!({ "args": [], "kwargs": { "prompt": "hello" } })));
}

#[tokio::test]
async fn a_call_with_a_name_is_ended_by_it() {
    let bed = bed(LEG).await;
    let _runner = runner(&bed, native(&bed)).await;
    let id = bed.submit(input(&bed, "goes_on")).await;
    named(&bed).await;
    bed.cancel(&id, NOW).await;
    let stop = bed.stop(&id, StopState::Confirmed).await;
    assert_eq!(stop.evidence.unwrap()["level"], json!("containers"));
    assert_eq!(bed.plane.alive(), 0);
}

#[tokio::test]
async fn a_cancel_before_the_call_has_a_name_waits_for_it_where_there_is_a_token_to_end_it_by() {
    let bed = bed(Duration::from_millis(500)).await;
    let _runner = runner(&bed, native(&bed)).await;
    let id = bed.submit(input(&bed, "goes_on")).await;
    bed.alive(1).await;
    bed.cancel(&id, NOW).await;
    bed.stop(&id, StopState::Confirmed).await;
    assert_eq!((bed.plane.begun(), bed.plane.received("GET")), (1, 0));
}

#[tokio::test]
async fn a_call_that_is_over_with_its_first_answer_is_ended_by_the_name_in_that() {
    let bed = bed(Duration::from_secs(60)).await;
    // Its container would idle on for long.
    bed.plane.behave(|behaviour| behaviour.idle_for = Duration::from_secs(600));
    let _runner = runner(&bed, native(&bed)).await;
    let id = bed.submit(input(&bed, "goes_on")).await;
    bed.alive(1).await;
    bed.cancel(&id, NOW).await;
    bed.plane.complete();
    let stop = bed.stop(&id, StopState::Confirmed).await;
    assert_eq!(stop.evidence.unwrap()["level"], json!("containers"));
}

/// Both ways: an observer of the HTTP side alone cannot tell them apart.
#[tokio::test]
async fn without_a_token_a_stop_is_never_confirmed_whatever_the_end_of_the_connection_has_done() {
    for ends in [false, true] {
        let bed = bed(Duration::from_secs(60)).await;
        bed.plane.behave(|behaviour| behaviour.ends_on_disconnect = ends);
        let _runner = runner(&bed, plain(&bed).with_lifetime_limit(Duration::from_secs(4321))).await;
        let id = bed.submit(input(&bed, "goes_on")).await;
        bed.alive(1).await;
        bed.cancel(&id, NOW).await;
        let stop = bed.stop(&id, StopState::Unconfirmed).await;
        assert!(stop.why.as_deref().unwrap().contains("4321s"), "{stop:?}");
        if ends {
            bed.alive(0).await;
        }
        assert_eq!(bed.plane.alive(), usize::from(!ends), "the connection was closed");
    }
}

#[tokio::test]
async fn a_call_with_a_name_and_no_token_is_unconfirmed_and_shows_its_name() {
    let bed = bed(LEG).await;
    let _runner = runner(&bed, plain(&bed)).await;
    let id = bed.submit(input(&bed, "goes_on")).await;
    named(&bed).await;
    bed.cancel(&id, NOW).await;
    let stop = bed.stop(&id, StopState::Unconfirmed).await;
    assert_eq!(stop.evidence.unwrap()["call"], json!(bed.plane.calls()[0].id));
    assert!(stop.why.unwrap().contains("no token of Modal's API"));
    assert_eq!(bed.plane.received("FunctionCallCancel"), 0);
}

#[tokio::test]
async fn work_whose_answer_is_lost_before_it_has_a_name_is_said_to_be_unconfirmed() {
    let bed = bed(LEG).await;
    bed.plane.inject("POST", 1, Fault::ReplyLost);
    let _runner = runner(&bed, native(&bed)).await;
    let id = bed.submit(input(&bed, "goes_on")).await;
    let record = bed.outcome(&id).await;
    assert_eq!(record.status, ExecutionStatus::Failed);
    let stop = bed.stop(&id, StopState::Unconfirmed).await;
    assert!(stop.why.unwrap().contains("may have begun"));
    assert_eq!(bed.plane.alive(), 1);
}

#[tokio::test]
async fn a_failure_in_an_answer_with_a_good_status_is_a_failure() {
    let bed = bed(Duration::from_secs(60)).await;
    let _runner = runner(&bed, plain(&bed)).await;
    let request = InferenceRequest::new("llama3.2-1b", "hello");
    let cases = [
        (json!({ "success": true, "response": "hi", "tokens": 3 }), None),
        (json!({ "status": "completed", "response": "hi" }), None),
        (json!({ "success": false, "error": "out of memory" }), Some("out of memory")),
        (json!({ "success": true, "error": "half of it" }), Some("half of it")),
        (json!({ "status": "error" }), Some("\"error\"")),
        (json!({ "success": false }), Some("did not succeed")),
        (json!({ "response": "hi" }), Some("neither success nor status")),
        (json!("hi"), Some("cannot be read")),
    ];
    for (answer, failure) in cases {
        bed.plane.deploy(APP, "infers", Work::Returns(answer.clone()));
        let record = bed.run(request.clone().into_input(&bed.plane.web_url(APP, "infers"))).await;
        match failure {
            None => assert_eq!(record.output, Some(answer)),
            Some(said) => {
                let error = record.error.unwrap();
                assert!(
                    error.kind == FailureKind::Failed && error.message.contains(said),
                    "{answer}: {error:?}"
                );
            }
        }
    }
    let reply = InferenceReply::read(&json!({ "success": true, "response": "hi", "tokens": 3 })).unwrap();
    assert_eq!((reply.response, &reply.rest["tokens"]), (Some(json!("hi")), &json!(3)));
}

#[tokio::test]
async fn what_an_endpoint_refuses_is_said_with_what_to_change() {
    let bed = bed(LEG).await;
    bed.plane.behave(|behaviour| behaviour.wants_proxy_token = true);
    let runner = runner(&bed, plain(&bed).with_proxy_token("wk-wrong", "ws-hunter2")).await;
    let record = bed.run(input(&bed, "echoes")).await;
    let error = record.error.as_ref().unwrap();
    assert!(error.message.contains("401") && error.message.contains("Modal-Key"), "{error:?}");
    assert!(!format!("{record:?}").contains("hunter2"));
    bed.plane.behave(|behaviour| behaviour.wants_proxy_token = false);
    let error = bed.failure(input(&bed, "nothing")).await;
    assert!(error.message.contains("404") && error.message.contains("deployed"), "{error:?}");
    let error = bed.failure(input(&bed, "raises")).await;
    assert!(error.kind == FailureKind::Failed && error.message.contains("no such model"), "{error:?}");
    runner.shutdown(Duration::from_secs(5)).await;
    assert_eq!(bed.plane.begun(), 1);
}

#[tokio::test]
async fn a_proxy_token_is_not_taken_to_another_host() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", endpoint.local_addr().unwrap());
    let location = format!("http://{}/?__modal_function_call_id=fc-1", elsewhere.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut connection, _) = endpoint.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let read = connection.read(&mut asked).await.unwrap();
        let answer = format!("HTTP/1.1 303 See Other\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        connection.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&asked[..read]).into_owned()
    });
    let bed = bed(LEG).await;
    let executor = plain(&bed).with_origin(&origin).with_proxy_token("wk-key", "ws-secret");
    let _runner = runner(&bed, executor).await;
    let error = bed.failure(json!({ "url": format!("{origin}/generate") })).await;
    assert!(error.message.contains("redirects to http://127.0.0.1"), "{error:?}");
    assert!(served.await.unwrap().contains("modal-secret: ws-secret"), "the endpoint itself gets it");
    let heard = tokio::select! {
        biased;
        _ = elsewhere.accept() => true,
        () = tokio::task::yield_now() => false,
    };
    assert!(!heard);
}

#[tokio::test]
async fn an_input_that_names_no_endpoint_of_modal_is_refused_when_it_is_submitted() {
    let bed = bed(LEG).await;
    let _runner = runner(&bed, plain(&bed)).await;
    let cases = [
        (json!({}), "input", "url"),
        (json!({ "url": "not a url" }), "input.url", "no URL"),
        (json!({ "url": "https://example.com/x" }), "input.url", "allowed"),
        (json!({ "url": "http://me--app.modal.run" }), "input.url", "allowed"),
        (json!({ "url": "https://me--app.modal.run.example.com" }), "input.url", "allowed"),
        (json!({ "url": "https://me:pw@me--app.modal.run" }), "input.url", "password"),
        (
            json!({ "url": "https://me--app.modal.run/?__modal_function_call_id=fc-1" }),
            "input.url",
            "own address",
        ),
        (json!({ "url": "https://me--app.modal.run", "reply": "other" }), "input.reply", "inference"),
        (json!({ "url": "https://me--app.modal.run", "header": {} }), "input.header", "body"),
    ];
    for (input, field, said) in cases {
        let spec = JobSpec::new([ExecutionSpec::new("modal", input.clone())]);
        let error = bed.jobs.submit("alice", spec).await.unwrap_err();
        let named = error.field().unwrap_or_default().to_owned();
        assert!(named.ends_with(field), "{named} is not {field}: {error}");
        assert!(error.message().contains(said), "{input}: {error}");
    }
    let good = JobSpec::new([ExecutionSpec::new("elsewhere", json!({ "url": "https://me--app.modal.run" }))]);
    bed.jobs.submit("alice", good).await.unwrap();
}

#[test]
fn no_form_of_a_builder_or_executor_holds_the_proxy_token() {
    let builder = WebExecutor::builder().with_proxy_token("wk-hunter2", "ws-hunter2");
    assert!(!format!("{builder:?} {builder:#?}").contains("hunter2"));
    let executor = builder.build().unwrap();
    assert!(!format!("{executor} {executor:?} {executor:#?}").contains("hunter2"));
}

#[test]
fn a_builder_says_what_it_cannot_use() {
    for origin in ["", "example.com", "ftp://example.com", "https://example.com/path"] {
        let error = WebExecutor::builder().with_origin(origin).build().unwrap_err();
        assert!(error.to_string().contains("origin"), "{origin}: {error}");
    }
    let error = WebExecutor::builder().with_proxy_token("wk\n", "ws").build().unwrap_err();
    assert!(error.to_string().contains("modal-key"), "{error}");
}
