use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::{Error, ErrorKind, Result};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::WebExecutor;
use super::exchange::Endpoint;
use crate::executor::ModalExecutor;

/// How long one request may go unanswered: Modal answers each after 150 seconds, if only with a redirect (its page on
/// the timeouts of web endpoints).
const LEG_LIMIT: Duration = Duration::from_secs(180);
/// The longest that Modal lets a function run: its `timeout` is at most a day (its page on timeouts).
const LONGEST_FUNCTION: Duration = Duration::from_secs(24 * 3600);

/// Times that the executor keeps to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) start_deadline: Duration,
    pub(super) lifetime: Duration,
    pub(super) confirm_limit: Duration,
}

/// Sets up a [`WebExecutor`].
pub struct WebBuilder {
    name: String,
    token: Option<(SecretString, SecretString)>,
    native: Option<ModalExecutor>,
    origins: Vec<String>,
    limits: Limits,
    leg_limit: Duration,
    clock: Arc<dyn Clock>,
}

impl WebBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: "modal-web".to_owned(),
            token: None,
            native: None,
            origins: Vec::new(),
            limits: Limits {
                start_deadline: Duration::from_secs(30),
                lifetime: LONGEST_FUNCTION,
                confirm_limit: Duration::from_secs(600),
            },
            leg_limit: LEG_LIMIT,
            clock: Arc::new(SystemClock),
        }
    }

    /// The name that executions refer to. `modal-web` if it is not set.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// A proxy token, `wk-…` and `ws-…`, for endpoints that ask for one: sent as `Modal-Key` and `Modal-Secret`.
    #[must_use]
    pub fn with_proxy_token(mut self, key: impl Into<String>, secret: impl Into<String>) -> Self {
        self.token = Some((SecretString::from(key.into()), SecretString::from(secret.into())));
        self
    }

    /// An executor with a token of Modal's API, by which calls are ended and their end is confirmed.
    #[must_use]
    pub fn with_native(mut self, native: ModalExecutor) -> Self {
        self.native = Some(native);
        self
    }

    /// Allows endpoints at another origin than `https://….modal.run`, such as a domain of your own:
    /// `https://models.example.com`. The proxy token is sent there too. May be called more than once.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// How long a request that was begun may take to be sent. 30 seconds if it is not set. It has no effect
    /// [with a native executor](Self::with_native): there the whole of the first answer is waited for, up to the
    /// [leg limit](Self::with_leg_limit).
    #[must_use]
    pub const fn with_start_deadline(mut self, limit: Duration) -> Self {
        self.limits.start_deadline = limit;
        self
    }

    /// How long one request may go unanswered. 180 seconds if it is not set: Modal answers each after 150, if only
    /// with a redirect. With a native executor no stop of a dead process's attempt is confirmed before that is over.
    #[must_use]
    pub const fn with_leg_limit(mut self, limit: Duration) -> Self {
        self.leg_limit = limit;
        self
    }

    /// The `timeout` of the functions behind the endpoints: what cannot be stopped ends by then. 24 hours if it is not
    /// set, which is the longest that Modal takes.
    #[must_use]
    pub const fn with_lifetime_limit(mut self, limit: Duration) -> Self {
        self.limits.lifetime = limit;
        self
    }

    /// After how long an open stop is shown as unconfirmed; it goes on all the same. Ten minutes if it is not set.
    #[must_use]
    pub const fn with_confirm_limit(mut self, limit: Duration) -> Self {
        self.limits.confirm_limit = limit;
        self
    }

    /// Where the executor's time comes from. The machine's clock if it is not set.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the executor. Nothing is sent before its first call.
    ///
    /// # Errors
    /// `Misconfigured` when an origin is none, or a token cannot be sent.
    pub fn build(self) -> Result<WebExecutor> {
        let misconfigured = |message: String| Error::new(ErrorKind::Misconfigured, message);
        let http = crate::tls::http_client()
            .and_then(|http| Ok(http.redirect(reqwest::redirect::Policy::none()).build()?))
            .map_err(|why| misconfigured(format!("no HTTP client: {why}")))?;
        let mut origins = Vec::new();
        for text in &self.origins {
            let origin = text.parse::<Url>().ok().filter(|url| {
                url.has_host()
                    && matches!(url.scheme(), "http" | "https")
                    && url.path() == "/"
                    && url.query().is_none()
            });
            let origin = origin.ok_or_else(|| {
                misconfigured(format!("the origin {text:?} must be such as https://models.example.com"))
            })?;
            origins.push(origin.origin().ascii_serialization());
        }
        let mut headers = HeaderMap::new();
        if let Some((key, secret)) = &self.token {
            for (name, value) in [("modal-key", key), ("modal-secret", secret)] {
                let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| {
                    misconfigured(format!("the proxy token's {name} holds characters that cannot be sent"))
                })?;
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        Ok(WebExecutor {
            name: self.name,
            endpoint: Endpoint { http, headers, origins, leg_limit: self.leg_limit, clock: self.clock },
            native: self.native,
            limits: self.limits,
        })
    }
}

impl fmt::Debug for WebBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebBuilder")
            .field("name", &self.name)
            .field("native", &self.native)
            .field("origins", &self.origins)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
