//! The HTTP around the floor: one POST for each thing that can be asked, one JSON body each way.
//!
//! | request | body | reply |
//! |---|---|---|
//! | `POST /create` | [`Create`] | how it stands |
//! | `POST /begin` | a [`Work`] | how it stands |
//! | `POST /look` | a [`Work`], `wait_ms` | how it stands, once it computes no more or the time is over |
//! | `POST /stop` | a [`Work`], `force` | how it stands |
//! | `POST /faults` | [`Faults`], and `job` and `index` for one execution alone | `{}` |
//! | `POST /complete` | nothing | `{}`: all work that goes on comes to its end |
//! | `GET /alive` | | the [`Entry`] of each begin of what computes now, in an array |
//! | `GET /log` | | all [`Entry`] lines, one JSON object each |
//!
//! An unknown work is a 404. Who asks says so in the header `x-from`, and when
//! in `x-asked`.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use beacon_jobs::JobId;
use beacon_jobs::clock::{Clock, SystemClock};
use futures_util::stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use crate::floor::{Floor, Place};
use crate::wire::{Caller, Create, Entry, Event, Faults, Look, Work};

/// Where a server listens.
#[derive(Debug)]
pub enum Door {
    /// On an address of this machine.
    Tcp(TcpListener),
    /// On a socket in the file system, which a process without a network reaches too.
    Unix(UnixListener),
}

/// A server in this process. Dropping it closes its door; its work goes on as long as the runtime.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    floor: Arc<Floor>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Opens one on a free port.
    ///
    /// # Errors
    /// When no port can be listened on.
    ///
    /// # Cancellation safety
    /// Changes nothing when dropped.
    pub async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, floor) = (listener.local_addr()?, Floor::new());
        let task = tokio::spawn(serve(Door::Tcp(listener), Arc::clone(&floor)));
        Ok(Self { address, floor, task })
    }

    /// How it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its work.
    #[must_use]
    pub fn floor(&self) -> &Arc<Floor> {
        &self.floor
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers at a door, for ever.
///
/// # Errors
/// When the door cannot be served any more.
///
/// # Cancellation safety
/// Closes the door when dropped; the work goes on.
pub async fn serve(door: Door, floor: Arc<Floor>) -> std::io::Result<()> {
    let router = router(floor);
    match door {
        Door::Tcp(listener) => axum::serve(listener, router).await,
        Door::Unix(listener) => axum::serve(listener, router).await,
    }
}

/// The routes.
pub fn router(floor: Arc<Floor>) -> Router {
    Router::new()
        .route("/create", post(create))
        .route("/begin", post(begin))
        .route("/look", post(look))
        .route("/stop", post(stop))
        .route("/faults", post(faults))
        .route("/complete", post(complete))
        .route("/alive", get(alive))
        .route("/log", get(log))
        .with_state(floor)
}

/// How long to wait for work that still computes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LookAt {
    #[serde(flatten)]
    pub(crate) work: Work,
    pub(crate) wait_ms: u64,
}

/// How hard work is told to end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stop {
    #[serde(flatten)]
    pub(crate) work: Work,
    pub(crate) force: bool,
}

#[derive(Debug, Deserialize)]
struct SetFaults {
    job: Option<JobId>,
    index: Option<u32>,
    #[serde(default)]
    faults: Faults,
}

/// What a caller gets.
enum Answer {
    Json(Vec<u8>),
    Unknown,
    Wrong(String),
    Failing,
    /// Its effect is there, and it does not arrive.
    Lost,
}

impl Answer {
    fn of(value: &impl Serialize) -> Self {
        serde_json::to_vec(value).map_or_else(|error| Self::Wrong(error.to_string()), Self::Json)
    }

    fn look(look: Option<Look>) -> Self {
        look.map_or(Self::Unknown, |look| Self::of(&look))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Json(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Self::Unknown => (StatusCode::NOT_FOUND, "no such work").into_response(),
            Self::Wrong(why) => (StatusCode::BAD_REQUEST, why).into_response(),
            Self::Failing => (StatusCode::SERVICE_UNAVAILABLE, "out of order").into_response(),
            // A body that breaks the connection instead of being sent.
            Self::Lost => {
                Body::from_stream(stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut off")) }))
                    .into_response()
            }
        }
    }
}

type TheFloor = Shared<Arc<Floor>>;

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body).map_err(|error| Answer::Wrong(error.to_string()))
}

fn from(headers: &HeaderMap) -> Caller {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let asked = text("x-asked").and_then(|time| time.parse().ok());
    Caller { name: text("x-from").unwrap_or("somebody").to_owned(), asked }
}

