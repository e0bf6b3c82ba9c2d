use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::Duration;

use super::portal::{
    Answer, address, keys, public_key, send, signature_of, signed, spec, time, wallet_auth, wrapped,
};
use super::{runner_for, show};
use crate::support::{Place, Runner, TOKEN, request};

fn quick() -> Value {
    json!({ "command": ["true"] })
}

async fn cross_region(runner: &Runner, spec: &Value) -> Answer {
    send(&runner.url, "POST", "/api/v1/jobs/cross-region", &wrapped(spec)).await
}

async fn bare(runner: &Runner, spec: &Value) -> Answer {
    send(&runner.url, "POST", "/api/v1/jobs", &spec.to_string()).await
}

/// Sees that both routes refuse a spec for this reason, and that no job came of it.
async fn refused(runner: &Runner, spec: &Value, code: &str) {
    let answer = cross_region(runner, spec).await;
    answer.refused(400, "Invalid JobSpec signature");
    assert_eq!(answer.body["error_code"], code, "{answer:?}");
    let answer = bare(runner, spec).await;
    assert_eq!((answer.status, &answer.body["error_code"]), (400, &json!(code)), "{answer:?}");
    assert!(answer.body["error"].is_string());
    show(runner, spec["id"].as_str().unwrap()).await.refused(404, "job not found");
}

fn with(mut spec: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    spec.pointer_mut(parent).unwrap()[name] = value;
    spec
}

fn with_wallet(id: &str, wallet: Value) -> Value {
    with(spec(id), "/wallet_auth", wallet)
}

