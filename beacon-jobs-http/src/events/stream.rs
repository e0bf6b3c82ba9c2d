use std::time::Duration;

use axum::body::Bytes;
use beacon_jobs::JobWatch;
use beacon_jobs::clock::{Clock, SystemClock};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio_util::sync::CancellationToken;

use super::frames::Pass;
use super::view::View;

/// After how long without news the client is told that the connection lives. Proxies commonly
/// close one that is silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A comment, which clients pass over.
const NOTHING: Bytes = Bytes::from_static(b": nothing new\n\n");

/// The events of one client.
#[derive(Debug)]
pub(crate) struct EventStream {
    pub(crate) watch: JobWatch,
    pub(crate) view: View,
    /// Ends all streams.
    pub(crate) end: CancellationToken,
}

impl EventStream {
    /// The events as bytes, until the job is over.
    pub(crate) fn into_bytes(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
        // The first bytes go at once: some clients are told of an answer only with them.
        let first = futures_util::stream::iter([Ok(Bytes::from_static(b"retry: 1000\n\n"))]);
        let rest = unfold((self, None), |(mut stream, mut pass)| async move {
            let bytes = stream.next(&mut pass).await?;
            Some((Ok(bytes), (stream, pass)))
        });
        futures_util::StreamExt::chain(first, rest)
    }

    async fn next(&mut self, pass: &mut Option<Pass>) -> Option<Bytes> {
        loop {
            // A client that reads slowly is told the whole of a moment, then what is the newest by then.
            if let Some(frames) = pass.as_mut().and_then(|pass| pass.next(&mut self.view)) {
                return Some(frames);
            }
            *pass = None;
            let outline = tokio::select! {
                biased;
                () = self.end.cancelled() => return None,
                outline = self.watch.next() => outline,
                () = SystemClock.sleep(KEEP_ALIVE) => return Some(NOTHING),
            };
            match outline {
                Ok(outline) => *pass = Some(Pass::new(outline?, &mut self.view)),
                Err(error) => {
                    tracing::error!(%error, "a stream of events ends, for its job cannot be read");
                    return None;
                }
            }
        }
    }
}
