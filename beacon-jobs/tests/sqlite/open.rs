//! Opening: what does not fit is refused in one clear line.

use std::fs;

use beacon_jobs::ErrorKind;
use beacon_jobs::store::JobStore;
use beacon_jobs::store::sqlite::{SqliteStore, SqliteStoreOptions};
use sqlx::Executor;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::bed::{Bed, assert_says, connect, submission};

#[tokio::test]
async fn a_path_and_a_url_open_the_same_file() {
    let bed = Bed::new().await;
    let job = bed.submit("one", 1).await;
    let file = bed.file();
    for location in [file.display().to_string(), format!("sqlite://{}", file.display())] {
        let store = SqliteStore::open(&location).await.unwrap();
        let detail = store.get(&job, beacon_jobs::store::ExecutionPage::ALL).await.unwrap();
        assert!(detail.is_some(), "{location}");
        assert_eq!(store.to_string(), format!("sqlite {}", file.display()));
    }
}

#[tokio::test]
async fn a_missing_file_is_created_only_when_it_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.db");
    let opened = SqliteStoreOptions::new().with_create_if_missing(false).open(&file).await;
    assert_says(opened, ErrorKind::Unavailable, &["new.db", "does not exist"]);
    assert!(!file.exists());
    SqliteStore::open(&file).await.unwrap();
    assert!(file.exists());
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let opened = SqliteStore::open(folder.path().join("not/there/beacon.db")).await;
    assert_says(opened, ErrorKind::Unavailable, &["beacon.db", "the folder", "not/there does not exist"]);
}

#[tokio::test]
async fn a_folder_is_not_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let opened = SqliteStore::open(folder.path()).await;
    assert_says(opened, ErrorKind::Unavailable, &["it is a folder"]);
}

#[tokio::test]
async fn a_file_of_another_sort_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    let text = "these are my notes, and no database at all\n".repeat(200);
    fs::write(&file, &text).unwrap();
    let opened = SqliteStore::open(&file).await;
    assert_says(opened, ErrorKind::Corrupt, &["notes.txt", "not a SQLite database"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_file_is_said_to_be_damaged() {
    let bed = Bed::new().await;
    bed.submit("one", 200).await;
    bed.store.close().await;
    let mut bytes = fs::read(bed.file()).unwrap();
    // All but the header of the file and of its first page.
    let damaged = bytes.len() - 4096;
    bytes[4096..].copy_from_slice(&vec![0xAB; damaged]);
    fs::write(bed.file(), bytes).unwrap();
    assert_says(SqliteStore::open(bed.file()).await, ErrorKind::Corrupt, &["beacon.db", "damaged"]);
}

#[tokio::test]
async fn a_url_that_names_no_file_is_refused() {
    for location in ["sqlite::memory:", "sqlite://:memory:", ":memory:", ""] {
        let opened = SqliteStore::open(location).await;
        assert_says(opened, ErrorKind::Misconfigured, &["names no file", "MemoryStore"]);
    }
    let opened = SqliteStore::open("sqlite://a.db?mode=perhaps").await;
    assert_says(opened, ErrorKind::Misconfigured, &["sqlite://a.db?mode=perhaps", "not legal"]);
}

#[tokio::test]
async fn a_url_that_only_reads_is_refused() {
    let bed = Bed::new().await;
    let opened = SqliteStore::open(format!("sqlite://{}?mode=ro", bed.file().display())).await;
    assert_says(opened, ErrorKind::Unavailable, &["beacon.db", "read-only"]);
}

/// Root may write what is read-only, so the store is opened by a thread that is somebody else.
#[test]
fn a_read_only_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("beacon.db");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime().block_on(async {
        let store = SqliteStore::open(&file).await.unwrap();
        store.migrate().await.unwrap();
        store.close().await;
    });
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(&file, 0o444);
    mode(folder.path(), 0o555);
    let opened = std::thread::scope(|scope| {
        let open = || {
            if rustix::process::geteuid().is_root() {
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
            }
            runtime().block_on(SqliteStore::open(&file))
        };
        scope.spawn(open).join().unwrap()
    });
    mode(folder.path(), 0o755);
    assert_says(opened, ErrorKind::Unavailable, &["beacon.db", "read-only"]);
}

#[tokio::test]
async fn a_file_that_is_not_migrated_says_so_at_every_call() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("beacon.db")).await.unwrap();
    let words = ["beacon.db", "has not been migrated", "migrate()"];
    assert_says(store.submit(&submission("one", 1)).await, ErrorKind::Misconfigured, &words);
    assert_says(store.check().await, ErrorKind::Misconfigured, &words);
    assert_says(store.list(&Default::default()).await, ErrorKind::Misconfigured, &words);
    store.migrate().await.unwrap();
    store.submit(&submission("one", 1)).await.unwrap();
    store.migrate().await.unwrap();
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let bed = Bed::new().await;
    let newer = "INSERT INTO _beacon_jobs_migrations VALUES (9999, 'newer', '2030-01-01', 1, x'00', 1)";
    bed.other().await.execute(newer).await.unwrap();
    assert_says(bed.store.migrate().await, ErrorKind::Misconfigured, &["newer version", "9999"]);
}

#[tokio::test]
async fn the_tables_live_beside_those_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("host.db");
    let store = SqliteStore::open(&file).await.unwrap();
    let mut host = connect(&file).await;
    host.execute("CREATE TABLE _sqlx_migrations (mine TEXT); CREATE TABLE jobs (mine TEXT)").await.unwrap();
    store.migrate().await.unwrap();
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'beacon\\_%' ESCAPE '\\' ORDER BY name",
    )
    .fetch_all(&mut host)
    .await
    .unwrap();
    assert_eq!(names, ["_beacon_jobs_migrations", "_sqlx_migrations", "jobs"]);
}

#[tokio::test]
async fn a_pool_is_accepted_only_when_it_is_durable() {
    use SqliteJournalMode::{Delete, Wal};
    use SqliteSynchronous::{Extra, Full, Normal, Off};
    let folder = tempfile::tempdir().unwrap();
    for (number, (journal, synchronous, refused)) in [
        (Wal, Full, None),
        (Wal, Extra, None),
        (Wal, Normal, Some(["journal_mode WAL and synchronous NORMAL"])),
        (Wal, Off, Some(["journal_mode WAL and synchronous OFF"])),
        (Delete, Full, Some(["journal_mode DELETE and synchronous FULL"])),
        (Delete, Normal, Some(["journal_mode DELETE and synchronous NORMAL"])),
    ]
    .into_iter()
    .enumerate()
    {
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join(format!("{number}.db")))
            .create_if_missing(true)
            .journal_mode(journal)
            .synchronous(synchronous);
        let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
        let opened = SqliteStore::from_pool(pool).await;
        match refused {
            None => opened.unwrap().migrate().await.unwrap(),
            Some(words) => {
                assert_says(opened, ErrorKind::Misconfigured, &words);
            }
        }
    }
}

#[test]
fn a_call_outside_of_a_runtime_is_an_error() {
    use std::task::{Context, Poll, Waker};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bed = runtime.block_on(Bed::new());
    let mut call = bed.store.check();
    let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Err(error)) = polled else { panic!("{polled:?}") };
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}