/// Misbehaves before a call has any effect, where it is to.
async fn trouble(
    floor: &Floor,
    place: &Place,
    own: Option<fn(&mut Faults) -> &mut u32>,
) -> Result<(), Answer> {
    if floor.strikes(place, |faults| &mut faults.hanging_calls) {
        // The caller's patience ends it.
        std::future::pending::<Infallible>().await;
    }
    let fails = own.is_some_and(|own| floor.strikes(place, own));
    if fails || floor.strikes(place, |faults| &mut faults.failing_calls) {
        Err(Answer::Failing)
    } else {
        Ok(())
    }
}

/// Has its effect after a time, whether its sender is still there or not.
async fn late<T: Send + 'static>(
    takes: Duration,
    effect: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Answer> {
    let task = tokio::spawn(async move {
        if !takes.is_zero() {
            SystemClock.sleep(takes).await;
        }
        effect()
    });
    task.await.map_err(|_| Answer::Failing)
}

async fn create(Shared(floor): TheFloor, headers: HeaderMap, body: Bytes) -> Result<Answer, Answer> {
    let order: Create = read(&body)?;
    let place = Place::Execution(order.job.clone(), order.index);
    floor.announce(&order);
    trouble(&floor, &place, Some(|faults| &mut faults.failing_creates)).await?;
    let begins = order.begin;
    let takes = floor.takes(&place, |faults| faults.create_takes_ms);
    let (made, from) = (Arc::clone(&floor), from(&headers));
    let look = late(takes, move || made.create(order, &from)).await?;
    let lost = floor.strikes(&place, |faults| &mut faults.lost_creates)
        || begins && floor.strikes(&place, |faults| &mut faults.lost_begins);
    Ok(if lost { Answer::Lost } else { Answer::look(Some(look)) })
}

async fn begin(Shared(floor): TheFloor, headers: HeaderMap, body: Bytes) -> Result<Answer, Answer> {
    let work: Work = read(&body)?;
    let place = floor.place(&work);
    trouble(&floor, &place, None).await?;
    let takes = floor.takes(&place, |faults| faults.begin_takes_ms);
    let (begun, from) = (Arc::clone(&floor), from(&headers));
    let look = late(takes, move || begun.begin(&work, &from)).await?;
    let lost = floor.strikes(&place, |faults| &mut faults.lost_begins);
    Ok(if lost { Answer::Lost } else { Answer::look(look) })
}

async fn look(Shared(floor): TheFloor, headers: HeaderMap, body: Bytes) -> Result<Answer, Answer> {
    let LookAt { work, wait_ms } = read(&body)?;
    let place = floor.place(&work);
    trouble(&floor, &place, None).await?;
    let look = floor.look(&work, Duration::from_millis(wait_ms), &from(&headers)).await;
    let fails = floor.strikes(&place, |faults| &mut faults.failing_looks);
    Ok(if fails { Answer::Failing } else { Answer::look(look) })
}

async fn stop(Shared(floor): TheFloor, headers: HeaderMap, body: Bytes) -> Result<Answer, Answer> {
    let Stop { work, force } = read(&body)?;
    trouble(&floor, &floor.place(&work), Some(|faults| &mut faults.failing_stops)).await?;
    Ok(Answer::look(floor.stop(&work, force, &from(&headers))))
}

async fn faults(Shared(floor): TheFloor, body: Bytes) -> Result<Answer, Answer> {
    let SetFaults { job, index, faults } = read(&body)?;
    match job {
        Some(job) => floor.set_faults_of(job, index.unwrap_or(0), faults),
        None => floor.set_faults(faults),
    }
    Ok(Answer::Json(b"{}".to_vec()))
}

async fn complete(Shared(floor): TheFloor) -> Answer {
    floor.complete();
    Answer::Json(b"{}".to_vec())
}

async fn alive(Shared(floor): TheFloor) -> Answer {
    let log = floor.log();
    let over = |entry: &Entry| {
        log.iter().any(|other| {
            let ended = matches!(other.event, Event::Completed | Event::Failed | Event::Saved | Event::Ended);
            ended && other.work == entry.work
        })
    };
    let alive: Vec<&Entry> = log.iter().filter(|entry| entry.event == Event::Begun && !over(entry)).collect();
    Answer::of(&alive)
}

async fn log(Shared(floor): TheFloor) -> Answer {
    let mut lines = Vec::new();
    for entry in floor.log() {
        if let Ok(line) = serde_json::to_vec(&entry) {
            lines.extend(line);
            lines.push(b'\n');
        }
    }
    Answer::Json(lines)
}
