//! Opening the database that `--database` names.

use std::sync::Arc;

use beacon_jobs::store::sqlite::SqliteStore;
use beacon_jobs::store::{JobStore, MemoryStore};

use crate::cli::MigrateArgs;
use crate::exit::Exit;
use crate::print;
use crate::values::Database;

/// Opens a database with its schema applied.
pub(crate) async fn open(database: &Database) -> Result<Arc<dyn JobStore>, Exit> {
    match database {
        Database::Memory => Ok(Arc::new(MemoryStore::new())),
        Database::Sqlite(_) => Ok(Arc::new(migrated(database).await?)),
    }
}

/// Applies the schema and ends.
pub(crate) async fn migrate(args: &MigrateArgs) -> Result<(), Exit> {
    let database = args.store.read()?;
    if database == Database::Memory {
        return Err(Exit::usage("--database memory: has no schema to keep; use sqlite://PATH"));
    }
    migrated(&database).await?;
    print::line(&format!("{database} is up to date"))
}

async fn migrated(database: &Database) -> Result<SqliteStore, Exit> {
    let Database::Sqlite(path) = database else {
        return Err(Exit::usage("--database must be sqlite://PATH"));
    };
    let failed = |error: beacon_jobs::Error| Exit::failed(format!("--database {database}: {error}"));
    let store = SqliteStore::open(path).await.map_err(failed)?;
    store.migrate().await.map_err(failed)?;
    Ok(store)
}
