//! The schema, and how a database gets it.
//!
//! sqlx's own migrator names its statements and locks for the session; behind a transaction-pooling
//! proxy neither holds.

use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::error::fault;
use super::statements::{SCRIPTS, in_schema};
use crate::store::sql::Fault;

/// Beside `_sqlx_migrations`, which may be the host program's.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS @._beacon_jobs_migrations (
    version BIGINT PRIMARY KEY, name TEXT NOT NULL, digest BYTEA NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
)";

/// Brings the schema up to this version, all in one transaction.
pub(super) async fn migrate(connection: &mut PgConnection, schema: &str) -> Result<(), Fault> {
    let mut transaction = connection.begin().await.map_err(fault)?;
    let applied = lock(&mut transaction, schema).await.map_err(fault)?;
    check(&applied)?;
    apply(&mut transaction, schema, &applied).await.map_err(fault)?;
    transaction.commit().await.map_err(fault)
}

/// Migrations that were applied, with the digests of their scripts.
type Applied = Vec<(i64, Vec<u8>)>;

/// Makes the schema where there is none, and keeps others from migrating it.
async fn lock(connection: &mut PgConnection, schema: &str) -> Result<Applied, sqlx::Error> {
    let text = |sql: &str| sqlx::raw_sql(AssertSqlSafe(in_schema(sql, schema)));
    // Without it two programs that start together would both make the schema. Notices say that there
    // is nothing to do.
    let lock = "SET LOCAL client_min_messages = warning; \
        SELECT pg_advisory_xact_lock(hashtext('beacon_jobs'), hashtext(current_database() || '@.'))";
    connection.execute(text(lock)).await?;
    let exists = "SELECT to_regnamespace($1) IS NOT NULL";
    let exists = sqlx::query_scalar(exists).bind(schema).persistent(false);
    // `CREATE SCHEMA IF NOT EXISTS` needs the right to create one also when it is there.
    if !exists.fetch_one(&mut *connection).await? {
        connection.execute(sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\"")))).await?;
    }
    connection.execute(text(TABLE)).await?;
    let applied = text("SELECT version, digest FROM @._beacon_jobs_migrations ORDER BY version");
    let applied = connection.fetch_all(applied).await?;
    applied.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Refuses a schema that another version has migrated otherwise.
fn check(applied: &Applied) -> Result<(), Fault> {
    for (version, digest) in applied {
        let Some((.., sql)) = SCRIPTS.iter().find(|(known, ..)| known == version) else {
            return Err(Fault::newer(*version));
        };
        if digest.as_slice() != Sha256::digest(sql).as_slice() {
            return Err(Fault::corrupt(format!(
                "migration {version} was another script when it was applied"
            )));
        }
    }
    Ok(())
}

async fn apply(connection: &mut PgConnection, schema: &str, applied: &Applied) -> Result<(), sqlx::Error> {
    for (version, name, sql) in SCRIPTS {
        if applied.iter().any(|(known, _)| known == version) {
            continue;
        }
        connection.execute(sqlx::raw_sql(AssertSqlSafe(in_schema(sql, schema)))).await?;
        let record = "INSERT INTO @._beacon_jobs_migrations (version, name, digest) VALUES ($1, $2, $3)";
        sqlx::query(AssertSqlSafe(in_schema(record, schema)))
            .bind(version)
            .bind(name)
            .bind(Sha256::digest(sql).to_vec())
            .persistent(false)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
