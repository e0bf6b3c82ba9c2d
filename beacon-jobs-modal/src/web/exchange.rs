//! Requests to an endpoint, and the way through its redirects.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use beacon_jobs::clock::Clock;
use beacon_jobs::executor::ExecuteError;
use beacon_jobs::job::FailureKind;
use beacon_jobs::{Error, Result};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Response, StatusCode, Url};
use tokio::sync::oneshot;

use super::call::WebCall;
use super::input::Input;

/// In a redirect, the name of the call.
const CALL_QUERY: &str = "__modal_function_call_id";
/// In an answer, the same. (Seen by users; Modal does not document it.)
const CALL_HEADER: &str = "modal-function-call-id";
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How endpoints are asked.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) http: reqwest::Client,
    /// The proxy token.
    pub(super) headers: HeaderMap,
    /// Besides `https://….modal.run`, as their origins are written.
    pub(super) origins: Vec<String>,
    /// How long one request may go unanswered.
    pub(super) leg_limit: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

impl Endpoint {
    pub(super) fn check(&self, input: &Input) -> Result<()> {
        self.url(&input.url).map(drop)
    }

    /// Reads an address, if a token may be sent there.
    fn url(&self, text: &str) -> Result<Url> {
        let bad = |what: &str| Error::invalid("input.url", format!("{text:?} {what}"));
        let mut url: Url = text.parse().map_err(|error| bad(&format!("is no URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::invalid("input.url", "must not hold a user's name or password"));
        }
        let is_modal = url.scheme() == "https"
            && url.port().is_none()
            && url.host_str().is_some_and(|host| host.ends_with(".modal.run"));
        if !is_modal && !self.origins.contains(&url.origin().ascii_serialization()) {
            return Err(bad(
                "is not at https://….modal.run, nor at an origin that was allowed to the executor",
            ));
        }
        if url.query_pairs().any(|(name, _)| name == CALL_QUERY) {
            return Err(bad("names a call; give the endpoint's own address"));
        }
        url.set_fragment(None);
        Ok(url)
    }

    /// The request that begins the work. `sent` hears when all of it was handed to the connection.
    pub(super) fn post(
        &self,
        input: &Input,
        sent: oneshot::Sender<()>,
    ) -> std::result::Result<impl Future<Output = reqwest::Result<Response>> + Send + use<>, ExecuteError>
    {
        let invalid = |error: String| ExecuteError::new(FailureKind::InvalidInput, error);
        let url = self.url(&input.url).map_err(|error| invalid(error.to_string()))?;
        let body = serde_json::to_vec(&input.body).map_err(|error| invalid(error.to_string()))?;
        let body = Announced { data: Some(body.into()), sent: Some(sent) };
        Ok(self
            .http
            .post(url)
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .timeout(self.leg_limit)
            .body(reqwest::Body::wrap(body))
            .send())
    }

    /// Takes from an answer what it tells of the call. Returns whether it is the last one.
    pub(super) fn learn(
        &self,
        call: &mut WebCall,
        answer: &Response,
    ) -> std::result::Result<bool, ExecuteError> {
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if let Some(id) = header(CALL_HEADER) {
            call.call_id = Some(id.to_owned());
        }
        if answer.status() != StatusCode::SEE_OTHER {
            return Ok(true);
        }
        let provider = |message: String| ExecuteError::new(FailureKind::Provider, message);
        let here = answer.url();
        let next = header(LOCATION.as_str())
            .and_then(|location| here.join(location).ok())
            .ok_or_else(|| provider("the endpoint redirects to nowhere".to_owned()))?;
        if next.origin() != here.origin() {
            // The token is for the endpoint alone.
            return Err(provider(format!(
                "the endpoint redirects to {}",
                next.origin().ascii_serialization()
            )));
        }
        if let Some((_, id)) = next.query_pairs().find(|(name, _)| name == CALL_QUERY) {
            call.call_id = Some(id.into_owned());
        }
        call.next = Some(next.into());
        Ok(false)
    }

    /// Waits for an answer where one is to come. This begins nothing, so it is repeated as often as it takes,
    /// until `give_up` by the clock's uptime.
    pub(super) async fn wait(
        &self,
        next: &str,
        give_up: Duration,
    ) -> std::result::Result<Response, ExecuteError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let get = self.http.get(next).headers(self.headers.clone()).timeout(self.leg_limit);
            match get.send().await {
                Ok(answer) if !is_passing(answer.status()) => return Ok(answer),
                Ok(answer) => tracing::debug!(status = %answer.status(), "the endpoint has no answer yet"),
                Err(error) => tracing::debug!(error = %error.without_url(), "no answer from the endpoint"),
            }
            if self.clock.uptime() + pause >= give_up {
                return Err(ExecuteError::new(
                    FailureKind::Provider,
                    "the endpoint gave no answer within the lifetime of its function",
                ));
            }
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// Whether the same question may be answered later.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 502..=504)
}

/// A request that was sent, or tried to be, and whose answer did not come.
pub(super) fn lost(error: reqwest::Error) -> ExecuteError {
    let error = error.without_url();
    let what = if error.is_connect() {
        "the endpoint cannot be reached"
    } else if error.is_timeout() {
        "the endpoint gave no answer in time; whether it computes is not known"
    } else {
        "the connection to the endpoint broke; whether it computes is not known"
    };
    ExecuteError::new(FailureKind::Provider, what).retryable().with_source(error)
}

/// A body that tells when it was handed over.
struct Announced {
    data: Option<Bytes>,
    sent: Option<oneshot::Sender<()>>,
}

impl Body for Announced {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        let frame = self.data.take().map(|data| Ok(Frame::data(data)));
        if let Some(sent) = self.sent.take() {
            // Where nobody waits any more nobody needs to know.
            let _ = sent.send(());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}
