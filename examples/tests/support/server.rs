//! Databases on the PostgreSQL server of the test run. `scripts/postgres` starts it; nextest calls that
//! by itself.
#![allow(dead_code, reason = "not every test binary needs all of it")]

use beacon_jobs::{IdSource, RandomIds};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A database of a test's own.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) url: String,
    /// A connection to the server's first database.
    server: String,
}

impl Database {
    /// A new one on the server of the test run.
    pub(crate) async fn new() -> Self {
        let server = std::env::var("BEACON_POSTGRES_URL").unwrap_or_default();
        assert!(
            !server.is_empty(),
            "BEACON_POSTGRES_URL names no server: run the tests with `cargo nextest run`, which starts one, or set \
             it to the URL that scripts/postgres prints"
        );
        Self::on(&server).await
    }

    /// A new one on the server with this URL.
    pub(crate) async fn on(server: &str) -> Self {
        let name = format!("t{}", RandomIds.uuid().simple());
        let database = Self { url: named(server, &name), server: server.to_owned() };
        database.on_server(&format!("CREATE DATABASE {name}")).await;
        database
    }

    /// The URL of a database of this name on the same server.
    pub(crate) fn sibling(&self, name: &str) -> String {
        named(&self.server, name)
    }

    /// The folder of the server's socket.
    pub(crate) fn folder(&self) -> &str {
        self.server.split_once("host=").expect("the server has a socket").1
    }

    /// Runs a statement in the server's first database.
    pub(crate) async fn on_server(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.server).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }

    /// The rows of a query, as JSON.
    pub(crate) async fn rows(&self, query: &str) -> Vec<Value> {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let query = format!("SELECT coalesce(json_agg(row), '[]')::text FROM ({query}) row");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut connection).await.unwrap();
        serde_json::from_str(&rows).unwrap()
    }
}

fn named(server: &str, name: &str) -> String {
    let (before, options) = server.split_once('?').unwrap_or((server, ""));
    let (address, _) = before.rsplit_once('/').expect("the URL names a database");
    format!("{address}/{name}?{options}")
}
