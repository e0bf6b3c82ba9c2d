//! The schema, and how a database gets it.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, SqlSafeStr};

use super::error::Fault;
use super::sql::{SCRIPTS, in_schema};

/// Beside `_sqlx_migrations`, which may be the host program's.
const TABLE: &str = "_beacon_jobs_migrations";

/// Brings the schema up to this version, all in one transaction.
pub(super) async fn migrate(connection: &mut PgConnection, schema: &str) -> Result<(), Fault> {
    let scripts = SCRIPTS
        .iter()
        .map(|(version, name, sql)| {
            let sql = AssertSqlSafe(in_schema(sql, schema)).into_sql_str();
            Migration::new(*version, Cow::Borrowed(name), MigrationType::Simple, sql, false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(scripts);
    migrator.dangerous_set_table_name(format!("\"{schema}\".{TABLE}"));
    // sqlx would lock for the session, which means nothing behind a proxy; this lock ends with the
    // transaction. Without it two programs that start together would both make the schema.
    migrator.set_locking(false);
    let mut transaction = connection.begin().await?;
    let lock = "SELECT pg_advisory_xact_lock(hashtext('beacon_jobs'), hashtext($1))";
    sqlx::query(lock).bind(schema).persistent(false).execute(&mut *transaction).await?;
    let exists = "SELECT to_regnamespace(quote_ident($1)) IS NOT NULL";
    let exists = sqlx::query_scalar(exists).bind(schema).persistent(false);
    if !exists.fetch_one(&mut *transaction).await? {
        let create = AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\""));
        transaction.execute(sqlx::raw_sql(create)).await?;
    }
    // `CREATE TABLE IF NOT EXISTS` says in a notice that there is nothing to do.
    transaction.execute(sqlx::raw_sql("SET LOCAL client_min_messages = warning")).await?;
    migrator.run_direct(None, &mut *transaction, false).await?;
    transaction.commit().await?;
    Ok(())
}
