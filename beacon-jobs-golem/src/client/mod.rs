//! The calls to the daemon's REST API. Each has a deadline of its own: the daemon has none for some.

mod activity;
mod market;
mod payment;

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::clock::Clock;
use beacon_jobs::{Error, ErrorKind};
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, Url};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::OnceCell;

pub(crate) use activity::CommandResult;
pub(crate) use market::{Agreement, Proposal, Terms};
pub(crate) use payment::{Decorations, Document, Kind};

use crate::config::Config;
use crate::error::{Answer, CallError};

/// How long a call may take that the daemon answers by itself.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// How much longer we wait than the daemon was asked to.
const MARGIN: Duration = Duration::from_secs(2);
/// No answer is longer.
const MOST_BYTES: usize = 64 << 20;

/// A client of one daemon, for one key.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: HeaderValue,
    identity: OnceCell<String>,
    pub(crate) clock: Arc<dyn Clock>,
}

#[derive(Debug, Deserialize)]
struct Me {
    identity: String,
}

/// A call, before it is sent.
struct Call<'a> {
    name: &'static str,
    method: Method,
    path: &'a [&'a str],
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    limit: Duration,
}

/// An answer that comes bit by bit.
#[derive(Debug)]
pub(crate) struct Stream {
    name: &'static str,
    response: Response,
}

impl Stream {
    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        self.response.chunk().await.map_err(|error| CallError::sending(self.name, error))
    }
}

impl<'a> Call<'a> {
    const fn new(name: &'static str, method: Method, path: &'a [&'a str]) -> Self {
        Self { name, method, path, query: Vec::new(), body: None, limit: CALL_LIMIT }
    }

    fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// How long the daemon is to wait for others; we wait a little longer.
    fn timeout(self, hold: Duration) -> Self {
        self.query("timeout", hold.as_secs_f32()).limit(hold + MARGIN)
    }
}

impl Client {
    pub(crate) fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let misconfigured = |message: String| Error::new(ErrorKind::Misconfigured, message);
        let bad_url = || {
            misconfigured(format!(
                "YAGNA_API_URL is {:?}; it must be a URL such as http://127.0.0.1:7465",
                config.api_url
            ))
        };
        let base = Url::parse(config.api_url.trim()).map_err(|_| bad_url())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() || base.password().is_some() {
            return Err(bad_url());
        }
        let key = format!("Bearer {}", config.appkey.expose_secret().trim());
        let mut authorization = HeaderValue::from_str(&key)
            .map_err(|_| misconfigured("YAGNA_APPKEY holds characters that cannot be sent".to_owned()))?;
        authorization.set_sensitive(true);
        let http =
            crate::tls::http_client().map_err(|why| misconfigured(format!("no HTTP client: {why}")))?;
        Ok(Self { http, base, authorization, identity: OnceCell::new(), clock })
    }

    pub(crate) fn api(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The node id that the key belongs to. Asked for once.
    pub(crate) async fn identity(&self) -> Result<&str, CallError> {
        let ask = || async {
            let me: Me = self.read(Call::new("Me", Method::GET, &["me"])).await?;
            Ok::<_, CallError>(me.identity)
        };
        self.identity.get_or_try_init(ask).await.map(|id| &**id)
    }

    /// Sends a call, and reads its answer as JSON.
    async fn read<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, CallError> {
        let name = call.name;
        let body = self.send(call).await?;
        serde_json::from_str(&body)
            .map_err(|error| CallError::new(name, Answer::Unreadable, error.to_string()))
    }

    /// The same, where the answer is the name of something new. It must be one that stands in a path.
    async fn read_id(&self, call: Call<'_>) -> Result<String, CallError> {
        let name = call.name;
        checked_id(name, self.read(call).await?)
    }

    /// Sends a call whose answer says nothing more.
    async fn tell(&self, call: Call<'_>) -> Result<(), CallError> {
        self.send(call).await.map(drop)
    }

    fn request(&self, call: Call<'_>) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        let request = self.http.request(call.method, url).header(AUTHORIZATION, self.authorization.clone());
        match call.body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.to_string()),
            None => request,
        }
    }

    /// Asks for a stream. It is to begin within the call's limit, and may go on for ever.
    async fn stream(&self, call: Call<'_>) -> Result<Stream, CallError> {
        let (name, limit) = (call.name, call.limit);
        // The daemon knows it in this very form alone.
        let request = self.request(call).header(ACCEPT, "text/event-stream");
        let response = tokio::select! {
            response = request.send() => response.map_err(|error| CallError::sending(name, error))?,
            () = self.clock.sleep(limit) => return Err(CallError::late(name)),
        };
        match response.status() {
            status if status.is_success() => Ok(Stream { name, response }),
            status => Err(CallError::refused(name, status.as_u16(), "")),
        }
    }

    async fn send(&self, call: Call<'_>) -> Result<String, CallError> {
        let (name, limit) = (call.name, call.limit);
        let failed = |error| CallError::sending(name, error);
        let mut response = self.request(call).timeout(limit).send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(CallError::new(name, Answer::Unreadable, "it is longer than 64 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() { Ok(body) } else { Err(CallError::refused(name, status.as_u16(), &body)) }
    }
}

/// A name that the daemon gave: what is empty or holds odd characters names nothing.
fn checked_id(call: &'static str, id: String) -> Result<String, CallError> {
    let is_fit = |id: &str| {
        (1..=200).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && !id.starts_with('.')
    };
    if is_fit(&id) {
        Ok(id)
    } else {
        Err(CallError::new(call, Answer::Unreadable, format!("{id:?} is no id")))
    }
}

/// A time as the daemon reads and writes it.
pub(crate) fn rfc3339(time: OffsetDateTime) -> String {
    // Only years that no clock shows have no such form.
    time.format(&Rfc3339).unwrap_or_default()
}
