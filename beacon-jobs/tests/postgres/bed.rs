//! A store in a schema of its own.

use std::collections::HashSet;
use std::time::Duration;

use beacon_jobs::JobId;
use beacon_jobs::store::postgres::{PostgresStore, PostgresStoreOptions};
use beacon_jobs::store::{Claim, ClaimedJob, Fence, FinishJob, HostBound, JobStore, TakeStops};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::server;
pub(crate) use crate::store_bed::*;

/// Long enough that only a hang reaches it.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) type Bed = StoreBed<PostgresStore, String>;

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(set: impl Fn(PostgresStoreOptions) -> PostgresStoreOptions) -> Self {
        Self::on(&server::url(), &server::schema(), set).await
    }

    pub(crate) async fn on(
        url: &str,
        schema: &str,
        set: impl Fn(PostgresStoreOptions) -> PostgresStoreOptions,
    ) -> Self {
        let options = set(PostgresStoreOptions::new().with_schema(schema).unwrap());
        let store = options.open(url).await.unwrap();
        store.migrate().await.unwrap();
        Self::enter(store, schema).await
    }

    pub(crate) fn schema(&self) -> &str {
        &self.home
    }

    /// Another node on the same database.
    pub(crate) async fn other(&self) -> Self {
        Self::on(&server::url(), self.schema(), |options| options).await
    }

    pub(crate) async fn take_over(&self) -> Vec<ClaimedJob> {
        self.store.take_over(&Claim { limit: 1_000, ..self.wish() }).await.unwrap()
    }

    pub(crate) fn stops(&self) -> TakeStops {
        TakeStops {
            incarnation: self.node,
            executors: vec![DOUBLE.into()],
            host_bound: HostBound::default(),
            hold: Duration::ZERO,
            limit: 100,
        }
    }

    /// Runs SQL of the test; `@.` stands for the schema.
    pub(crate) async fn execute(&self, connection: &mut PgConnection, sql: &str) {
        let sql = sql.replace("@.", &format!("{}.", self.schema()));
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    }

    /// The one number that SQL of the test brings.
    pub(crate) async fn number(&self, connection: &mut PgConnection, sql: &str) -> i64 {
        let sql = sql.replace("@.", &format!("{}.", self.schema()));
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap()
    }

    /// Waits until so many statements about this schema wait for a lock.
    pub(crate) async fn until_waiting(&self, connection: &mut PgConnection, statements: i64) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{}%'",
            self.schema()
        );
        until(async || self.number(connection, &sql).await >= statements).await;
    }

    /// Ends the server's ends of connections that wait for a lock, until so many have been ended.
    pub(crate) async fn kill_waiting(&self, connection: &mut PgConnection, backends: usize) {
        let sql = format!(
            "SELECT pid FROM ( \
               SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{}%' OFFSET 0 \
             ) waiting WHERE pg_terminate_backend(pid)",
            self.schema()
        );
        let mut killed = HashSet::new();
        until(async || {
            let pids: Vec<i32> =
                sqlx::query_scalar(AssertSqlSafe(sql.clone())).fetch_all(&mut *connection).await.unwrap();
            killed.extend(pids);
            killed.len() >= backends
        })
        .await;
    }
}

/// Asks until the answer is yes.
pub(crate) async fn until(mut ask: impl AsyncFnMut() -> bool) {
    let asked = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, asked).await.expect("what is waited for does not come");
}

/// A connection of the test's own.
pub(crate) async fn connect() -> PgConnection {
    PgConnection::connect(&server::url()).await.unwrap()
}

pub(crate) fn finish_job(fence: Fence, job: &JobId) -> FinishJob {
    FinishJob { fence, job: job.clone(), timed_out: false }
}