#[tokio::test]
async fn what_a_portal_signs_is_taken_whatever_stands_in_it() {
    let place = Place::new();
    let runner = runner_for(&place, &quick(), &[]).await;
    let tricky = json!({
        "html": "<b>&amp;</b> ' \"", "line": "\u{2028}\u{2029}\u{7f}", "empty": ["", {}, [], null], "": {},
        "numbers": [600_000_000_000_u64, 1e21, 0.1, -0.0, 1e-7, 9_007_199_254_740_993_u64, 5e-324, 765_567_488_044_865.0 / 8.0],
        "\u{1f600}": 1, "\u{ffff}": 2, "\u{e000}": 3, "10": 4, "9": 5, "-1": 6, "Z": 7, "a": 8, "\u{0}": "\u{0}"
    });
    let mut spec = with(spec("bias-detection-1"), "/metadata/tricky", tricky.clone());
    spec["unknown"] = json!({"nobody": ["knows", {"this": null}]});
    spec["constraints"]["min_success_rate"] = json!(0.5);
    let answer = cross_region(&runner, &signed(&spec)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let kept = show(&runner, "bias-detection-1").await.body["job"].clone();
    assert_eq!((&kept["metadata"]["tricky"], &kept["unknown"]), (&tricky, &spec["unknown"]));
}

#[tokio::test]
async fn bad_signatures_are_refused_whether_they_are_needed_or_not() {
    for policy in ["optional", "required"] {
        let place = Place::new();
        let runner = runner_for(&place, &quick(), &["--v1-signatures", policy]).await;
        let good = signed(&spec("bias-detection-1"));
        let other_key = signed(&spec("x"));
        for (pointer, value, code) in [
            ("/metadata/created_by", json!("somebody"), "signature_mismatch"),
            ("/questions", json!(["math_basic"]), "signature_mismatch"),
            ("/constraints/regions", json!(["EU", "US"]), "signature_mismatch"),
            ("/more", Value::Null, "signature_mismatch"),
            ("/signature", json!(signature_of("another text")), "signature_mismatch"),
            ("/public_key", json!("AAAA"), "invalid_encoding:public_key"),
            ("/public_key", json!(7), "invalid_encoding:public_key"),
            ("/signature", json!("AAAA"), "invalid_encoding:signature"),
            (
                "/signature",
                json!(format!("{} ", other_key["signature"].as_str().unwrap())),
                "invalid_encoding:signature",
            ),
            ("/signature", json!(""), "missing_field:signature"),
            ("/signature", Value::Null, "missing_field:signature"),
            ("/public_key", json!(""), "missing_field:public_key"),
        ] {
            refused(&runner, &with(good.clone(), pointer, value), code).await;
        }
        // A key of small order, with a signature that fits every text where such keys are let in.
        let forged = STANDARD.encode([&[0x58][..], &[0x66; 31], &[1], &[0; 31]].concat());
        let weak = with(good.clone(), "/public_key", json!(STANDARD.encode([&[1][..], &[0; 31]].concat())));
        refused(&runner, &with(weak, "/signature", json!(forged)), "signature_mismatch").await;
        for (offset, is_taken) in
            [(Duration::hours(-11), true), (Duration::hours(-13), false), (Duration::hours(1), false)]
        {
            let dated = with(spec("dated"), "/metadata/timestamp", json!(time(offset)));
            let dated = signed(&dated);
            if is_taken {
                assert_eq!(cross_region(&runner, &dated).await.status, 202);
            } else {
                refused(&runner, &with(dated, "/id", json!("dated-2")), "invalid_field:timestamp").await;
            }
        }
        let dated = signed(&with(spec("undated"), "/metadata/timestamp", json!("yesterday")));
        refused(&runner, &dated, "invalid_field:timestamp").await;
        assert_eq!(cross_region(&runner, &good).await.status, 202, "{policy}");
    }
}

#[tokio::test]
async fn an_unsigned_spec_is_for_the_policy_to_take() {
    let place = Place::new();
    let runner = runner_for(&place, &quick(), &[]).await;
    refused(&runner, &spec("bias-detection-1"), "missing_field:signature").await;
    let undated = with(spec("undated"), "/metadata", json!({}));
    refused(&runner, &signed(&undated), "missing_field:timestamp").await;
    drop(runner);

    let place = Place::new();
    let runner = runner_for(&place, &quick(), &["--v1-signatures", "optional"]).await;
    assert_eq!(cross_region(&runner, &spec("bias-detection-1")).await.status, 202);
    let owner = runner.reaches("bias-detection-1", "there", |_| true).await["job"]["owner"].clone();
    assert_eq!(owner, "anonymous");
    // Whoever has read a wallet's word somewhere is not that wallet.
    let wallet = wallet_auth(7, &public_key());
    refused(&runner, &with_wallet("bias-detection-2", wallet), "missing_field:signature").await;
}

#[tokio::test]
async fn a_wallet_owns_the_job_only_by_its_own_word_for_the_key() {
    for policy in ["optional", "required"] {
        let place = Place::new();
        let runner = runner_for(&place, &quick(), &["--v1-signatures", policy]).await;
        let good = wallet_auth(7, &public_key());
        for (name, value) in [
            ("address", json!(address(8))),
            ("address", json!("0x12")),
            ("address", Value::Null),
            ("message", json!("Authorize Project Beacon key: AAAA")),
            ("message", json!(format!(" {}", good["message"].as_str().unwrap()))),
            ("signature", wallet_auth(8, &public_key())["signature"].clone()),
            ("signature", wallet_auth(7, "AAAA")["signature"].clone()),
            ("signature", json!("0x00")),
            ("expiresAt", json!(time(Duration::seconds(-1)))),
            ("expiresAt", json!("never")),
        ] {
            let bad = with(good.clone(), &format!("/{name}"), value);
            refused(&runner, &signed(&with_wallet("bias-detection-1", bad)), "invalid_field:wallet_auth")
                .await;
        }
        // Somebody else's key, with this wallet's true word for its own.
        let theirs = wallet_auth(7, "qBP01SQs+cJ57B1sBjypEotITySqNR9EF3qK412l6Tk=");
        refused(&runner, &signed(&with_wallet("bias-detection-1", theirs)), "invalid_field:wallet_auth")
            .await;
        refused(&runner, &signed(&with_wallet("bias-detection-1", json!("0x"))), "invalid_field:wallet_auth")
            .await;

        let answer = cross_region(&runner, &signed(&with_wallet("bias-detection-1", good))).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let owner = runner.reaches("bias-detection-1", "there", |_| true).await["job"]["owner"].clone();
        assert_eq!(owner, address(7));
    }
}

#[tokio::test]
async fn a_signature_is_good_for_one_job_also_after_a_restart() {
    let place = Place::new();
    let runner = runner_for(&place, &quick(), &[]).await;
    let first = signed(&with_wallet("bias-detection-1", wallet_auth(7, &public_key())));
    assert_eq!(cross_region(&runner, &first).await.status, 202);
    let second = with(first.clone(), "/id", json!("bias-detection-2"));
    refused(&runner, &second, "replay_detected").await;
    runner.kill_9().await;

    let runner = runner_for(&place, &quick(), &[]).await;
    refused(&runner, &second, "replay_detected").await;
    // Neither another time of creation nor another place of the id is another job.
    let dated = with(second.clone(), "/created_at", json!(time(Duration::hours(1))));
    refused(&runner, &dated, "replay_detected").await;
    // The same again is the same job, and with other regions it is none.
    let again = cross_region(&runner, &first).await;
    assert_eq!((again.status, &again.body["id"]), (202, &json!("bias-detection-1")));
    let narrow = json!({"jobspec": first, "target_regions": ["EU"]}).to_string();
    let answer = send(&runner.url, "POST", "/api/v1/jobs/cross-region", &narrow).await;
    answer.refused(409, "Failed to create job record");
    // What was not signed cannot be asked for.
    let wide = signed(&with(spec("bias-detection-3"), "/constraints/regions", json!(["EU"])));
    cross_region(&runner, &wide).await.refused(400, "Invalid JobSpec");
}

#[tokio::test]
async fn nothing_of_a_proof_is_ever_told() {
    let place = Place::new();
    let runner = runner_for(&place, &quick(), &["--log", "trace"]).await;
    let wallet = wallet_auth(7, &public_key());
    let mut spec = with_wallet("bias-detection-1", wallet.clone());
    spec["metadata"]["copy"] = json!([{ "wallet_auth": wallet.clone() }]);
    let sent = signed(&spec);
    assert_eq!(cross_region(&runner, &sent).await.status, 202);
    let secrets =
        [&sent["signature"], &wallet["signature"], &wallet["nonce"]].map(|secret| secret.as_str().unwrap());
    let job = runner.reaches("bias-detection-1", "completed", |job| job["status"] == "completed").await;
    let mut told = vec![job.to_string(), runner.log()];
    for path in [
        "/jobs/bias-detection-1?include=all",
        "/jobs",
        "/jobs/bias-detection-1/executions/all",
        "/executions",
    ] {
        told.push(send(&runner.url, "GET", &format!("/api/v1{path}"), "").await.body.to_string());
    }
    let row = show(&runner, "bias-detection-1").await.body["executions"][0]["id"].clone();
    told.push(
        send(&runner.url, "GET", &format!("/api/v1/executions/{row}/details"), "").await.body.to_string(),
    );
    for path in ["/jobs", "/jobs/bias-detection-1/audit"] {
        let (_, answer) =
            request(&runner.url, "GET", &format!("/api/v1{path}"), Some(TOKEN), "").await.unwrap();
        told.push(answer.to_string());
    }
    // The database is where a leak would last.
    let database = std::fs::read(place.path("jobs.db")).unwrap();
    let log = std::fs::read(place.path("jobs.db-wal")).unwrap_or_default();
    told.push(String::from_utf8_lossy(&[database, log].concat()).into_owned());
    for (place, text) in told.iter().enumerate() {
        for secret in secrets {
            assert!(!text.contains(secret), "a proof is in text {place}");
        }
    }
    let kept = &show(&runner, "bias-detection-1").await.body["job"];
    assert_eq!(keys(&kept["wallet_auth"]), keys(&wallet));
    assert_eq!(kept["wallet_auth"]["address"], address(7));
}
