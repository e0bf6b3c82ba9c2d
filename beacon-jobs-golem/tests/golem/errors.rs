//! What cannot work says so in one line, whether it may work later, and leaves nothing behind.

use std::time::Duration;

use beacon_jobs::job::{ExecutionSpec, FailureKind, JobSpec};
use beacon_jobs_golem::fake::{Approval, Fault, Offered};
use beacon_jobs_golem::{Builder, Config, GolemExecutor};
use serde_json::{Value, json};

use crate::bed::{Bed, LONG, input, quick};

/// Runs a job that may try twice, and tells why it failed and how often it tried.
async fn fails(bed: &Bed, executor: Builder, input: Value) -> (FailureKind, String, u32) {
    let runner = bed.runner_with(executor).await;
    let id = bed.submit_with(input, |spec| spec.with_max_attempts(2).with_backoff_seconds(0)).await;
    let record = bed.outcome(&id).await;
    bed.jobs.settled(&id, LONG).await.unwrap();
    bed.clean().await;
    runner.shutdown(Duration::from_secs(5)).await;
    let failure = record.error.unwrap();
    assert!(!failure.message.contains('\n'), "{}", failure.message);
    (failure.kind, failure.message, record.attempt)
}

#[tokio::test]
async fn a_bad_key() {
    let bed = Bed::new().await;
    let config = Config::new("wrong").with_api_url(bed.yagna.url());
    let (kind, message, attempts) = fails(&bed, quick(&config), input("echo")).await;
    assert_eq!((kind, attempts), (FailureKind::Provider, 1));
    assert!(message.contains("Invalid application key") && message.contains("YAGNA_APPKEY"), "{message}");
}

#[tokio::test]
async fn a_daemon_that_is_down() {
    let bed = Bed::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = bed.yagna.config().with_api_url(format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let (kind, message, attempts) = fails(&bed, quick(&config), input("echo")).await;
    assert_eq!((kind, attempts), (FailureKind::Provider, 2), "it may be up later");
    assert!(message.contains("refused") && message.contains("YAGNA_API_URL"), "{message}");
}

#[tokio::test]
async fn no_funds() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| behaviour.funds = 0.5);
    let (kind, message, attempts) = fails(&bed, bed.executor(), input("echo")).await;
    assert_eq!((kind, attempts), (FailureKind::Provider, 1));
    assert!(message.contains("insufficient-account-funds") && message.contains("needs GLM"), "{message}");
    assert_eq!(bed.yagna.agreements(), []);
}

#[tokio::test]
async fn no_offers() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| behaviour.offers.clear());
    let executor = bed.executor().with_offers(Duration::from_millis(100), Duration::ZERO);
    let (kind, message, attempts) = fails(&bed, executor, input("echo")).await;
    assert_eq!((kind, attempts), (FailureKind::Provider, 2));
    assert!(message.contains("no provider's offer") && message.contains("subnet"), "{message}");
}

#[tokio::test]
async fn offers_that_are_all_too_dear() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| behaviour.offers = vec![Offered::new("0xdear", [0.0, 0.01, 0.0])]);
    let mut asked = input("echo");
    asked["max_price"] = json!({ "env_hour": "35.9" });
    let executor = bed.executor().with_offers(Duration::from_millis(200), Duration::ZERO);
    let (_, message, _) = fails(&bed, executor, asked).await;
    assert!(message.contains("max_price.env_hour is 35.9"), "{message}");
    assert_eq!(bed.yagna.agreements(), []);
}

#[tokio::test]
async fn a_bad_image_hash() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| behaviour.image = Some("cd".repeat(28)));
    let mut asked = input("echo");
    let image = json!({ "hash": "ab".repeat(28), "url": "http://127.0.0.1:9/image.gvmi" });
    asked["runtime"] = json!({ "image": image });
    let (kind, message, _) = fails(&bed, bed.executor(), asked).await;
    assert_eq!(kind, FailureKind::Provider);
    assert!(message.contains("could not deploy") && message.contains("Incorrect hash"), "{message}");
    assert_eq!(bed.yagna.begun(), 0);
}

#[tokio::test]
async fn a_command_that_fails_is_named_with_what_it_said() {
    let bed = Bed::new().await;
    let mut asked = input("echo");
    asked["commands"].as_array_mut().unwrap().push(json!({ "run": { "entry_point": "fail" } }));
    let (kind, message, attempts) = fails(&bed, bed.executor(), asked).await;
    assert_eq!((kind, attempts), (FailureKind::Failed, 2));
    assert_eq!(message, "commands[1] (run fail) failed: ExeScript command exited with code 1: no such model");
}

#[tokio::test]
async fn a_provider_that_rejects() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| behaviour.approval = Approval::No);
    let (kind, message, attempts) = fails(&bed, bed.executor(), input("echo")).await;
    assert_eq!((kind, attempts), (FailureKind::Provider, 1));
    assert!(message.contains("Rejected"), "{message}");
}

