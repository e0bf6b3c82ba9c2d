//! Taking jobs in.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::store::{JobFilter, Submission, Submitted};
use beacon_jobs::{ErrorKind, JobId};
use serde_json::{Value, json};
use tracing::{Instrument, Span};

use super::http::{IDEMPOTENCY_KEY, read};
use super::proof::{self, BadProof};
use super::refusal::{Refusal, json};
use super::route::Shared;
use super::rows::time_text;
use super::spec::Wish;
use super::words::{KEY, NOBODY, fingerprint, labels};

/// Why a submission was not taken.
#[derive(Debug)]
enum Wrong {
    /// The body is not JSON.
    Malformed(String),
    /// It is another JSON than the route takes.
    Form(&'static str),
    /// What should prove who made it does not.
    Proof(BadProof),
    /// It asks for what cannot be done.
    Spec(String),
    /// Another job has its id.
    Taken(JobId),
    /// Anything else.
    Other(Refusal),
}

/// A job that was taken in, now or before.
struct Taken {
    id: JobId,
    by_key: bool,
}

/// What a submission became before the store has seen it.
struct Prepared {
    submission: Submission,
    is_signed: bool,
    key: Option<String>,
    facts: Facts,
}

/// What the answer tells about the job.
struct Facts {
    regions: usize,
    min_regions: u64,
    minutes: u64,
}

/// Takes a spec in its wrapper.
pub(super) async fn cross_region(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let (headers, body) = read(request, shared.max_body).await?;
    let (taken, facts) = take(shared, headers, body, true).await.map_err(Wrong::of_cross_region)?;
    let id = taken.id.as_str();
    let body = json!({
        "id": id, "job_id": id, "jobspec_id": id,
        "cross_region_execution_id": uuid_of(id),
        "total_regions": facts.regions,
        "min_regions": facts.min_regions,
        "status": "submitted",
        "submitted_at": time_text(SystemClock.now()),
        "estimated_duration": format!("at most {} minutes", facts.minutes),
    });
    Ok(json(StatusCode::ACCEPTED, &body))
}

/// Takes a spec as it is.
pub(super) async fn bare(State(shared): State<Shared>, request: Request) -> Result<Response, Refusal> {
    let (headers, body) = read(request, shared.max_body).await?;
    let (taken, _) = take(shared, headers, body, false).await.map_err(Wrong::of_bare)?;
    if taken.by_key {
        return Ok(json(StatusCode::OK, &json!({ "id": taken.id, "idempotent": true })));
    }
    Ok(json(StatusCode::ACCEPTED, &json!({ "id": taken.id, "status": "enqueued" })))
}

async fn take(
    shared: Shared,
    headers: HeaderMap,
    body: Bytes,
    wrapped: bool,
) -> Result<(Taken, Facts), Wrong> {
    // A long list takes its time to read and check: not on a thread that cancels wait for.
    let prepared = {
        let (shared, span) = (Shared::clone(&shared), Span::current());
        tokio::task::spawn_blocking(move || span.in_scope(|| prepare(&shared, &headers, &body, wrapped)))
            .await
    };
    let Prepared { submission, is_signed, key, facts } =
        prepared.map_err(|error| Refusal::internal(&error))??;
    let owner = submission.owner.clone();
    // The store has one key for each job. A signature's comes first: it must hold against everybody.
    if let (true, Some(key)) = (is_signed, &key)
        && let Some(first) = known_by(&shared, &owner, key).await?
    {
        return Ok((Taken { id: first, by_key: true }, facts));
    }
    // To its end even when the client hangs up.
    let store = Arc::clone(shared.jobs.store());
    let submitted = async move {
        let submitted = store.submit(&submission).await;
        (submission.id, submitted)
    };
    let (id, submitted) =
        tokio::spawn(submitted.in_current_span()).await.map_err(|error| Refusal::internal(&error))?;
    let key = key.filter(|_| !is_signed);
    let taken = |id: JobId| Ok(Taken { id, by_key: key.is_some() });
    let taken = match submitted.map_err(Refusal::from)? {
        Submitted::Created(id) => Ok(Taken { id, by_key: false }),
        Submitted::Existing(first, _) if first == id => taken(first),
        Submitted::Existing(first, _) | Submitted::Conflict(first) if first != id => match &key {
            Some(_) => taken(first),
            None => {
                let text = "the signature was used for another job; sign the spec anew".to_owned();
                Err(Wrong::Proof(BadProof { code: "replay_detected", text }))
            }
        },
        // It has this id. Whether it also has this key is told by its label.
        Submitted::Existing(..) | Submitted::Conflict(_) => match &key {
            Some(key) if known_by(&shared, &owner, key).await?.as_ref() == Some(&id) => taken(id),
            _ => Err(Wrong::Taken(id)),
        },
    };
    Ok((taken?, facts))
}

/// All that can be refused without a look at the store.
fn prepare(shared: &Shared, headers: &HeaderMap, body: &[u8], wrapped: bool) -> Result<Prepared, Wrong> {
    let body: Value = serde_json::from_slice(body).map_err(|error| Wrong::Malformed(error.to_string()))?;
    let Value::Object(body) = body else { return Err(Wrong::Form("the body must be a JSON object")) };
    let (spec, wrapper) = if wrapped {
        let spec = body.get("jobspec").and_then(Value::as_object);
        (spec.ok_or(Wrong::Form("jobspec must be an object"))?, Some(&body))
    } else {
        (&body, None)
    };
    let proof = proof::check(spec, shared.settings.signatures, SystemClock.now())?;
    let is_signed = proof.signature.is_some();
    let wish = Wish::read(spec, wrapper, is_signed).map_err(Wrong::Spec)?;
    let facts = Facts {
        regions: wish.regions.len(),
        min_regions: wish.min_regions,
        minutes: wish.seconds.div_ceil(60),
    };
    let key = idempotency_key(headers)?;
    let mut job = wish.into_job(&shared.settings.template);
    if let Some(key) = &key {
        job = job.with_label(KEY, key);
    }
    let unique = match &proof.signature {
        Some(signature) => Some(format!("v1-signature:{signature}")),
        None => key.as_ref().map(|key| format!("v1-key:{key}")),
    };
    let owner = proof.wallet.as_deref().unwrap_or(NOBODY);
    let submission =
        shared.jobs.prepare(owner, job, unique.as_deref()).map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => Wrong::Spec(error.to_string()),
            _ => Wrong::Other(error.into()),
        })?;
    Ok(Prepared { submission, is_signed, key, facts })
}

