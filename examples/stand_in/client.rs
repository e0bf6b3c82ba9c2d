//! Requests to a server.

use std::fmt;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, Uri};
use beacon_jobs::clock::{Clock, SystemClock};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::server::{LookAt, Stop};
use crate::wire::{Create, Entry, Faults, Look, Work, micros};

/// The largest answer that is read.
const LARGEST_ANSWER: usize = 1 << 28;
/// How long what a test asks may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The way to one server.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    from: String,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

/// A call that brought nothing to use.
#[derive(Debug)]
pub enum CallError {
    /// No answer, or none that can be read: the call may have had its effect.
    NoAnswer(String),
    /// There is no such work.
    Unknown,
    /// The server refused.
    Refused(StatusCode, String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(why) => write!(f, "no answer: {why}"),
            Self::Unknown => f.write_str("there is no such work"),
            Self::Refused(status, why) => write!(f, "refused ({status}): {why}"),
        }
    }
}

impl std::error::Error for CallError {}

impl Client {
    /// A client of the server at a URL such as `http://127.0.0.1:4000`, which says that it is `from`.
    #[must_use]
    pub fn new(url: impl Into<String>, from: impl Into<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        // A connection each, and nothing sent twice: what may have been begun must not be begun again.
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build(connector);
        Self { url: url.into(), from: from.into(), http }
    }

    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes work.
    ///
    /// # Errors
    /// After [`CallError::NoAnswer`] the work may be there.
    ///
    /// # Cancellation safety
    /// When dropped, the work may be there.
    pub async fn create(&self, order: &Create, patience: Duration) -> Result<Look, CallError> {
        self.post("/create", order, patience).await
    }

    /// Lets work run.
    ///
    /// # Errors
    /// After [`CallError::NoAnswer`] it may run.
    ///
    /// # Cancellation safety
    /// When dropped, it may run.
    pub async fn begin(&self, work: &Work, patience: Duration) -> Result<Look, CallError> {
        self.post("/begin", work, patience).await
    }

    /// Tells how work stands, once it computes no more or `wait` has passed.
    ///
    /// # Errors
    /// When there is no answer, or no such work.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn look(&self, work: &Work, wait: Duration, patience: Duration) -> Result<Look, CallError> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.post("/look", &LookAt { work: work.clone(), wait_ms }, wait + patience).await
    }

    /// Tells work to end.
    ///
    /// # Errors
    /// After [`CallError::NoAnswer`] it may have been told.
    ///
    /// # Cancellation safety
    /// When dropped, it may have been told.
    pub async fn stop(&self, work: &Work, force: bool, patience: Duration) -> Result<Look, CallError> {
        self.post("/stop", &Stop { work: work.clone(), force }, patience).await
    }

    /// Makes the server misbehave about all executions.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// # Cancellation safety
    /// When dropped, it may be done.
    pub async fn set_faults(&self, faults: &Faults) -> Result<(), CallError> {
        self.post::<serde_json::Value>("/faults", &json!({ "faults": faults }), PATIENCE).await.map(drop)
    }

    /// Lets all work that goes on come to its end.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// # Cancellation safety
    /// When dropped, it may be done.
    pub async fn complete(&self) -> Result<(), CallError> {
        self.post::<serde_json::Value>("/complete", &json!({}), PATIENCE).await.map(drop)
    }

    /// What happened at the server so far.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn log(&self) -> Result<Vec<Entry>, CallError> {
        let body = self.exchange(Method::GET, "/log", Vec::new(), PATIENCE).await?;
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(serde_json::from_slice).collect::<Result<_, _>>().map_err(unreadable)
    }

    /// The begins of what computes at the server now.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn alive(&self) -> Result<Vec<Entry>, CallError> {
        let body = self.exchange(Method::GET, "/alive", Vec::new(), PATIENCE).await?;
        serde_json::from_slice(&body).map_err(unreadable)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        patience: Duration,
    ) -> Result<T, CallError> {
        let body = serde_json::to_vec(body).map_err(unreadable)?;
        let answer = self.exchange(Method::POST, path, body, patience).await?;
        serde_json::from_slice(&answer).map_err(unreadable)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Bytes, CallError> {
        let exchange = async {
            let uri: Uri = format!("{}{path}", self.url).parse().map_err(no_answer)?;
            let request = Request::builder().method(method).uri(uri).header("x-from", &self.from);
            let request = request.header("x-asked", micros());
            let request = request.body(Full::new(Bytes::from(body))).map_err(no_answer)?;
            let answer = self.http.request(request).await.map_err(no_answer)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
            let body = body.map_err(|error| CallError::NoAnswer(error.to_string()))?.to_bytes();
            match status {
                StatusCode::OK => Ok(body),
                StatusCode::NOT_FOUND => Err(CallError::Unknown),
                _ => Err(CallError::Refused(status, String::from_utf8_lossy(&body).into_owned())),
            }
        };
        tokio::select! {
            // An answer that came is taken, however long this process was frozen.
            biased;
            answer = exchange => answer,
            () = SystemClock.sleep(patience) => {
                Err(CallError::NoAnswer(format!("nothing within {} ms", patience.as_millis())))
            }
        }
    }
}

fn no_answer(error: impl std::error::Error) -> CallError {
    let mut root: &dyn std::error::Error = &error;
    while let Some(source) = root.source() {
        root = source;
    }
    CallError::NoAnswer(root.to_string())
}

fn unreadable(error: serde_json::Error) -> CallError {
    CallError::NoAnswer(format!("not readable: {error}"))
}
