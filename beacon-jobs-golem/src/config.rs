//! Where the daemon is, and who we are there.

use std::fmt;

use beacon_jobs::{Error, ErrorKind, Result};
use secrecy::SecretString;

/// Where yagna listens if nothing else is said.
const API_URL: &str = "http://127.0.0.1:7465";

/// Where the daemon is, and who we are there. Its key is never printed.
#[derive(Clone)]
pub struct Config {
    pub(crate) api_url: String,
    pub(crate) appkey: SecretString,
}

impl Config {
    /// The app key with which the daemon's API is used, as `yagna app-key list` shows it.
    pub fn new(appkey: impl Into<String>) -> Self {
        Self { api_url: API_URL.to_owned(), appkey: SecretString::from(appkey.into()) }
    }

    /// Reads what Golem's own clients read: `YAGNA_APPKEY`, and `YAGNA_API_URL` if it is set.
    ///
    /// # Errors
    /// `Misconfigured` when there is no key.
    pub fn from_env() -> Result<Self> {
        Self::from_vars(|name| std::env::var(name).ok())
    }

    /// As [`from_env`](Self::from_env), with variables from elsewhere.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_vars(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let Some(appkey) = set("YAGNA_APPKEY") else {
            return Err(Error::new(
                ErrorKind::Misconfigured,
                "there is no key for yagna: set YAGNA_APPKEY to one that `yagna app-key create` makes",
            ));
        };
        let mut config = Self::new(appkey);
        if let Some(url) = set("YAGNA_API_URL") {
            config.api_url = url;
        }
        Ok(config)
    }

    /// The daemon's API, `http://127.0.0.1:7465` if it is not set.
    #[must_use]
    pub fn with_api_url(mut self, url: impl Into<String>) -> Self {
        self.api_url = url.into();
        self
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("api_url", &self.api_url).finish_non_exhaustive()
    }
}
