//! What proves who made a spec: an Ed25519 signature over it, and a wallet's word for that key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use beacon_jobs_http::verify_personal_sign;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::canonical::signed_text;
use super::settings::Signatures;
use super::words::fingerprint;

/// How long a signed spec may be sent. Shorter than any job is kept, and only a job that is kept tells
/// that its signature was used.
const FRESH: Duration = Duration::hours(12);
/// How far the clock of a portal may be ahead.
const SKEW: Duration = Duration::minutes(10);

/// What a spec proves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Proof {
    /// The address of the wallet that stands for the spec, in lower case.
    pub(super) wallet: Option<String>,
    /// A digest of its signature, which is good for one job.
    pub(super) signature: Option<String>,
}

/// Why a proof is not good.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadProof {
    /// The word for programs.
    pub(super) code: &'static str,
    /// The words for people.
    pub(super) text: String,
}

fn bad<T>(code: &'static str, text: impl Into<String>) -> Result<T, BadProof> {
    Err(BadProof { code, text: text.into() })
}

/// Checks all proofs of a spec as it was received. Proofs that are there are never overlooked.
pub(super) fn check(
    spec: &Map<String, Value>,
    policy: Signatures,
    now: OffsetDateTime,
) -> Result<Proof, BadProof> {
    let wallet = spec.get("wallet_auth").filter(|wallet| !wallet.is_null());
    let (signature, key) = match (given(spec, "signature"), given(spec, "public_key")) {
        (Some(signature), Some(key)) => (signature, key),
        (None, None) if policy == Signatures::Optional && wallet.is_none() => return Ok(Proof::default()),
        (None, None) if policy == Signatures::Optional => {
            return bad("missing_field:signature", "wallet_auth counts only in a spec that is signed");
        }
        (None, _) => {
            return bad("missing_field:signature", "signature is missing: this server takes signed specs");
        }
        (Some(_), None) => return bad("missing_field:public_key", "public_key is missing beside signature"),
    };
    let signature = check_signature(spec, signature, key)?;
    check_age(spec, policy, now)?;
    let wallet = wallet.map(|wallet| check_wallet(wallet, key, now)).transpose()?;
    Ok(Proof { wallet, signature: Some(signature) })
}

/// A member that is there. An empty text counts as absent.
fn given<'a>(spec: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    spec.get(name).filter(|value| !value.is_null() && value.as_str() != Some(""))
}

fn check_signature(spec: &Map<String, Value>, signature: &Value, key: &Value) -> Result<String, BadProof> {
    let Some(key) = decode::<32>(key).and_then(|key| VerifyingKey::from_bytes(&key).ok()) else {
        return bad("invalid_encoding:public_key", "public_key must be an Ed25519 key, 32 bytes in base64");
    };
    let Some(bytes) = decode::<64>(signature) else {
        return bad("invalid_encoding:signature", "signature must be 64 bytes in base64");
    };
    if key.verify_strict(signed_text(spec).as_bytes(), &Signature::from_bytes(&bytes)).is_err() {
        return bad("signature_mismatch", "signature is not by public_key, or of another spec");
    }
    Ok(fingerprint(&bytes))
}

fn decode<const N: usize>(text: &Value) -> Option<[u8; N]> {
    STANDARD.decode(text.as_str()?).ok()?.try_into().ok()
}

/// A signature that was used is known as long as its job is kept: an older one would be taken for new.
fn check_age(spec: &Map<String, Value>, policy: Signatures, now: OffsetDateTime) -> Result<(), BadProof> {
    let metadata = spec.get("metadata");
    let Some(timestamp) =
        metadata.and_then(|metadata| metadata.get("timestamp")).filter(|time| !time.is_null())
    else {
        return match (policy, metadata) {
            (Signatures::Optional, _) => Ok(()),
            (Signatures::Required, None) => bad("missing_field:metadata", "metadata is missing"),
            (Signatures::Required, Some(_)) => {
                bad("missing_field:timestamp", "metadata.timestamp is missing")
            }
        };
    };
    match read_time(timestamp) {
        None => bad("invalid_field:timestamp", "metadata.timestamp must be a time as RFC 3339 has it"),
        Some(time) if time > now + SKEW => {
            bad("invalid_field:timestamp", "metadata.timestamp is in the future; is the clock right?")
        }
        Some(time) if time < now - FRESH => {
            bad("invalid_field:timestamp", "metadata.timestamp is more than 12 hours ago; sign the spec anew")
        }
        Some(_) => Ok(()),
    }
}

fn read_time(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}

/// A wallet's word counts for the key that signed the spec, and until it has expired.
fn check_wallet(wallet: &Value, key: &Value, now: OffsetDateTime) -> Result<String, BadProof> {
    const CODE: &str = "invalid_field:wallet_auth";
    let text = |name: &str| wallet.get(name).and_then(Value::as_str);
    let (Some(address), Some(signature), Some(message)) =
        (text("address"), text("signature"), text("message"))
    else {
        return bad(CODE, "wallet_auth needs address, signature and message, all strings");
    };
    if key.as_str().is_none_or(|key| message != format!("Authorize Project Beacon key: {key}")) {
        return bad(CODE, "wallet_auth.message is not about public_key");
    }
    match wallet.get("expiresAt").filter(|time| !time.is_null()).map(read_time) {
        None => {}
        Some(None) => return bad(CODE, "wallet_auth.expiresAt must be a time as RFC 3339 has it"),
        Some(Some(time)) if time <= now => {
            return bad(CODE, "wallet_auth has expired; connect the wallet again");
        }
        Some(Some(_)) => {}
    }
    verify_personal_sign(address, message, signature)
        .or_else(|error| bad(CODE, format!("wallet_auth.{error}")))
}
