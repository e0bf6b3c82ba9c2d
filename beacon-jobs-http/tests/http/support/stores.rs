use std::sync::Arc;

use beacon_jobs::store::sqlite::SqliteStore;
use beacon_jobs::store::{JobStore, MemoryStore};
use tempfile::TempDir;

#[path = "../../../../beacon-jobs/tests/support/postgres.rs"]
pub(crate) mod server;

/// Stores of two nodes on the same jobs.
pub(crate) struct Pair {
    pub(crate) one: Arc<dyn JobStore>,
    pub(crate) other: Arc<dyn JobStore>,
    _folder: Option<TempDir>,
}

pub(crate) async fn memory() -> Pair {
    let store = MemoryStore::new();
    Pair { one: Arc::new(store.clone()), other: Arc::new(store), _folder: None }
}

pub(crate) async fn sqlite() -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.db");
    let one = SqliteStore::open(&file).await.unwrap();
    one.migrate().await.unwrap();
    let other = SqliteStore::open(&file).await.unwrap();
    Pair { one: Arc::new(one), other: Arc::new(other), _folder: Some(folder) }
}

pub(crate) async fn postgres() -> Pair {
    let schema = server::schema();
    let (one, other) = (server::store(&schema).await, server::store(&schema).await);
    Pair { one: Arc::new(one), other: Arc::new(other), _folder: None }
}

/// Expands a test body, a function of a `Pair`, to one test a store.
macro_rules! on_each_store {
    ($($name:ident),+ $(,)?) => {
        mod on_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::support::stores::memory().await).await; })+
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::support::stores::sqlite().await).await; })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::support::stores::postgres().await).await; })+
        }
    };
}
pub(crate) use on_each_store;
