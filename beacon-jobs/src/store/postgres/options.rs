//! How a store is opened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool};

use super::source::{Lane, Limits, Source};
use super::{Core, PostgresStore};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IdSource, RandomIds};

/// How a store is opened.
///
/// ```no_run
/// # async fn open() -> Result<(), beacon_jobs::Error> {
/// use beacon_jobs::store::postgres::PostgresStoreOptions;
///
/// let options = PostgresStoreOptions::new().with_schema("jobs")?.with_max_connections(20);
/// let store = options.open("postgres://runner@db.example/app").await?;
/// store.migrate().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PostgresStoreOptions {
    schema: String,
    notifications: bool,
    transaction_pooling: bool,
    max_connections: u32,
    limits: Limits,
    ids: Arc<dyn IdSource>,
}

impl PostgresStoreOptions {
    /// The schema of a store that names none.
    pub const DEFAULT_SCHEMA: &str = "beacon_jobs";

    /// Schema `beacon_jobs`, hints by LISTEN/NOTIFY, no proxy, 10 connections, 10 s for a connection
    /// and 30 s for a statement.
    #[must_use]
    pub fn new() -> Self {
        Self {
            schema: Self::DEFAULT_SCHEMA.to_owned(),
            notifications: true,
            transaction_pooling: false,
            max_connections: 10,
            limits: Limits { acquire: Duration::from_secs(10), statement: Duration::from_secs(30) },
            ids: Arc::new(RandomIds),
        }
    }

    /// The schema in which the store's tables and functions live: 1 to 40 characters of `a-z 0-9 _`, not
    /// a digit first. [`PostgresStore::migrate`] makes it. Stores of one schema are one store.
    ///
    /// # Errors
    /// `InvalidInput` on `schema` for another name.
    pub fn with_schema(mut self, schema: impl Into<String>) -> Result<Self> {
        let schema = schema.into();
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let begins_well = schema.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if !begins_well || schema.len() > 40 || !schema.bytes().all(legal) {
            return Err(Error::invalid(
                "schema",
                "must be 1 to 40 characters of a-z 0-9 _ and not begin with a digit",
            ));
        }
        self.schema = schema;
        Ok(self)
    }

    /// Whether hints go to other nodes, and come from them, by LISTEN/NOTIFY. Without, a change that
    /// another node made is found at the next poll.
    #[must_use]
    pub fn with_notifications(mut self, notifications: bool) -> Self {
        self.notifications = notifications;
        self
    }

    /// Whether a proxy between hands each transaction to another server connection, as pgbouncer does
    /// in transaction mode. Then each call is a transaction of unnamed statements, which takes more
    /// round trips, and there is no LISTEN: hints of other nodes do not come, though this one sends
    /// its own. pgbouncer needs `ignore_startup_parameters = extra_float_digits`.
    #[must_use]
    pub fn with_transaction_pooling(mut self, pooling: bool) -> Self {
        self.transaction_pooling = pooling;
        self
    }

    /// How many connections do ordinary work, at least 1. Beside them the store opens up to 3 for
    /// cancels, heartbeats and checks, which wait for nobody, and 1 for hints. A host's pool keeps
    /// its own number.
    #[must_use]
    pub fn with_max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long a call waits for a connection. After that it is `Unavailable`.
    #[must_use]
    pub fn with_acquire_timeout(mut self, timeout: Duration) -> Self {
        self.limits.acquire = timeout;
        self
    }

    /// How long a statement may take, waits for locks included. Then the server gives it up, and the call
    /// is `Unavailable`; when not even that is heard 5 s later, a write is `OutcomeUnknown`. On a host's
    /// connections and behind a proxy only the latter.
    #[must_use]
    pub fn with_statement_timeout(mut self, timeout: Duration) -> Self {
        self.limits.statement = timeout;
        self
    }

    /// Opens a store by a URL such as `postgres://user@host/database`.
    ///
    /// # Errors
    /// `Misconfigured` when the URL is not legal, the server is older than version 14, or it does not
    /// sync its commits; `Unavailable` when it cannot be reached.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn open(self, url: &str) -> Result<PostgresStore> {
        // The words of the parser may hold parts of the URL, and so of a password.
        let options: PgConnectOptions = url.parse().map_err(|_| {
            Error::new(ErrorKind::Misconfigured, "the store's URL is not a legal postgres:// URL")
        })?;
        self.connect(options, None).await
    }

    /// Opens a store by sqlx's own options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn open_with(self, options: PgConnectOptions) -> Result<PostgresStore> {
        self.connect(options, None).await
    }

    /// Opens a store in the database of the host program's own pool. Ordinary work goes through the
    /// pool; cancels, heartbeats and hints through connections of the store's own, opened with the
    /// pool's options. One round trip for a call is promised only if the pool does not ping on
    /// acquire (`test_before_acquire(false)`).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn from_pool(self, pool: PgPool) -> Result<PostgresStore> {
        let options = pool.connect_options().as_ref().clone();
        self.connect(options, Some(pool)).await
    }

    async fn connect(self, options: PgConnectOptions, host: Option<PgPool>) -> Result<PostgresStore> {
        let most = self.max_connections as usize;
        let (schema, is_pooled) = (self.schema, self.transaction_pooling);
        let from = self.notifications.then(|| self.ids.uuid().to_string());
        let source = Source::new(options, host, schema, is_pooled, most, self.limits);
        let store = PostgresStore::new(Core::new(source, from, self.ids));
        // A host's pool may have settings of its own.
        store.greet(Lane::Common).await?;
        Ok(store)
    }
}

impl Default for PostgresStoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for PostgresStoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStoreOptions")
            .field("schema", &self.schema)
            .field("notifications", &self.notifications)
            .field("transaction_pooling", &self.transaction_pooling)
            .field("max_connections", &self.max_connections)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
