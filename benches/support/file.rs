//! SQLite files on a disk, for the store and for its floor.
#![allow(dead_code, reason = "each bench uses a part of it")]

use beacon_jobs::Jobs;
use beacon_jobs::job::{ExecutionSpec, JobSpec};
use beacon_jobs::store::sqlite::SqliteStore;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use tempfile::TempDir;

use crate::measure::Result;

/// A folder in the build's own: `/tmp` may be in memory, where syncing costs nothing.
pub(crate) fn folder() -> Result<TempDir> {
    Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// A store that has been in use: its WAL has its full length, as a floor's has. While a WAL still
/// grows each sync also writes the file's new length, which costs several times as much.
pub(crate) async fn store(folder: &TempDir) -> Result<SqliteStore> {
    let store = SqliteStore::open(folder.path().join("store.db")).await?;
    store.migrate().await?;
    let input = "a kibibyte of input ".repeat(50);
    let executions =
        (0..WAL_BYTES / input.len()).map(|_| ExecutionSpec::new("nobody", input.as_str().into()));
    Jobs::new(store.clone()).submit("nobody", JobSpec::new(executions)).await?;
    Ok(store)
}

/// More than SQLite lets a WAL become before it writes it back and begins anew: 1000 pages.
const WAL_BYTES: usize = 5 << 20;

/// A file of its own, opened with the store's settings, in which each write changes a value: SQLite
/// does not sync a commit that changed nothing.
pub(crate) struct Floor(SqliteConnection);

impl Floor {
    pub(crate) async fn open(folder: &TempDir) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("floor.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        sqlx::raw_sql(
            "CREATE TABLE counter (id INTEGER PRIMARY KEY, value INTEGER NOT NULL); \
             INSERT INTO counter VALUES (1, 0); \
             CREATE TABLE row (key INTEGER PRIMARY KEY, status TEXT NOT NULL, attempts INTEGER NOT NULL, \
               counted INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER); \
             CREATE TABLE filler (bytes BLOB NOT NULL)",
        )
        .execute(&mut connection)
        .await?;
        sqlx::query("INSERT INTO filler VALUES (zeroblob($1))")
            .bind(i64::try_from(WAL_BYTES)?)
            .execute(&mut connection)
            .await?;
        Ok(Self(connection))
    }

    /// One durable commit.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        sqlx::query("UPDATE counter SET value = value + 1 WHERE id = 1").execute(&mut self.0).await?;
        Ok(())
    }

    /// Makes fresh rows, and tells their first key.
    pub(crate) async fn fill(&mut self, rows: u32) -> Result<i64> {
        let first: i64 =
            sqlx::query_scalar("SELECT coalesce(max(key), 0) + 1 FROM row").fetch_one(&mut self.0).await?;
        sqlx::query(
            "WITH RECURSIVE next(key) AS (SELECT $1 UNION ALL SELECT key + 1 FROM next LIMIT $2) \
             INSERT INTO row (key, status, attempts, counted, started_at) \
             SELECT key, 'running', 1, 1, 1790000000000000000 FROM next",
        )
        .bind(first)
        .bind(rows)
        .execute(&mut self.0)
        .await?;
        Ok(first)
    }

    /// One durable commit that updates so many rows.
    pub(crate) async fn update(&mut self, first: i64, rows: u32) -> Result<()> {
        let updated = sqlx::query(
            "UPDATE row SET status = 'cancelled', finished_at = 1790000000000000001 \
             WHERE key BETWEEN $1 AND $2 AND status IN ('queued', 'starting', 'running')",
        )
        .bind(first)
        .bind(first + i64::from(rows) - 1)
        .execute(&mut self.0)
        .await?;
        if updated.rows_affected() != u64::from(rows) {
            return Err("the floor updated other rows than it was to".into());
        }
        Ok(())
    }
}
