//! Where Modal is, and who we are there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use beacon_jobs::{Error, ErrorKind, Result};
use secrecy::SecretString;
use serde::Deserialize;

const SERVER: &str = "https://api.modal.com";
/// What the server takes for the version of Modal's own Python client; it decides how the server
/// behaves. The PyPI package `modal` 1.6.4 is the one that this crate was measured against.
const CLIENT_VERSION: &str = "1.6.4";

/// The sort of client that the server is told to talk to (`x-modal-client-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClientType {
    /// A program that uses Modal's Python client. The default.
    #[default]
    Client,
    /// A program that uses one of Modal's other client libraries.
    Library,
}

impl ClientType {
    pub(crate) const fn number(self) -> &'static str {
        match self {
            Self::Client => "1",
            Self::Library => "7",
        }
    }
}

/// Where Modal is, and who we are there. Its secrets are never printed.
#[derive(Clone)]
pub struct Config {
    pub(crate) server: String,
    pub(crate) token_id: SecretString,
    pub(crate) token_secret: SecretString,
    pub(crate) environment: String,
    pub(crate) client_type: ClientType,
    pub(crate) client_version: String,
}

/// A section of `~/.modal.toml`. Other keys are Modal's own business.
#[derive(Debug, Default, Deserialize)]
struct Profile {
    token_id: Option<SecretString>,
    token_secret: Option<SecretString>,
    server_url: Option<String>,
    environment: Option<String>,
    #[serde(default)]
    active: bool,
}

impl Config {
    /// The token with which Modal's API is used: `ak-…` and `as-…`.
    pub fn new(token_id: impl Into<String>, token_secret: impl Into<String>) -> Self {
        Self {
            server: SERVER.to_owned(),
            token_id: SecretString::from(token_id.into()),
            token_secret: SecretString::from(token_secret.into()),
            environment: String::new(),
            client_type: ClientType::default(),
            client_version: CLIENT_VERSION.to_owned(),
        }
    }

    /// Reads what Modal's own client reads: `MODAL_TOKEN_ID`, `MODAL_TOKEN_SECRET`,
    /// `MODAL_SERVER_URL`, `MODAL_ENVIRONMENT`, and for what they leave out the section of
    /// `~/.modal.toml` (`MODAL_CONFIG_PATH`) that `MODAL_PROFILE` names, or that is active.
    ///
    /// # Errors
    /// `Misconfigured` when there is no token, or the file cannot be read.
    pub fn from_env() -> Result<Self> {
        Self::from_vars(|name| std::env::var(name).ok())
    }

    /// As [`from_env`](Self::from_env), with variables from elsewhere.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_vars(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let file = set("MODAL_CONFIG_PATH")
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| Path::new(&home).join(".modal.toml")));
        let profile = match file {
            Some(file) => Profile::read(&file, set("MODAL_PROFILE").as_deref())?,
            None => Profile::default(),
        };
        let token_id = set("MODAL_TOKEN_ID").map(SecretString::from).or(profile.token_id);
        let token_secret = set("MODAL_TOKEN_SECRET").map(SecretString::from).or(profile.token_secret);
        let (Some(token_id), Some(token_secret)) = (token_id, token_secret) else {
            return Err(misconfigured(
                "there is no Modal token: set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, or run `modal token new`",
            ));
        };
        let mut config = Self::new("", "");
        config.token_id = token_id;
        config.token_secret = token_secret;
        if let Some(server) = set("MODAL_SERVER_URL").or(profile.server_url) {
            config.server = server;
        }
        if let Some(environment) = set("MODAL_ENVIRONMENT").or(profile.environment) {
            config.environment = environment;
        }
        Ok(config)
    }

    /// The server, as `https://host`. With several, separated by commas, the first is used.
    #[must_use]
    pub fn with_server(mut self, url: impl Into<String>) -> Self {
        self.server = url.into();
        self
    }

    /// The environment of executions that name none; empty for the workspace's default one.
    #[must_use]
    pub fn with_environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = environment.into();
        self
    }

    /// What the server is to take us for.
    #[must_use]
    pub fn with_client(mut self, client_type: ClientType, version: impl Into<String>) -> Self {
        self.client_type = client_type;
        self.client_version = version.into();
        self
    }

    /// The server that is used.
    pub(crate) fn first_server(&self) -> &str {
        self.server.split(',').next().unwrap_or_default().trim()
    }
}

impl Profile {
    fn read(file: &Path, name: Option<&str>) -> Result<Self> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && name.is_none() => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(misconfigured(format!("{} cannot be read: {error}", file.display())));
            }
        };
        // The parser's own message shows the line, which may hold a secret.
        let mut profiles: BTreeMap<String, Self> = toml::from_str(&text).map_err(|error| {
            let place = error.span().map_or(0, |span| text[..span.start].lines().count());
            misconfigured(format!("{} is not a Modal configuration: see line {place}", file.display()))
        })?;
        let chosen = match name {
            Some(name) => name.to_owned(),
            None => profiles
                .iter()
                .find(|(_, profile)| profile.active)
                .map_or_else(|| "default".to_owned(), |(name, _)| name.clone()),
        };
        match profiles.remove(&chosen) {
            Some(profile) => Ok(profile),
            None if name.is_none() => Ok(Self::default()),
            None => Err(misconfigured(format!(
                "MODAL_PROFILE names {chosen:?}, which {} does not have",
                file.display()
            ))),
        }
    }
}

fn misconfigured(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Misconfigured, message)
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("server", &self.server)
            .field("environment", &self.environment)
            .field("client_type", &self.client_type)
            .field("client_version", &self.client_version)
            .finish_non_exhaustive()
    }
}