#[tokio::test]
async fn a_provider_that_says_nothing() {
    let bed = Bed::new().await;
    bed.yagna.behave(|behaviour| behaviour.approval = Approval::Never);
    let executor = bed.executor().with_start_deadline(Duration::from_millis(200));
    let (kind, message, attempts) = fails(&bed, executor, input("echo")).await;
    assert_eq!((kind, attempts), (FailureKind::Provider, 2));
    assert!(message.contains("no reply within 200 ms"), "{message}");
    assert!(bed.yagna.agreements().iter().all(|it| it.state == "Cancelled"));
}

#[tokio::test]
async fn the_daemons_errors_are_shown_in_all_their_shapes() {
    let shapes = [
        ("{\"message\":\"the words\"}", "the words"),
        ("{\"type\":\"/bad-payment-platform\",\"detail\":\"the words\"}", "bad-payment-platform: the words"),
        ("\"the words\"", "the words"),
        ("the\nwords", "the words"),
        ("", "does not say why"),
        ("[1, 2]", "[1, 2]"),
        ("{\"message\": 3}", "{\"message\": 3}"),
    ];
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    for (body, said) in shapes {
        bed.yagna.inject("CreateAllocation", 1, Fault::Fails(400, body.to_owned()));
        let failure = bed.failure(input("echo")).await;
        assert_eq!(
            failure.message,
            format!("yagna's CreateAllocation failed (400): {said}")
                .replace("does not say why", "it does not say why")
        );
    }
    bed.clean().await;
}

#[tokio::test]
async fn an_input_that_cannot_be_run_is_refused_when_it_is_submitted() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let run = json!([{ "run": { "entry_point": "a" } }]);
    let with = |field: &str, value: Value| {
        let mut asked = json!({ "runtime": { "name": "vm" }, "budget": "1", "commands": run });
        asked[field] = value;
        asked
    };
    let image = |hash: &str, url: &str| json!({ "image": { "hash": hash, "url": url } });
    let hash = "ab".repeat(28);
    let cases = [
        (json!(null), "input", "struct"),
        (json!({ "budget": "1", "commands": run }), "input", "runtime"),
        (with("budgets", json!(1)), "input.budgets", "budget"),
        (with("budget", json!("0")), "input.budget", "more than 0"),
        (with("budget", json!("-1")), "input.budget", "no amount"),
        (with("budget", json!("a lot")), "input.budget", "no amount"),
        (with("budget", json!(1)), "input.budget", "string"),
        (with("commands", json!([])), "input.commands", "at least one"),
        (with("commands", json!([{ "walk": {} }])), "input.commands[0]", "walk"),
        (
            with("commands", json!([{ "run": { "entry_point": "" } }])),
            "input.commands[0].run.entry_point",
            "empty",
        ),
        (with("commands", json!([{ "transfer": { "from": "a" } }])), "input.commands[0].transfer", "to"),
        (with("max_price", json!({ "start": "x" })), "input.max_price.start", "no amount"),
        (with("max_price", json!({ "hour": "1" })), "input.max_price.hour", "cpu_hour"),
        (with("subnet", json!("a)(b")), "input.subnet", "one word"),
        (with("payment_platform", json!("")), "input.payment_platform", "one word"),
        (with("lifetime_seconds", json!(10)), "input.lifetime_seconds", "300"),
        (with("runtime", json!({})), "input.runtime", "needs an image"),
        (with("runtime", json!({ "name": "vm=*" })), "input.runtime.name", "one word"),
        (with("runtime", image("12", "http://a")), "input.runtime.image.hash", "56"),
        (with("runtime", image(&hash, "gftp://a")), "input.runtime.image.url", "http"),
        (
            with("runtime", json!({ "name": "vm", "constraints": ["((bad"] })),
            "input.runtime.constraints[0]",
            "one expression",
        ),
    ];
    for (input, field, said) in cases {
        let spec = JobSpec::new([ExecutionSpec::new("golem", input)]);
        let error = bed.jobs.submit("alice", spec).await.unwrap_err();
        let named = error.field().unwrap_or_default().to_owned();
        assert!(named.ends_with(field), "{named} is not {field}: {error}");
        assert!(error.message().contains(said), "{field}: {error}");
    }
}

#[test]
fn a_daemon_that_is_no_url() {
    for url in ["", "127.0.0.1:7465", "not a url", "http://", "ftp://127.0.0.1"] {
        let error = GolemExecutor::new(&Config::new("a").with_api_url(url)).unwrap_err();
        assert!(error.to_string().contains("must be a URL"), "{url}: {error}");
    }
    let error = GolemExecutor::new(&Config::new("a\nb")).unwrap_err();
    assert!(error.to_string().contains("YAGNA_APPKEY"), "{error}");
    let error = Config::from_vars(|_| None).unwrap_err();
    assert!(error.to_string().contains("YAGNA_APPKEY"), "{error}");
}
