//! Where the file is, and how it is opened.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Executor};

use super::SqliteStore;
use super::error::fault;
use super::link;
use super::writer::Writer;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::store::sql::{Cells, Fault};

/// How a store is opened.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use beacon_jobs::store::sqlite::SqliteStoreOptions;
///
/// let folder = tempfile::tempdir().unwrap();
/// let store = SqliteStoreOptions::new().open(folder.path().join("beacon.db")).await?;
/// store.migrate().await?;
/// # Ok::<(), beacon_jobs::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct SqliteStoreOptions {
    create_if_missing: bool,
    busy_timeout: Duration,
    readers: u32,
    clock: Arc<dyn Clock>,
}

impl SqliteStoreOptions {
    /// SQLite counts this time in milliseconds as a 32-bit number.
    const MAX_BUSY_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

    /// A missing file is created; a locked one is waited for 5 s; 4 readers; the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self {
            create_if_missing: true,
            busy_timeout: Duration::from_secs(5),
            readers: 4,
            clock: Arc::new(SystemClock),
        }
    }

    /// Whether a missing file is created.
    #[must_use]
    pub fn with_create_if_missing(mut self, create: bool) -> Self {
        self.create_if_missing = create;
        self
    }

    /// How long a call waits for another connection to let go of the file, at most about 24 days.
    /// After that the call is `Unavailable`.
    #[must_use]
    pub fn with_busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout.min(Self::MAX_BUSY_TIMEOUT);
        self
    }

    /// How many connections read at a time, at least 1. A host's pool keeps its own number.
    #[must_use]
    pub fn with_readers(mut self, readers: u32) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// The clock that the store goes by.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Opens a store by the path of its file, or a URL such as `sqlite://beacon.db`. The file is
    /// brought into WAL mode, and every commit is synced to the disk.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be opened or written, `Corrupt` when it is not a SQLite
    /// database, `Misconfigured` when the URL is not legal or names no file.
    ///
    /// # Cancellation safety
    /// When dropped, the file may have been created.
    pub async fn open(self, location: impl AsRef<Path>) -> Result<SqliteStore> {
        let options = parse(location.as_ref())?
            .busy_timeout(self.busy_timeout)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .row_buffer_size(ROWS_AHEAD)
            .disable_statement_logging();
        let options = match self.create_if_missing {
            true => options.create_if_missing(true),
            false => options,
        };
        let source = Source::new(options.clone());
        let connection = source.connect().await.map_err(|fault| source.error(&fault))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(self.readers)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options.create_if_missing(false));
        Ok(SqliteStore::new(Writer::new(source, self.clock, connection), readers, true))
    }

    /// Opens a store in the file of the host program's own pool. Reads go through the pool; writes
    /// through one connection more, opened with the pool's options. The busy timeout and the number
    /// of readers are the pool's.
    ///
    /// # Errors
    /// `Misconfigured` unless the pool's connections have `journal_mode` WAL and `synchronous` FULL
    /// or EXTRA; the errors of [`open`](Self::open).
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub async fn from_pool(self, pool: SqlitePool) -> Result<SqliteStore> {
        let options = pool.connect_options().as_ref().clone();
        let source = Source::new(options.row_buffer_size(ROWS_AHEAD).disable_statement_logging());
        let connect = async {
            let mut lent = pool.acquire().await.map_err(fault)?;
            check_durability(&mut lent).await?;
            drop(lent);
            source.connect().await
        };
        let connection = connect.await.map_err(|fault| source.error(&fault))?;
        Ok(SqliteStore::new(Writer::new(source, self.clock, connection), pool, false))
    }
}

impl Default for SqliteStoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

fn parse(location: &Path) -> Result<SqliteConnectOptions> {
    let options = match location.to_str() {
        Some(url) if url.starts_with("sqlite:") => url.parse::<SqliteConnectOptions>().map_err(|error| {
            Error::new(ErrorKind::Misconfigured, format!("the store's URL {url} is not legal: {error}"))
        })?,
        _ => SqliteConnectOptions::new().filename(location),
    };
    let file = options.get_filename().to_string_lossy();
    if file.is_empty() || file == ":memory:" || file.starts_with("file:sqlx-in-memory") {
        return Err(Error::new(
            ErrorKind::Misconfigured,
            "the store's URL names no file; for jobs that need not outlive the process use MemoryStore",
        ));
    }
    Ok(options)
}

