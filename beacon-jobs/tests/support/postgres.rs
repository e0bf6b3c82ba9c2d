//! The PostgreSQL server of the test run. `scripts/postgres` starts it; nextest calls that by itself.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, unreachable_pub, missing_docs)]

use beacon_jobs::store::postgres::{PostgresStore, PostgresStoreOptions};
use beacon_jobs::{IdSource, RandomIds};

fn variable(name: &str) -> String {
    match std::env::var(name) {
        Ok(url) if !url.is_empty() => url,
        _ => panic!(
            "{name} names no server: run the tests with `cargo nextest run`, which starts one, or set it to \
             the URL that scripts/postgres prints"
        ),
    }
}

/// The server.
pub fn url() -> String {
    variable("BEACON_POSTGRES_URL")
}

/// The same server behind pgbouncer in transaction mode.
pub fn pooling_url() -> String {
    variable("BEACON_PGBOUNCER_URL")
}

/// A name for a schema that no other test has.
pub fn schema() -> String {
    format!("t{}", RandomIds.uuid().simple())
}

/// A store in this schema, which is made if need be.
pub async fn store(schema: &str) -> PostgresStore {
    let options = PostgresStoreOptions::new().with_schema(schema).unwrap();
    let store = options.open(&url()).await.unwrap();
    store.migrate().await.unwrap();
    store
}
