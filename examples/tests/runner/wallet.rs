//! Signing in with a wallet at the real runner, and following a job from outside.

use beacon_jobs::clock::{Clock, SystemClock};
use k256::ecdsa::SigningKey;
use rustix::process::Signal;
use serde_json::{Value, json};
use sha3::{Digest, Keccak256};
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::{Place, Runner, TOKEN, request};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signs in at a runner that is known under this URL. Returns the status and the answer.
async fn sign_in(runner: &Runner, public_url: &str) -> (u16, Value) {
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let address = format!("0x{}", hex(&Keccak256::digest(&point.as_bytes()[1..])[12..]));
    let (status, nonce) = request(&runner.url, "POST", "/api/v1/auth/nonce", None, "").await.unwrap();
    assert_eq!(status, 200, "{nonce}");
    let (_, domain) = public_url.split_once("://").unwrap();
    let message = format!(
        "{domain} wants you to sign in with your Ethereum account:\n{address}\n\n\nURI: {public_url}\nVersion: 1\n\
         Chain ID: 1\nNonce: {}\nIssued At: {}",
        nonce["nonce"].as_str().unwrap(),
        SystemClock.now().format(&Rfc3339).unwrap()
    );
    let mut hash = Keccak256::new();
    hash.update(format!("\x19Ethereum Signed Message:\n{}{message}", message.len()));
    let (signature, v) = key.sign_prehash_recoverable(&hash.finalize());
    let signature = format!("0x{}{:02x}", hex(&signature.normalize_s().to_bytes()), v.to_byte() + 27);
    let body = json!({ "message": message, "signature": signature }).to_string();
    request(&runner.url, "POST", "/api/v1/auth/session", None, &body).await.unwrap()
}

#[tokio::test]
async fn an_account_signs_in_and_cancels_its_own_job_also_after_a_restart() {
    let place = Place::new();
    let mut runner = Runner::start(&place, &[]).await;
    let (status, session) = sign_in(&runner, &runner.url.clone()).await;
    assert_eq!(status, 200, "{session}");
    let token = session["token"].as_str().unwrap();
    let job = json!({ "id": "mine", "executions": [{ "executor": "process", "input": { "command": ["sleep", "600"] } }] });
    let (status, _) =
        request(&runner.url, "POST", "/api/v1/jobs", Some(token), &job.to_string()).await.unwrap();
    assert_eq!(status, 201);
    runner.reaches("mine", "running", |job| job["progress"]["running"] == 1).await;
    runner.signal(Signal::TERM);
    assert_eq!(runner.ended().await, Some(0));

    let runner = Runner::start(&place, &[]).await;
    let path = "/api/v1/jobs/mine/cancel?wait=60";
    let (status, answer) = request(&runner.url, "POST", path, Some(token), "").await.unwrap();
    assert_eq!((status, &answer["cancelled_by"]), (200, &session["address"]), "{answer}");
    let (status, _) = request(&runner.url, "DELETE", "/api/v1/auth/session", Some(token), "").await.unwrap();
    assert_eq!(status, 204);
    let (status, _) = request(&runner.url, "GET", "/api/v1/jobs", Some(token), "").await.unwrap();
    assert_eq!(status, 401);
    assert!(!runner.log().contains(token), "a token is in the log");
}

#[tokio::test]
async fn a_signature_is_for_the_public_url_and_not_for_the_bound_address() {
    let place = Place::new();
    let runner = Runner::start(&place, &["--public-url", "https://portal.example"]).await;
    let (status, problem) = sign_in(&runner, &runner.url.clone()).await;
    assert_eq!((status, &problem["field"]), (401, &json!("domain")), "{problem}");
    let (status, session) = sign_in(&runner, "https://portal.example").await;
    assert_eq!(status, 200, "{session}");
}

#[tokio::test]
async fn without_wallet_in_auth_nobody_signs_in_by_one() {
    let place = Place::new();
    let runner = Runner::start(&place, &["--auth", "token"]).await;
    let (status, _) = request(&runner.url, "POST", "/api/v1/auth/nonce", None, "").await.unwrap();
    assert_eq!(status, 404);
}

#[tokio::test]
async fn who_follows_a_job_is_told_and_does_not_hold_up_the_end() {
    let place = Place::new();
    let mut runner = Runner::start(&place, &["--no-runner"]).await;
    let job = json!({ "id": "queued", "executions": [{ "executor": "process", "input": { "command": ["true"] } }] });
    runner.submit(&place, &job).await;
    let host = runner.url.strip_prefix("http://").unwrap().to_owned();
    let mut connection = TcpStream::connect(&host).await.unwrap();
    let head = format!(
        "GET /api/v1/jobs/queued/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(connection).lines();
    while lines.next_line().await.unwrap().unwrap() != "event: job" {}
    runner.signal(Signal::TERM);
    let mut left = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        left.push(line);
    }
    assert!(left.iter().any(|line| line.starts_with("data: {")), "{left:?}");
    assert_eq!(left.last().map(String::as_str), Some(""), "the stream ends as a whole: {left:?}");
    assert_eq!(runner.ended().await, Some(0));
}
