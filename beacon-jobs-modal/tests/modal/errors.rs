//! What cannot work says so in one line, whether it may work later, and begins nothing.

use std::time::Duration;

use beacon_jobs::job::{ExecutionSpec, FailureKind, JobSpec};
use beacon_jobs_modal::fake::Fault;
use beacon_jobs_modal::{ClientType, Config, ModalExecutor};
use serde_json::{Value, json};
use tonic::Code;

use crate::bed::{APP, Bed, input, quick};

/// Runs a job that may try twice, and tells why it failed and how often it tried.
async fn fails(bed: &Bed, config: &Config, input: Value) -> (FailureKind, String, u32) {
    let runner = bed.runner_with(quick(config)).await;
    let id = bed.submit_with(input, |spec| spec.with_max_attempts(2).with_backoff_seconds(0)).await;
    let record = bed.outcome(&id).await;
    runner.shutdown(Duration::from_secs(5)).await;
    assert_eq!(bed.plane.begun(), 0);
    let failure = record.error.unwrap();
    assert!(!failure.message.contains('\n'), "{}", failure.message);
    (failure.kind, failure.message, record.attempt)
}

#[tokio::test]
async fn a_bad_token() {
    let bed = Bed::new().await;
    let config = Config::new("ak-wrong", "as-wrong").with_server(bed.plane.url());
    let (kind, message, attempts) = fails(&bed, &config, input("echoes")).await;
    assert_eq!((kind, attempts), (FailureKind::Provider, 1));
    assert!(message.contains("MODAL_TOKEN_ID"), "{message}");
    assert_eq!(bed.plane.calls(), []);
}

#[tokio::test]
async fn an_unknown_app_or_function() {
    let bed = Bed::new().await;
    let config = bed.plane.config();
    let nowhere = json!({ "app": "nowhere", "function": "echoes" });
    for (input, named) in [(nowhere, "nowhere"), (input("nothing"), "nothing")] {
        let (kind, message, attempts) = fails(&bed, &config, input).await;
        assert_eq!((kind, attempts), (FailureKind::Provider, 1));
        assert!(message.contains(named) && message.contains("not found"), "{message}");
    }
    assert_eq!(bed.plane.calls(), []);
}

#[tokio::test]
async fn a_function_that_takes_no_cbor() {
    let bed = Bed::new().await;
    bed.plane.behave(|behaviour| behaviour.takes_cbor = false);
    let (kind, message, attempts) = fails(&bed, &bed.plane.config(), input("echoes")).await;
    assert_eq!((kind, attempts), (FailureKind::InvalidInput, 1));
    assert!(message.contains("app/echoes") && message.contains("modal 1.2"), "{message}");
    assert_eq!(bed.plane.calls(), []);
}

#[tokio::test]
async fn an_input_that_is_too_big() {
    let bed = Bed::new().await;
    bed.plane.behave(|behaviour| behaviour.wants_parts = true);
    let big = json!({ "app": APP, "function": "echoes", "args": ["x".repeat(10_000)] });
    let (kind, message, attempts) = fails(&bed, &bed.plane.config(), big).await;
    assert_eq!((kind, attempts), (FailureKind::InvalidInput, 1));
    assert!(message.contains("too big"), "{message}");
    assert_eq!(bed.plane.calls(), []);
}

#[tokio::test]
async fn a_server_that_is_down() {
    let bed = Bed::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = bed.plane.config().with_server(format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let (kind, message, attempts) = fails(&bed, &config, input("echoes")).await;
    assert_eq!((kind, attempts), (FailureKind::Provider, 2), "it may be up later");
    assert!(message.contains("refused") && message.contains("MODAL_SERVER_URL"), "{message}");
}

#[tokio::test]
async fn a_server_without_tls() {
    let bed = Bed::new().await;
    let config = bed.plane.config().with_server(bed.plane.url().replace("http://", "https://"));
    let (kind, message, attempts) = fails(&bed, &config, input("echoes")).await;
    assert_eq!((kind, attempts), (FailureKind::Provider, 1));
    assert!(message.contains("TLS") && message.contains("MODAL_SERVER_URL"), "{message}");
}

#[tokio::test]
async fn a_client_that_is_too_old() {
    let bed = Bed::new().await;
    let config = bed.plane.config().with_client(ClientType::Library, "0.64.1");
    let (kind, message, attempts) = fails(&bed, &config, input("echoes")).await;
    assert_eq!((kind, attempts), (FailureKind::Provider, 1));
    assert!(message.contains("too old") && message.contains("with_client"), "{message}");
}

#[tokio::test]
async fn a_call_that_fails_inside_modal_may_be_tried_again() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.plane.inject("FunctionPutInputs", 1, Fault::Fails(Code::InvalidArgument));
    let id = bed.submit_with(input("echoes"), |spec| spec.with_max_attempts(2)).await;
    let record = bed.outcome(&id).await;
    assert_eq!(record.error.unwrap().kind, FailureKind::Provider);
    assert_eq!((record.attempt, bed.plane.begun()), (1, 0), "what is refused for good is not tried again");
}

#[tokio::test]
async fn an_input_that_names_no_function_is_refused_when_it_is_submitted() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let cases = [
        (json!({ "function": "f" }), "input", "app"),
        (json!({ "app": " ", "function": "f" }), "input.app", "deployed"),
        (json!({ "app": "a", "function": "f", "argz": [] }), "input.argz", "args"),
        (json!({ "app": "a", "function": "f", "args": 3 }), "input.args", "sequence"),
        (json!(null), "input", "struct"),
    ];
    for (input, field, said) in cases {
        let spec = JobSpec::new([ExecutionSpec::new("modal", input)]);
        let error = bed.jobs.submit("alice", spec).await.unwrap_err();
        let named = error.field().unwrap_or_default().to_owned();
        assert!(named.ends_with(field), "{named} is not {field}: {error}");
        assert!(error.message().contains(said), "{error}");
    }
}

#[test]
fn a_server_that_is_no_url() {
    for url in ["", "modal.com", "not a url", "http://"] {
        let error = ModalExecutor::new(&Config::new("a", "b").with_server(url)).unwrap_err();
        assert!(error.to_string().contains("must be a URL"), "{url}: {error}");
    }
    let error = ModalExecutor::new(&Config::new("a\n", "b")).unwrap_err();
    assert!(error.to_string().contains("MODAL_TOKEN_ID"), "{error}");
}
