//! The tables, and how a file gets them.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;

use super::error::unmigrated;
use crate::store::sql::Fault;

/// The scripts in `migrations/sqlite`, oldest first. One that was released is never edited.
const SCRIPTS: &[(i64, &str, &str)] = &[
    (1, "jobs", include_str!("../../../migrations/sqlite/0001_jobs.sql")),
    (2, "sessions", include_str!("../../../migrations/sqlite/0002_sessions.sql")),
    (3, "progress", include_str!("../../../migrations/sqlite/0003_progress.sql")),
];

/// Beside `_sqlx_migrations`, which may be the host program's.
const TABLE: &str = "_beacon_jobs_migrations";

pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let scripts = SCRIPTS
        .iter()
        .map(|(version, name, sql)| {
            Migration::new(*version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(scripts);
    migrator.dangerous_set_table_name(TABLE);
    migrator.run_direct(None, connection, false).await.map_err(unmigrated)
}