/// A digest of the header, which may be longer than a label.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Wrong> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY).filter(|key| !key.is_empty()) else { return Ok(None) };
    if key.len() > 255 {
        return Err(Wrong::Spec("Idempotency-Key must be at most 255 bytes".to_owned()));
    }
    Ok(Some(fingerprint(key.as_bytes())))
}

/// The job of this owner that had this key. Two signed requests at once with one key may both find none:
/// beside a signature the key is a label only.
async fn known_by(shared: &Shared, owner: &str, key: &str) -> Result<Option<JobId>, Refusal> {
    let filter = JobFilter {
        owner: Some(owner.to_owned()),
        labels: labels([(KEY, key.to_owned())]),
        limit: 1,
        ..JobFilter::default()
    };
    Ok(shared.jobs.list(&filter).await?.jobs.into_iter().next().map(|job| job.id))
}

/// A stable UUID (version 8) made of a job's id.
fn uuid_of(id: &str) -> String {
    let hash = fingerprint(id.as_bytes());
    let part = |from: usize, count: usize| hash.get(from..from + count).unwrap_or_default();
    format!("{}-{}-8{}-a{}-{}", part(0, 8), part(8, 4), part(12, 3), part(15, 3), part(18, 12))
}

impl Wrong {
    fn of_cross_region(self) -> Refusal {
        let (error, details) = match self {
            Self::Malformed(why) => ("Invalid request format", why),
            Self::Form(why) => ("Invalid request format", why.to_owned()),
            Self::Proof(BadProof { code, text }) => {
                return Refusal::bad("Invalid JobSpec signature")
                    .with("details", text)
                    .with("error_code", code);
            }
            Self::Spec(why) => ("Invalid JobSpec", why),
            Self::Taken(id) => return Refusal::taken("Failed to create job record", "details", &id),
            Self::Other(refusal) => return refusal,
        };
        Refusal::bad(error).with("details", details)
    }

    fn of_bare(self) -> Refusal {
        match self {
            Self::Malformed(why) => Refusal::bad("invalid_json").with("message", why),
            Self::Form(why) => Refusal::bad("invalid_body").with("message", why),
            Self::Proof(BadProof { code, text }) => Refusal::bad(text).with("error_code", code),
            Self::Spec(why) => Refusal::bad("validation_error").with("message", why),
            Self::Taken(id) => Refusal::taken("job id is taken", "message", &id),
            Self::Other(refusal) => refusal,
        }
    }
}

impl From<BadProof> for Wrong {
    fn from(proof: BadProof) -> Self {
        Self::Proof(proof)
    }
}

impl From<Refusal> for Wrong {
    fn from(refusal: Refusal) -> Self {
        Self::Other(refusal)
    }
}
