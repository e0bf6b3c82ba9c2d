//! Whatever a daemon answers: one clear error at most, and nothing is left behind.

use std::time::Duration;

use beacon_jobs_golem::fake::Fault;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::bed::{Bed, LONG, input};

/// Every call of a beginning and an end.
const CALLS: [&str; 20] = [
    "Me",
    "CreateAllocation",
    "Decorate",
    "Subscribe",
    "CollectProposals",
    "Counter",
    "CreateAgreement",
    "ConfirmAgreement",
    "WaitForApproval",
    "CreateActivity",
    "ListActivities",
    "Exec",
    "GetResults",
    "GetResultsTo",
    "StreamResults",
    "GetState",
    "DestroyActivity",
    "GetAgreement",
    "ListInvoices",
    "ListAllocations",
];

fn body() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        Just(json!("../../../me")),
        Just(json!("")),
    ];
    let names = prop_oneof![
        Just("proposal"),
        Just("proposalId"),
        Just("state"),
        Just("properties"),
        Just("activityId"),
        Just("allocationId"),
        Just("index"),
        Just("result"),
        Just("isBatchFinished"),
        Just("agreementId"),
        Just("amount"),
        Just("constraints"),
        Just("identity"),
    ];
    let json = leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    prop_oneof![
        4 => json.prop_map(|value| value.to_string()),
        1 => "[\\x00-\\x7f]{0,20}",
        1 => Just("[]".to_owned()),
        1 => Just(String::new()),
    ]
}

#[test]
fn answers_of_any_form_leave_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // A case that fails takes a minute: one is found, and not made smaller for hours.
    let config = Config { cases: 40, failure_persistence: None, max_shrink_iters: 2, ..Config::default() };
    let mut tests = TestRunner::new(config);
    // A list in good form that leaves out what is there is a lie, which nobody can see.
    let is_lie = |(call, _, body): &(usize, u32, String)| CALLS[*call] == "ListAllocations" && body == "[]";
    let answer = (0..CALLS.len(), 1..3_u32, body()).prop_filter("a lie", move |it| !is_lie(it));
    let answers = prop::collection::vec(answer, 1..4);
    tests
        .run(&answers, |answers| {
            runtime.block_on(async {
                let bed = Bed::new().await;
                let executor = bed.executor().with_confirm_limit(Duration::from_millis(500));
                let _runner = bed.runner_with(executor).await;
                for (call, times, body) in &answers {
                    bed.yagna.inject(CALLS[*call], *times, Fault::Answers(body.clone()));
                }
                let id = bed.submit(input("echo")).await;
                let record = bed.outcome(&id).await;
                if let Some(failure) = &record.error {
                    assert!(!failure.message.contains('\n') && failure.message.len() < 2500, "{failure}");
                }
                // A daemon that denies an activity which it has leaves a stop that nothing can confirm.
                bed.jobs.settled(&id, Duration::from_secs(3)).await.unwrap();
                let clean = tokio::time::timeout(LONG, bed.clean()).await;
                assert!(clean.is_ok(), "{:?} {record:?}", bed.yagna.agreements());
            });
            Ok(())
        })
        .unwrap();
}
