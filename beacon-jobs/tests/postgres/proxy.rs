//! A wire to the server that can be cut at will.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::server;

/// Passes bytes on both ways. Once armed, the answer to a statement with the given words does not
/// come through: the connection is cut when the server has given it.
pub(crate) struct Proxy {
    pub(crate) options: PgConnectOptions,
    state: Arc<State>,
}

struct State {
    words: &'static str,
    /// How many answers are still to be lost.
    cuts: AtomicUsize,
    is_closed: AtomicBool,
}

impl Proxy {
    pub(crate) async fn new(words: &'static str) -> Self {
        let server: PgConnectOptions = server::url().parse().unwrap();
        let socket = server.get_socket().expect("the server of the tests has a socket").join(".s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(listener.local_addr().unwrap().port())
            .username(server.get_username())
            .password("hunter2")
            .ssl_mode(sqlx::postgres::PgSslMode::Disable)
            .database("postgres");
        let state = Arc::new(State { words, cuts: AtomicUsize::new(0), is_closed: AtomicBool::new(false) });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !shared.is_closed.load(Ordering::SeqCst) {
                    let server = UnixStream::connect(&socket).await.unwrap();
                    tokio::spawn(pass(client, server, Arc::clone(&shared)));
                }
            }
        });
        Self { options, state }
    }

    /// Loses the next answers.
    pub(crate) fn cut(&self, answers: usize) {
        self.state.cuts.store(answers, Ordering::SeqCst);
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.state.is_closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn left(&self) -> usize {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

async fn pass(client: TcpStream, server: UnixStream, state: Arc<State>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_asked = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_asked);
    let words = state.words;
    let mut held = Vec::new();
    let up = async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            // A statement that is known by name does not hold its words again: the parameters do.
            if buffer[..count].windows(words.len()).any(|window| window == words.as_bytes()) {
                asked.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let down = async move {
        // Each message of the server is a letter, a length that counts itself, and the rest.
        while let Ok(letter) = from_server.read_u8().await {
            let Ok(length) = from_server.read_u32().await else { return };
            let mut rest = vec![0; length as usize - 4];
            if from_server.read_exact(&mut rest).await.is_err() {
                return;
            }
            // 'Z' for ready: the statement is committed, and this is the end of its answer.
            let is_lost = letter == b'Z'
                && is_asked.load(Ordering::SeqCst)
                && state
                    .cuts
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |cuts| cuts.checked_sub(1))
                    .is_ok();
            if is_lost {
                return;
            }
            // What comes before the end of an answer is held back with it.
            held.push(letter);
            held.extend_from_slice(&length.to_be_bytes());
            held.append(&mut rest);
            if b"ZRESN".contains(&letter) {
                if to_client.write_all(&held).await.is_err() {
                    return;
                }
                held.clear();
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
