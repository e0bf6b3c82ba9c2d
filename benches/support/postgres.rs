//! PostgreSQL databases, for the store and for its floor.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::store::postgres::{PostgresStore, PostgresStoreOptions};
use beacon_jobs::{IdSource, RandomIds};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use crate::measure::{Result, now};

/// The server that `BEACON_POSTGRES_URL` names; without it, one of this process's own that ends with
/// it.
fn url() -> Result<String> {
    static STARTED: Mutex<Option<String>> = Mutex::new(None);
    if let Some(url) = std::env::var("BEACON_POSTGRES_URL").ok().filter(|url| !url.is_empty()) {
        return Ok(url);
    }
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(url) = &*started {
        return Ok(url.clone());
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/postgres");
    let output = Command::new(script).stderr(Stdio::inherit()).output()?;
    let url = String::from_utf8(output.stdout)?.lines().next().map(str::to_owned);
    let url = url.filter(|_| output.status.success()).ok_or("scripts/postgres started no server")?;
    Ok(started.insert(url).clone())
}

/// A database that nobody else uses: what is counted in it is the bench's own.
pub(crate) struct Database {
    name: String,
    server: PgConnectOptions,
}

impl Database {
    pub(crate) async fn new() -> Result<Self> {
        let server: PgConnectOptions = url()?.parse()?;
        let database = Self {
            name: format!("bench_{}", RandomIds.uuid().simple()),
            server: server.disable_statement_logging(),
        };
        database.command(format!("CREATE DATABASE {}", database.name)).await?;
        Ok(database)
    }

    /// Runs a command of the server, from outside of the database.
    async fn command(&self, command: String) -> Result<()> {
        let mut connection = self.server.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(command)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }

    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        Ok(self.options().connect().await?)
    }

    /// A store in this database; all that are opened here are one.
    pub(crate) async fn pool(&self, connections: u32) -> Result<sqlx::PgPool> {
        Ok(PgPoolOptions::new().max_connections(connections).connect_with(self.options()).await?)
    }

    pub(crate) async fn store(&self, options: PostgresStoreOptions) -> Result<PostgresStore> {
        let store = options.open_with(self.options()).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// How many transactions were committed here. A server process tells its own at times only, and when
    /// it ends: of those that are connected some may be missing.
    pub(crate) async fn commits(&self) -> Result<i64> {
        let mut connection = self.server.connect().await?;
        let commits = sqlx::query_scalar("SELECT xact_commit FROM pg_stat_database WHERE datname = $1")
            .bind(&self.name)
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok(commits)
    }

    /// Waits until nobody is connected.
    pub(crate) async fn left(&self) -> Result<()> {
        let mut connection = self.server.connect().await?;
        loop {
            let connected: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'",
            )
            .bind(&self.name)
            .fetch_one(&mut connection)
            .await?;
            if connected == 0 {
                return Ok(connection.close().await?);
            }
            SystemClock.sleep(Duration::from_millis(20)).await;
        }
    }

    /// Deletes it, whoever is connected.
    pub(crate) async fn end(self) -> Result<()> {
        self.command(format!("DROP DATABASE {} WITH (FORCE)", self.name)).await
    }
}

const CHANNEL: &str = "floor";

/// A connection with plain tables, and another that listens.
pub(crate) struct Floor {
    connection: PgConnection,
    woken: UnboundedReceiver<Instant>,
    listener: JoinHandle<()>,
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Floor {
    pub(crate) async fn open(database: &Database) -> Result<Self> {
        let mut connection = database.connect().await?;
        // The rows are as narrow as the store's, and have as much room for their next version.
        sqlx::raw_sql(
            "CREATE TABLE counter (id INTEGER PRIMARY KEY, value BIGINT NOT NULL); \
             INSERT INTO counter VALUES (1, 0); \
             CREATE TABLE row (key BIGINT PRIMARY KEY, status SMALLINT NOT NULL, attempts INTEGER NOT NULL, \
               counted INTEGER NOT NULL, started_at TIMESTAMPTZ, finished_at TIMESTAMPTZ) WITH (fillfactor = 70)",
        )
        .execute(&mut connection)
        .await?;
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(database.options());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        let (wake, woken) = unbounded_channel();
        let listener =
            tokio::spawn(async move { while listener.recv().await.is_ok() && wake.send(now()).is_ok() {} });
        Ok(Self { connection, woken, listener })
    }

    /// One durable commit.
    pub(crate) async fn commit(&mut self) -> Result<Duration> {
        let start = now();
        sqlx::query("UPDATE counter SET value = value + 1 WHERE id = 1")
            .execute(&mut self.connection)
            .await?;
        Ok(start.elapsed())
    }

    /// One durable commit that notifies, until the listener has woken.
    pub(crate) async fn commit_and_wake(&mut self) -> Result<Duration> {
        let start = now();
        sqlx::query(
            "WITH changed AS (UPDATE counter SET value = value + 1 WHERE id = 1 RETURNING value) \
             SELECT pg_notify($1, value::text) FROM changed",
        )
        .bind(CHANNEL)
        .execute(&mut self.connection)
        .await?;
        let woken = self.woken.recv().await.ok_or("the floor's listener has ended")?;
        Ok(woken.saturating_duration_since(start))
    }

    /// One durable commit that updates so many fresh rows and notifies.
    pub(crate) async fn update(&mut self, rows: u32) -> Result<Duration> {
        let first: i64 = sqlx::query_scalar("SELECT coalesce(max(key), 0) + 1 FROM row")
            .fetch_one(&mut self.connection)
            .await?;
        let last = first + i64::from(rows) - 1;
        sqlx::query(
            "INSERT INTO row (key, status, attempts, counted, started_at) \
             SELECT key, 12, 1, 1, now() FROM generate_series($1, $2) key",
        )
        .bind(first)
        .bind(last)
        .execute(&mut self.connection)
        .await?;
        let start = now();
        let (updated, ()): (i64, ()) = sqlx::query_as(
            "WITH changed AS (UPDATE row SET status = 22 WHERE key BETWEEN $1 AND $2 AND status < 20 RETURNING key) \
             SELECT count(*), pg_notify($3, 'changed') FROM changed",
        )
        .bind(first)
        .bind(last)
        .bind(CHANNEL)
        .fetch_one(&mut self.connection)
        .await?;
        let took = start.elapsed();
        if updated != i64::from(rows) {
            return Err("the floor updated other rows than it was to".into());
        }
        Ok(took)
    }
}
