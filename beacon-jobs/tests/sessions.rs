//! Who is signed in, on each store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::future_not_send,
    reason = "a test's panic is its verdict"
)]

#[path = "support/postgres.rs"]
mod server;

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::store::sqlite::SqliteStore;
use beacon_jobs::store::{MemoryStore, NewSession, SessionStore, TokenHash};

const HOUR: Duration = Duration::from_secs(3600);

/// Two nodes on the same sessions.
struct Pair {
    one: Arc<dyn SessionStore>,
    other: Arc<dyn SessionStore>,
    _folder: Option<tempfile::TempDir>,
}

async fn memory() -> Pair {
    let store = MemoryStore::new();
    Pair { one: Arc::new(store.clone()), other: Arc::new(store), _folder: None }
}

async fn sqlite() -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.db");
    let one = SqliteStore::open(&file).await.unwrap();
    one.migrate().await.unwrap();
    let other = SqliteStore::open(&file).await.unwrap();
    Pair { one: Arc::new(one), other: Arc::new(other), _folder: Some(folder) }
}

async fn postgres() -> Pair {
    let schema = server::schema();
    let (one, other) = (server::store(&schema).await, server::store(&schema).await);
    Pair { one: Arc::new(one), other: Arc::new(other), _folder: None }
}

macro_rules! on_each_store {
    ($($name:ident),+ $(,)?) => {
        mod on_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::memory().await).await; })+
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::sqlite().await).await; })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::postgres().await).await; })+
        }
    };
}

on_each_store!(
    a_session_is_known_to_all_nodes_until_it_is_ended,
    a_nonce_opens_one_session,
    what_has_expired_is_not_there,
    of_many_at_once_one_uses_the_nonce,
);

fn session(token: &str, lifetime: Duration) -> NewSession {
    NewSession { token: TokenHash::of(token.as_bytes()), subject: "0xabc".to_owned(), lifetime }
}

async fn a_session_is_known_to_all_nodes_until_it_is_ended(pair: Pair) {
    let token = TokenHash::of(b"token");
    pair.one.give_nonce("nonce", HOUR).await.unwrap();
    let expires_at = pair.other.open_session("nonce", &session("token", HOUR)).await.unwrap().unwrap();
    for store in [&pair.one, &pair.other] {
        let known = store.session(&token).await.unwrap().unwrap();
        assert_eq!((known.subject.as_str(), known.expires_at), ("0xabc", expires_at));
        assert_eq!(store.session(&TokenHash::of(b"tokem")).await.unwrap(), None);
    }
    assert!(!pair.one.end_session(&TokenHash::of(b"tokem")).await.unwrap());
    assert!(pair.one.end_session(&token).await.unwrap());
    assert!(!pair.other.end_session(&token).await.unwrap());
    assert_eq!(pair.other.session(&token).await.unwrap(), None);
}

async fn a_nonce_opens_one_session(pair: Pair) {
    pair.one.give_nonce("nonce", HOUR).await.unwrap();
    assert_eq!(pair.one.open_session("never", &session("a", HOUR)).await.unwrap(), None);
    assert!(pair.one.open_session("nonce", &session("a", HOUR)).await.unwrap().is_some());
    assert_eq!(pair.other.open_session("nonce", &session("b", HOUR)).await.unwrap(), None);
    assert_eq!(pair.other.session(&TokenHash::of(b"b")).await.unwrap(), None);
}

async fn what_has_expired_is_not_there(pair: Pair) {
    pair.one.give_nonce("gone", Duration::ZERO).await.unwrap();
    assert_eq!(pair.one.open_session("gone", &session("a", HOUR)).await.unwrap(), None);
    pair.one.give_nonce("nonce", HOUR).await.unwrap();
    assert!(pair.one.open_session("nonce", &session("a", Duration::ZERO)).await.unwrap().is_some());
    assert_eq!(pair.one.session(&TokenHash::of(b"a")).await.unwrap(), None);
    assert!(!pair.one.end_session(&TokenHash::of(b"a")).await.unwrap());
}

async fn of_many_at_once_one_uses_the_nonce(pair: Pair) {
    pair.one.give_nonce("nonce", HOUR).await.unwrap();
    let open = |n: usize| {
        let store = Arc::clone(if n.is_multiple_of(2) { &pair.one } else { &pair.other });
        tokio::spawn(
            async move { store.open_session("nonce", &session(&n.to_string(), HOUR)).await.unwrap() },
        )
    };
    let mut opened = 0;
    for open in (0..16).map(open).collect::<Vec<_>>() {
        opened += usize::from(open.await.unwrap().is_some());
    }
    assert_eq!(opened, 1);
}

#[test]
fn a_hash_is_that_of_its_token_and_is_hardly_shown() {
    let hash = TokenHash::of(b"abc");
    assert_eq!(hash.as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(format!("{hash:?}"), "TokenHash(ba7816bf…)");
}
