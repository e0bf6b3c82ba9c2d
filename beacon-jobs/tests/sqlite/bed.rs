//! A store in a folder of its own.

use std::future::Future;
use std::path::{Path, PathBuf};

use beacon_jobs::store::sqlite::{SqliteStore, SqliteStoreOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Executor};
use tempfile::TempDir;

pub(crate) use crate::store_bed::*;

pub(crate) type Bed = StoreBed<SqliteStore, TempDir>;

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(SqliteStoreOptions::new()).await
    }

    pub(crate) async fn with(options: SqliteStoreOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = options.open(folder.path().join("beacon.db")).await.unwrap();
        Self::on(folder, store).await
    }

    pub(crate) async fn on(folder: TempDir, store: SqliteStore) -> Self {
        store.migrate().await.unwrap();
        Self::enter(store, folder).await
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.home.path().join("beacon.db")
    }

    /// Another connection to the file, as another program has one.
    pub(crate) async fn other(&self) -> SqliteConnection {
        connect(&self.file()).await
    }
}

pub(crate) async fn connect(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

/// A connection that has the write lock.
pub(crate) async fn lock(bed: &Bed) -> SqliteConnection {
    let mut other = bed.other().await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    other
}

/// Lets every task of this thread run until it waits for something else.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Runs calls side by side, in the order given, on the runtime of this thread.
pub(crate) fn spawn_all<F>(calls: impl IntoIterator<Item = F>) -> Vec<tokio::task::JoinHandle<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    calls.into_iter().map(tokio::spawn).collect()
}
