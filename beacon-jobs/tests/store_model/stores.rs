//! The stores that are held against the model, on a time that the test sets.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::clock::Clock;
use beacon_jobs::conformance::ManualClock;
use beacon_jobs::store::JobStore;
use beacon_jobs::store::postgres::PostgresStoreOptions;
use beacon_jobs::store::sqlite::SqliteStoreOptions;
use sqlx::Executor;

use crate::server;

/// What both stores go by.
pub(crate) enum Time {
    Manual(Arc<ManualClock>),
    /// The database has a time of its own, which is set here.
    Database(Arc<ManualClock>, sqlx::PgPool, String),
}

impl Time {
    pub(crate) fn clock(&self) -> &Arc<ManualClock> {
        match self {
            Self::Manual(clock) | Self::Database(clock, ..) => clock,
        }
    }

    pub(crate) async fn advance(&self, by: Duration) {
        self.clock().advance(by);
        if let Self::Database(clock, pool, schema) = self {
            let set = format!("UPDATE {schema}.model_clock SET now = $1");
            sqlx::query(sqlx::AssertSqlSafe(set)).bind(clock.now()).execute(pool).await.unwrap();
        }
    }
}

/// A file in memory where that is a folder: thousands of files are made here.
pub(crate) async fn sqlite(clock: &Arc<ManualClock>) -> (Arc<dyn JobStore>, tempfile::TempDir) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let options = SqliteStoreOptions::new().with_clock(Arc::clone(clock) as _).with_readers(1);
    let store = options.open(folder.path().join("model.db")).await.unwrap();
    store.migrate().await.unwrap();
    (Arc::new(store), folder)
}

/// A schema whose time is read from a table.
pub(crate) struct Postgres {
    pub(crate) store: Arc<dyn JobStore>,
    pool: sqlx::PgPool,
    schema: String,
}

impl Postgres {
    pub(crate) async fn new() -> Self {
        let schema = server::schema();
        let options = PostgresStoreOptions::new().with_schema(&schema).unwrap().with_notifications(false);
        let store = options.open(&server::url()).await.unwrap();
        store.migrate().await.unwrap();
        let pool = sqlx::PgPool::connect(&server::url()).await.unwrap();
        let clock = format!(
            "CREATE TABLE {schema}.model_clock AS SELECT now(); \
             CREATE OR REPLACE FUNCTION {schema}.beacon_now() RETURNS timestamptz LANGUAGE sql VOLATILE \
             AS 'SELECT now FROM {schema}.model_clock'"
        );
        pool.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(clock))).await.unwrap();
        Self { store: Arc::new(store), pool, schema }
    }

    /// Forgets everything, and sets the time back.
    pub(crate) async fn clear(&self) -> Time {
        let tables =
            ["jobs", "specs", "executions", "results", "attempts", "stops", "audit", "nodes", "holders"];
        let delete = tables.map(|table| format!("DELETE FROM {}.beacon_{table};", self.schema)).concat();
        self.pool.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(delete))).await.unwrap();
        let time = Time::Database(Arc::default(), self.pool.clone(), self.schema.clone());
        time.advance(Duration::ZERO).await;
        time
    }
}
