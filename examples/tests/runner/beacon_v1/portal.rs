//! What a portal sends, and how it signs.

use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use beacon_jobs::clock::{Clock, SystemClock};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use sha3::{Digest, Keccak256};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where the portal's page comes from.
pub(super) const ORIGIN: &str = "http://localhost:3000";
/// The flags of a runner that a portal uses as it is, but for the policy of its cancels.
pub(super) const FLAGS: [&str; 3] = ["--beacon-v1", "--cors-origin", ORIGIN];
/// The policy under which its Cancel button works.
pub(super) const OPEN: [&str; 2] = ["--cancel-policy", "legacy_open"];

const SEED: [u8; 32] = [9; 32];

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// In lower case.
    pub(super) head: String,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The names of the body's members.
    pub(super) fn keys(&self) -> Vec<&str> {
        keys(&self.body)
    }

    /// Sees that this is a refusal that the page can show.
    pub(super) fn refused(&self, status: u16, error: &str) {
        assert_eq!((self.status, self.body["error"].as_str()), (status, Some(error)), "{self:?}");
        for explanation in ["message", "details", "error_code", "job_id"] {
            assert!(self.body.get(explanation).is_none_or(Value::is_string), "{self:?}");
        }
    }
}

pub(super) fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<_> =
        object.as_object().into_iter().flat_map(|members| members.keys()).map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Sends a request as the page does: from its origin, with its headers also where there is no body.
pub(super) async fn send(url: &str, method: &str, path: &str, body: &str) -> Answer {
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    send_with(url, method, path, &format!("Origin: {ORIGIN}\r\nAccept: application/json\r\n{json}"), body)
        .await
}

pub(super) async fn send_with(url: &str, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let host = url.strip_prefix("http://").unwrap();
    let length = if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}{length}\r\n{body}"
    );
    let mut connection = TcpStream::connect(host).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}

pub(super) fn time(offset: Duration) -> String {
    let now: OffsetDateTime = SystemClock.now() + offset;
    now.format(&Rfc3339).unwrap()
}

/// A spec as the page makes it: two regions, one question, two models.
pub(super) fn spec(id: &str) -> Value {
    json!({
        "id": id, "version": "v1", "created_at": time(Duration::ZERO), "runs": 1,
        "benchmark": {
            "name": "multi-model-bias-detection", "version": "v1", "description": "A test of <bias> & more",
            "container": {"image": "bias-detection:latest", "tag": "latest", "resources": {"cpu": "1000m", "memory": "2Gi"}},
            "input": {"type": "prompt", "data": {"prompt": "Hello?"}, "hash": "sha256:placeholder"},
            "scoring": {"method": "default", "parameters": {}}, "metadata": {}
        },
        "constraints": {"regions": ["US", "EU"], "min_regions": 1, "timeout": 600_000_000_000_u64,
                        "provider_timeout": 600_000_000_000_u64},
        "metadata": {"created_by": "portal", "models": ["llama3.2-1b", "mistral-7b"], "estimated_cost": "0.0096",
                     "timestamp": time(Duration::ZERO), "nonce": "cBnBtyph7q1/c8TqWtGKGA", "multi_model": true},
        "questions": ["greatest_leader"]
    })
}

/// The wrapper in which the page sends a spec.
pub(super) fn wrapped(spec: &Value) -> String {
    json!({
        "jobspec": spec, "target_regions": ["US", "EU"], "min_regions": 1, "min_success_rate": 0.67,
        "enable_analysis": true
    })
    .to_string()
}

/// Signs a spec. JavaScript tells which text is signed, and its signature is the same.
pub(super) fn signed(spec: &Value) -> Value {
    let key = SigningKey::from_bytes(&SEED);
    let mut node = Command::new("node")
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runner/beacon_v1/portal.js"), &hex(&SEED)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is needed: it signs as a portal does");
    node.stdin.take().unwrap().write_all(json!([spec]).to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let by_node: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = by_node[0]["text"].as_str().unwrap();
    let signature = STANDARD.encode(key.sign(text.as_bytes()).to_bytes());
    assert_eq!(by_node[0]["signature"], signature.as_str(), "two libraries sign alike");
    let mut signed = spec.clone();
    signed["signature"] = signature.into();
    signed["public_key"] = by_node[0]["public_key"].clone();
    signed
}

/// Signs another text than the spec's by the same key.
pub(super) fn signature_of(text: &str) -> String {
    STANDARD.encode(SigningKey::from_bytes(&SEED).sign(text.as_bytes()).to_bytes())
}

/// The public key that specs are signed by.
pub(super) fn public_key() -> String {
    STANDARD.encode(SigningKey::from_bytes(&SEED).verifying_key().to_bytes())
}

/// An account's word for this key.
pub(super) fn wallet_auth(account: u8, public_key: &str) -> Value {
    let key = k256::ecdsa::SigningKey::from_slice(&[account; 32]).unwrap();
    let message = format!("Authorize Project Beacon key: {public_key}");
    let mut hash = Keccak256::new();
    hash.update(format!("\x19Ethereum Signed Message:\n{}{message}", message.len()));
    let (signature, v) = key.sign_prehash_recoverable(&hash.finalize());
    json!({
        "address": address(account),
        "signature": format!("0x{}{:02x}", hex(&signature.normalize_s().to_bytes()), v.to_byte() + 27),
        "message": message, "chainId": 1, "nonce": "MQHhHqMMcDfxtdW3/XEBOg", "expiresAt": time(Duration::days(7))
    })
}

/// The account's address in lower case.
pub(super) fn address(account: u8) -> String {
    let key = k256::ecdsa::SigningKey::from_slice(&[account; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    format!("0x{}", hex(&Keccak256::digest(&point.as_bytes()[1..])[12..]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
