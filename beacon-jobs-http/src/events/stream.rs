use std::pin::Pin;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::request::Parts;
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::{JobId, JobWatch};
use futures_util::Stream;
use futures_util::stream::unfold;

use super::frames::{Pass, Told};
use super::view::View;
use crate::api::Shared;

/// After how long without news the client is told that the connection lives. Proxies commonly
/// close one that is silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How often it is looked at whether the client is still let in.
const RECHECK: Duration = Duration::from_secs(60);

/// A comment, which clients pass over.
const NOTHING: Bytes = Bytes::from_static(b": nothing new\n\n");

static CLOCK: SystemClock = SystemClock;

/// The events of one client.
pub(crate) struct EventStream {
    api: Shared,
    head: Parts,
    watch: JobWatch,
    view: View,
    told: Told,
    pass: Option<Pass>,
    recheck: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl EventStream {
    /// The events of a job for the client that sent this request and has this view.
    pub(crate) fn new(api: &Shared, head: Parts, id: &JobId, view: View) -> Self {
        let watch = api.jobs.watch(id);
        let recheck = CLOCK.sleep(RECHECK);
        Self { api: Shared::clone(api), head, watch, view, told: Told::new(), pass: None, recheck }
    }

    /// The events as bytes, until the job is over.
    pub(crate) fn into_bytes(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
        // The first bytes go at once: some clients are told of an answer only with them.
        let first = futures_util::stream::iter([Ok(Bytes::from_static(b"retry: 1000\n\n"))]);
        let rest = unfold(self, |mut stream| async move {
            let bytes = stream.next().await?;
            Some((Ok(bytes), stream))
        });
        futures_util::StreamExt::chain(first, rest)
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // A client that reads slowly is told the whole of a moment, then what is the newest by then.
            if let Some(frames) =
                self.pass.as_mut().and_then(|pass| pass.next(&mut self.view, &mut self.told))
            {
                return Some(frames);
            }
            self.pass = None;
            tokio::select! {
                biased;
                () = self.api.end_of_events.cancelled() => return None,
                () = &mut self.recheck => {
                    // Its session may have ended. That it cannot be told just now changes nothing.
                    if self.api.uncounted(&self.head).await.is_err_and(|problem| problem.is_of_credential()) {
                        return None;
                    }
                    self.recheck = CLOCK.sleep(RECHECK);
                }
                outline = self.watch.next() => match outline {
                    Ok(outline) => self.pass = Some(Pass::new(outline?, &mut self.view, &self.told)),
                    Err(error) => {
                        tracing::error!(%error, "a stream of events ends, for its job cannot be read");
                        return None;
                    }
                },
                () = CLOCK.sleep(KEEP_ALIVE) => return Some(NOTHING),
            }
        }
    }
}
