//! Opening the database that `--database` names.

use std::path::Path;
use std::sync::Arc;

use beacon_jobs::store::postgres::PostgresStore;
use beacon_jobs::store::sqlite::SqliteStore;
use beacon_jobs::store::{JobStore, MemoryStore, SessionStore};
use beacon_jobs::{Error, ErrorKind};

use crate::cli::MigrateArgs;
use crate::exit::Exit;
use crate::print;
use crate::secret::Secret;
use crate::values::Database;

/// A database that is open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn JobStore>,
    /// Who is signed in, in the same database.
    pub(crate) sessions: Arc<dyn SessionStore>,
}

impl Opened {
    fn of(store: impl JobStore + SessionStore + Clone) -> Self {
        Self { store: Arc::new(store.clone()), sessions: Arc::new(store) }
    }
}

/// Opens a database to serve from. A file gets its schema here; a server, which others use too, only
/// by `migrate`.
pub(crate) async fn open(database: &Database) -> Result<Opened, Exit> {
    match database {
        Database::Memory => Ok(Opened::of(MemoryStore::new())),
        Database::Sqlite(path) => Ok(Opened::of(migrated_file(database, path).await?)),
        Database::Postgres(url) => {
            let store = open_server(url).await?;
            store.check().await.map_err(|error| match error.kind() {
                ErrorKind::Misconfigured => {
                    let fix = format!(
                        "{database} is not ready for this version; run beacon-runner migrate on it first"
                    );
                    Exit::failed(format!("--database {fix} ({error})"))
                }
                _ => failed(&error),
            })?;
            Ok(Opened::of(store))
        }
    }
}

/// Applies the schema and ends.
pub(crate) async fn migrate(args: &MigrateArgs) -> Result<(), Exit> {
    let database = args.store.read()?;
    match &database {
        Database::Memory => {
            return Err(Exit::usage("--database memory: has no schema to keep; use sqlite://PATH"));
        }
        Database::Sqlite(path) => drop(migrated_file(&database, path).await?),
        Database::Postgres(url) => open_server(url).await?.migrate().await.map_err(|error| failed(&error))?,
    }
    print::line(&format!("{database} is up to date"))
}

async fn migrated_file(database: &Database, path: &Path) -> Result<SqliteStore, Exit> {
    let failed = |error: Error| Exit::failed(format!("--database {database}: {error}"));
    let store = SqliteStore::open(path).await.map_err(failed)?;
    store.migrate().await.map_err(failed)?;
    Ok(store)
}

async fn open_server(url: &Secret) -> Result<PostgresStore, Exit> {
    PostgresStore::open(url.expose()).await.map_err(|error| failed(&error))
}

/// The store's errors name the database, and never hold a password.
fn failed(error: &Error) -> Exit {
    Exit::failed(format!("--database: {error}"))
}
