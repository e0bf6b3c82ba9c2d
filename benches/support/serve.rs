//! The API on a socket, a bare handler beside it, and clients of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use beacon_jobs::Jobs;
use beacon_jobs_http::{Api, BearerTokens, Principal};
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, broadcast};
use tokio::task::{JoinHandle, JoinSet};

use crate::file::Floor;
use crate::measure::{Result, now};
use crate::postgres::Database;

const TOKEN: &str = "a-token-of-the-bench-0123456789";
/// As many as a store keeps by itself.
const CONNECTIONS: u32 = 10;

/// How the bare handler makes its commit durable.
#[derive(Clone)]
pub(crate) enum Commit {
    /// As the memory store does: not at all.
    None,
    File(Arc<Mutex<Floor>>),
    /// A row each for callers at once.
    Pool(PgPool, Arc<AtomicI32>),
}

impl Commit {
    pub(crate) async fn pool(database: &Database) -> Result<Self> {
        let pool = database.pool(CONNECTIONS).await?;
        sqlx::raw_sql(
            "CREATE TABLE counters (id INTEGER PRIMARY KEY, value BIGINT NOT NULL); \
             INSERT INTO counters SELECT i, 0 FROM generate_series(0, 63) i",
        )
        .execute(&pool)
        .await?;
        Ok(Self::Pool(pool, Arc::default()))
    }

    async fn make(&self) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::File(floor) => floor.lock().await.commit().await,
            Self::Pool(pool, next) => {
                let row = next.fetch_add(1, Ordering::Relaxed).rem_euclid(64);
                let update = "WITH w AS (UPDATE counters SET value = value + 1 WHERE id = $1 RETURNING value) \
                    SELECT pg_notify('bench', value::text) FROM w";
                sqlx::query(update).bind(row).execute(pool).await?;
                Ok(())
            }
        }
    }
}

#[derive(Clone)]
struct Bare {
    commit: Commit,
    news: broadcast::Sender<Arc<str>>,
}

async fn commit(State(bare): State<Bare>) -> std::result::Result<String, String> {
    bare.commit.make().await.map_err(|error| error.to_string())?;
    // About as long as the events that tell of a cancel of one execution.
    let news =
        format!("id: 1\nevent: job\ndata: {{\"status\":\"cancelled\",\"more\":\"{}\"}}\n\n", "x".repeat(700));
    // Most often nobody listens.
    let _ = bare.news.send(news.into());
    Ok("{}".to_owned())
}

async fn listen(State(bare): State<Bare>) -> impl IntoResponse {
    let news = stream::unfold(bare.news.subscribe(), async |mut news| {
        let next = news.recv().await.ok()?;
        Some((Ok::<_, std::convert::Infallible>(next.to_string()), news))
    });
    let first = stream::once(async { Ok(": listening\n\n".to_owned()) });
    ([(CONTENT_TYPE, "text/event-stream")], axum::body::Body::from_stream(first.chain(news)))
}

/// Ends with its drop.
pub(crate) struct Server {
    url: String,
    client: Client<HttpConnector, Empty<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(jobs: &Jobs, commit_by: Commit) -> Result<Self> {
        let tokens = BearerTokens::new().with_token(TOKEN, Principal::admin("bench"))?;
        let bare = Bare { commit: commit_by, news: broadcast::channel(16).0 };
        let floor =
            Router::new().route("/floor", post(commit)).route("/floor/events", get(listen)).with_state(bare);
        let router = Api::builder(jobs).authenticator(tokens).build()?.router().merge(floor);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            // It serves until it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { url, client, task })
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Incoming> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(Empty::new())?;
        let answer = self.client.request(request).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let body = answer.into_body().collect().await?.to_bytes();
        Err(format!("{path} was answered with {status}: {body:?}").into())
    }

    /// Posts, and reads the answer to its end.
    async fn act(&self, path: &str) -> Result<()> {
        self.ask(Method::POST, path).await?.collect().await?;
        Ok(())
    }

    /// Posts to all of these from so many callers: how long each took, and all together.
    pub(crate) async fn post(&self, paths: Vec<String>, callers: usize) -> Result<(Vec<Duration>, Duration)> {
        let start = now();
        let asked = stream::iter(paths).map(|path| async move {
            let start = now();
            self.act(&path).await.map(|()| start.elapsed())
        });
        let taken: Vec<_> = asked.buffer_unordered(callers).collect().await;
        let all = start.elapsed();
        Ok((taken.into_iter().collect::<Result<_>>()?, all))
    }
}

/// Those who read a stream, each on a connection of its own.
pub(crate) struct Watcher {
    streams: Vec<Incoming>,
}

impl Watcher {
    /// Opens so many, and waits until each has heard something.
    pub(crate) async fn open(server: &Server, path: &str, count: usize) -> Result<Self> {
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            let mut news = server.ask(Method::GET, path).await?;
            news.frame().await.ok_or("a stream has ended")??;
            streams.push(news);
        }
        Ok(Self { streams })
    }

    /// Posts, and tells how long after that each has read this word.
    pub(crate) async fn hear(self, server: &Server, path: &str, word: &'static str) -> Result<Vec<Duration>> {
        let mut reads: JoinSet<Result<Instant>> = JoinSet::new();
        for mut news in self.streams {
            reads.spawn(async move {
                while let Some(frame) = news.frame().await {
                    if String::from_utf8_lossy(frame?.data_ref().ok_or("no data")?).contains(word) {
                        return Ok(now());
                    }
                }
                Err("a stream has ended without the news".into())
            });
        }
        // Let all of them wait first.
        tokio::task::yield_now().await;
        let start = now();
        server.act(path).await?;
        let mut taken = Vec::with_capacity(reads.len());
        while let Some(read) = reads.join_next().await {
            taken.push(read??.saturating_duration_since(start));
        }
        Ok(taken)
    }
}
