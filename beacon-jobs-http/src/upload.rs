use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, EXPECT};
use axum::http::request::Parts;
use beacon_jobs::clock::{Clock, SystemClock};
use futures_util::StreamExt;

use crate::problem::{Code, Problem};

/// How much of a refused body is read to be thrown away. A client that is still sending when its
/// connection closes often sees a broken pipe instead of the answer.
const MOST_DISCARDED: usize = 16 * 1024 * 1024;

/// How long a client may send nothing of a body that it has begun.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request whose body was not read yet.
#[derive(Debug)]
pub(crate) struct Upload {
    head: Parts,
    body: Body,
}

/// A request that was read.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
}

impl Upload {
    pub(crate) fn of(request: Request) -> Self {
        let (head, body) = request.into_parts();
        Self { head, body }
    }

    pub(crate) const fn head(&self) -> &Parts {
        &self.head
    }

    /// Refuses the request whatever its body holds.
    ///
    /// # Cancellation safety
    /// Dropping the future leaves the rest of the body unread.
    pub(crate) async fn refuse(self, problem: Problem) -> Problem {
        if !self.head.headers.contains_key(EXPECT) {
            discard(self.body.into_data_stream(), 0).await;
        }
        problem
    }

    /// Reads a body of at most `limit` bytes.
    ///
    /// # Cancellation safety
    /// Dropping the future leaves the rest of the body unread.
    pub(crate) async fn read(self, limit: usize) -> Result<Received, Problem> {
        let too_large = || {
            let detail = format!(
                "the body has more than {limit} bytes; the limit is the setting max_body (--max-body), \
                 and a matrix says in a few lines what a long list of executions does"
            );
            Problem::new(Code::BodyTooLarge, detail)
        };
        if self.body.size_hint().lower() > limit as u64 {
            return Err(self.refuse(too_large()).await);
        }
        let Self { head, body } = self;
        let mut read = Vec::new();
        let mut chunks = body.into_data_stream();
        loop {
            let Some(next) = soon(chunks.next()).await else {
                let within = PATIENCE.as_secs();
                let detail =
                    format!("nothing more of the body has come within {within} s; send the request again");
                return Err(Problem::new(Code::RequestTimeout, detail));
            };
            let Some(chunk) = next else { break };
            let Ok(chunk) = chunk else {
                return Err(Problem::new(Code::MalformedBody, "the body could not be read to its end"));
            };
            if chunk.len() > limit - read.len() {
                discard(chunks, read.len() + chunk.len()).await;
                return Err(too_large());
            }
            read.extend_from_slice(&chunk);
        }
        Ok(Received { head, body: read.into() })
    }
}

async fn discard(mut chunks: BodyDataStream, mut read: usize) {
    while read < MOST_DISCARDED
        && let Some(Some(Ok(chunk))) = soon(chunks.next()).await
    {
        read += chunk.len();
    }
}

/// `None` when the client takes too long.
async fn soon<T>(next: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        next = next => Some(next),
        () = SystemClock.sleep(PATIENCE) => None,
    }
}

impl Received {
    /// Refuses a body that is not said to be JSON.
    pub(crate) fn expect_json(&self) -> Result<(), Problem> {
        if is_json(&self.head.headers) {
            return Ok(());
        }
        Err(Problem::new(
            Code::UnsupportedMediaType,
            "the body must be JSON, with Content-Type: application/json",
        ))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some(subtype) = essence.strip_prefix("application/") else { return false };
    subtype == "json" || subtype.ends_with("+json")
}