/// The rows of a large job stay in the writer's cache: 64 MiB at most. The WAL may grow to 16 MiB
/// before it is copied back, so that a page that many commits change is copied once.
const WRITER: &str = "PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4096";

/// Needs the write lock and a file that can be written, and leaves everything as it was. `BEGIN
/// IMMEDIATE` alone succeeds on a file that is open for reading only.
const PROBE: &str = "BEGIN IMMEDIATE; PRAGMA user_version = 0; ROLLBACK";

/// How many rows the thread of a connection may read ahead: more are read only after a switch of
/// threads, which costs more than a row.
const ROWS_AHEAD: usize = 4096;

/// The file, and how to connect to it.
#[derive(Debug)]
pub(super) struct Source {
    options: SqliteConnectOptions,
    place: String,
    /// The file that was there when the first connection was opened.
    file: OnceLock<Option<FileIdentity>>,
}

impl Source {
    fn new(options: SqliteConnectOptions) -> Self {
        let place = options.get_filename().display().to_string();
        Self { options, place, file: OnceLock::new() }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn error(&self, fault: &Fault) -> Error {
        fault.error(&self.place)
    }

    /// Opens a connection for writing, and sees that it can write.
    pub(super) async fn connect(&self) -> Result<SqliteConnection, Fault> {
        let mut connection = self.options.connect().await.map_err(|error| self.explain(error))?;
        self.file.get_or_init(|| identity(self.options.get_filename()));
        self.check_place()?;
        connection.execute(WRITER).await.map_err(fault)?;
        check_durability(&mut connection).await?;
        // Another connection may hold the lock just now; the first call will wait for it.
        match connection.execute(PROBE).await.map_err(fault) {
            Err(fault) if !fault.is_busy() => Err(fault),
            _ => Ok(connection),
        }
    }

    /// Sees that the file is still the one that was opened. A connection goes on writing into a file
    /// that was moved, deleted or replaced, and whoever opens the place later finds nothing of it.
    pub(super) fn check_place(&self) -> Result<(), Fault> {
        let opened = self.file.get().copied().flatten();
        if opened.is_some() && opened != identity(self.options.get_filename()) {
            let what = "its file was moved, deleted or replaced; put it back, or start anew on the right one";
            return Err(Fault::new(ErrorKind::Unavailable, what));
        }
        Ok(())
    }

    /// Says what about the folder keeps the file from being opened, if something does.
    fn explain(&self, error: sqlx::Error) -> Fault {
        let fault = fault(error);
        let file: PathBuf = self.options.get_filename().to_owned();
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        match folder {
            Some(folder) if !folder.is_dir() => {
                fault.because(format!("the folder {} does not exist", folder.display()))
            }
            _ if file.is_dir() => fault.because("it is a folder, not a file"),
            _ if !file.exists() => fault.because("the file does not exist and may not be created"),
            _ => fault,
        }
    }
}

/// Device and inode.
type FileIdentity = (u64, u64);

#[cfg(unix)]
fn identity(file: &Path) -> Option<FileIdentity> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> Option<FileIdentity> {
    None
}

/// A commit on this connection must survive a power loss.
async fn check_durability(connection: &mut SqliteConnection) -> Result<(), Fault> {
    const PRAGMAS: &str = "PRAGMA journal_mode; PRAGMA synchronous";
    let answers = link::read(connection, sqlx::query(PRAGMAS)).await?;
    let journal = answers.row(0).map_or(Ok(""), |row| row.text(0))?;
    let synchronous = answers.row(1).map_or(Ok(0), |row| row.long(0))?;
    if journal.eq_ignore_ascii_case("wal") && synchronous >= 2 {
        return Ok(());
    }
    let name = match synchronous {
        0 => "OFF",
        1 => "NORMAL",
        2 => "FULL",
        _ => "EXTRA",
    };
    Err(Fault::new(
        ErrorKind::Misconfigured,
        format!(
            "an acknowledged cancel must survive a power loss: its connections need journal_mode WAL and \
             synchronous FULL, and have journal_mode {} and synchronous {name}",
            journal.to_uppercase()
        ),
    ))
}
