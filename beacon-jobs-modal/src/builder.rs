//! How an executor is set up.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::{Error, ErrorKind, Result};

use crate::client::Client;
use crate::config::Config;
use crate::executor::ModalExecutor;

/// Times that the executor keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) start_deadline: Duration,
    pub(crate) confirm_limit: Duration,
    pub(crate) container_stop: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start_deadline: Duration::from_secs(30),
            confirm_limit: Duration::from_secs(600),
            container_stop: Some(Duration::from_secs(30)),
        }
    }
}

/// Sets up a [`ModalExecutor`].
#[derive(Debug)]
pub struct Builder {
    config: Config,
    name: String,
    limits: Limits,
    clock: Arc<dyn Clock>,
}

impl Builder {
    pub(crate) fn new(config: Config) -> Self {
        let clock = Arc::new(SystemClock);
        Self { config, name: "modal".to_owned(), limits: Limits::default(), clock }
    }

    /// The name that executions refer to. `modal` if it is not set.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How long a request that creates a call or gives it its input may be on its way; no stop is
    /// confirmed before that is over. 30 seconds if it is not set.
    #[must_use]
    pub const fn with_start_deadline(mut self, limit: Duration) -> Self {
        self.limits.start_deadline = limit;
        self
    }

    /// After how long an open stop is shown as unconfirmed; it goes on all the same. Ten minutes
    /// if it is not set.
    #[must_use]
    pub const fn with_confirm_limit(mut self, limit: Duration) -> Self {
        self.limits.confirm_limit = limit;
        self
    }

    /// How long after the end of the grace a container that has not finished is stopped itself,
    /// with whatever else runs in it (Modal runs inputs of others again elsewhere). `None`: never. 30
    /// seconds if it is not set.
    #[must_use]
    pub const fn with_container_stop_after(mut self, limit: Option<Duration>) -> Self {
        self.limits.container_stop = limit;
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
    /// `Misconfigured` when the server is no URL, or a token cannot be sent.
    pub fn build(self) -> Result<ModalExecutor> {
        let http = crate::tls::http_client()
            .and_then(|http| Ok(http.build()?))
            .map_err(|why| Error::new(ErrorKind::Misconfigured, format!("no HTTP client: {why}")))?;
        Ok(ModalExecutor {
            client: Client::new(&self.config, self.clock)?,
            http,
            limits: self.limits,
            name: self.name,
            environment: self.config.environment.clone(),
        })
    }
}
