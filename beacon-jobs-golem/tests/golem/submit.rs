//! Work from its input to its output.

use std::sync::Arc;

use beacon_jobs::job::ExecutionStatus;
use beacon_jobs_golem::fake::{Fault, Offered};
use beacon_jobs_golem::{Offer, Scoring};
use serde_json::{Value, json};
use std::time::Duration;

use crate::bed::{Bed, input};

#[tokio::test]
async fn commands_arrive_and_outputs_come_back_with_what_they_cost() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let mut asked = input("echo");
    let transfer = json!({ "transfer": { "from": "http://127.0.0.1/data", "to": "container:/data" } });
    asked["commands"].as_array_mut().unwrap().push(transfer);
    let record = bed.run(asked).await;
    assert_eq!(record.status, ExecutionStatus::Completed, "{:?}", record.error);
    let output = record.output.unwrap();
    let agreement = bed.yagna.agreements()[0].clone();
    assert_eq!(
        output,
        json!({
            "results": [
                { "ok": true, "stdout": "one\ntwo\n", "stderr": null },
                { "ok": true, "stdout": null, "stderr": null },
            ],
            "provider": { "id": "0xprovider", "name": "0xprovider-by-name" },
            "agreement": agreement.id,
            "cost": {
                "amount": "0.01", "platform": "erc20-holesky-tglm", "state": "accepted",
                "invoice": output["cost"]["invoice"],
            },
        })
    );
    assert_eq!(agreement.state, "Terminated");
    bed.clean().await;
}

#[tokio::test]
async fn an_image_goes_into_the_demand() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let hash = "ab".repeat(28);
    bed.yagna.behave(|behaviour| behaviour.image = Some("ab".repeat(28)));
    let mut asked = input("echo");
    asked["runtime"] = json!({ "image": { "hash": hash, "url": "http://127.0.0.1:9/image.gvmi" } });
    let record = bed.run(asked).await;
    assert_eq!(record.status, ExecutionStatus::Completed, "{:?}", record.error);
}

async fn provider_of(bed: &Bed, input: Value) -> String {
    let record = bed.run(input).await;
    assert_eq!(record.status, ExecutionStatus::Completed, "{:?}", record.error);
    record.output.unwrap()["provider"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_cheapest_offer_is_taken_of_those_allowed() {
    let bed = Bed::new().await;
    let wait = Duration::from_millis(100);
    let _runner = bed.runner_with(bed.executor().with_offers(Duration::from_secs(5), wait)).await;
    bed.yagna.behave(|behaviour| {
        behaviour.offers = vec![
            Offered::new("0xdear", [0.01, 0.01, 0.0]),
            Offered::new("0xcheap", [0.0001, 0.0001, 0.0]),
            Offered::new("0xmiddle", [0.001, 0.001, 0.0]),
        ];
    });
    assert_eq!(provider_of(&bed, input("echo")).await, "0xcheap");
    let mut without = input("echo");
    without["providers"] = json!({ "deny": ["0xCHEAP"] });
    assert_eq!(provider_of(&bed, without).await, "0xmiddle");
    let mut only = input("echo");
    only["providers"] = json!({ "allow": ["0xdear"] });
    assert_eq!(provider_of(&bed, only).await, "0xdear");
    bed.clean().await;
}

#[derive(Debug)]
struct Dearest;

impl Scoring for Dearest {
    fn score(&self, offer: &Offer) -> Option<f64> {
        (offer.price.env_hour < 30.0).then_some(offer.price.env_hour)
    }
}

#[tokio::test]
async fn a_scoring_of_ones_own_chooses_and_declines() {
    let bed = Bed::new().await;
    let executor = bed.executor().with_offers(Duration::from_secs(5), Duration::from_millis(100));
    let _runner = bed.runner_with(executor.with_scoring(Arc::new(Dearest))).await;
    bed.yagna.behave(|behaviour| {
        behaviour.offers = vec![
            Offered::new("0xtoo_dear", [0.01, 0.01, 0.0]),
            Offered::new("0xcheap", [0.0001, 0.0001, 0.0]),
            Offered::new("0xmiddle", [0.001, 0.001, 0.0]),
        ];
    });
    assert_eq!(provider_of(&bed, input("echo")).await, "0xmiddle");
    assert_eq!(bed.yagna.received("Decline"), 1);
}

/// The daemon knows of it, so it is no orphan.
#[tokio::test]
async fn an_activity_whose_creation_was_not_answered_is_found_and_used() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.inject("CreateActivity", 1, Fault::ReplyLost);
    let record = bed.run(input("echo")).await;
    assert_eq!(record.status, ExecutionStatus::Completed, "{:?}", record.error);
    assert_eq!(bed.yagna.agreements()[0].activities.len(), 1);
    bed.clean().await;
}

#[tokio::test]
async fn a_script_whose_reply_was_lost_is_never_sent_again() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.inject("Exec", 1, Fault::ReplyLost);
    let id = bed.submit_with(input("echo"), |spec| spec.with_max_attempts(2).with_backoff_seconds(0)).await;
    let record = bed.outcome(&id).await;
    assert_eq!((record.status, record.attempt), (ExecutionStatus::Completed, 2), "{:?}", record.error);
    let scripts: Vec<_> = bed.yagna.agreements().iter().map(|it| it.activities[0].2).collect();
    assert_eq!(scripts, [1, 1], "one script for each attempt");
    bed.clean().await;
}
