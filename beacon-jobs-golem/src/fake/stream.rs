//! The stream of what happens to a script, as the daemon hands it on from the provider.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use beacon_jobs::clock::Clock;
use futures_util::stream;
use serde_json::{Value, json};

use super::Shared;
use super::service::Asked;
use super::state::{Batch, State};

/// How often a program prints its line that prints it again and again.
const PRINTS: Duration = Duration::from_millis(20);

/// Where a stream stands.
struct Reader {
    shared: Arc<Shared>,
    activity: String,
    batch: String,
    next: usize,
    sent: u64,
}

impl Batch {
    /// Writes down that the next command begins.
    pub(super) fn start(&mut self, at: &str) {
        let index = self.results.len();
        let command = self.commands.get(index).cloned().unwrap_or_default();
        self.tell(index, json!({ "started": { "command": command } }), at);
    }

    pub(super) fn tell(&mut self, index: usize, kind: Value, at: &str) {
        self.events.push(json!({ "index": index, "timestamp": at.trim_end_matches('Z'), "kind": kind }));
    }
}

impl State {
    fn batch(&self, activity: &str, batch: &str) -> Option<&Batch> {
        self.activities.get(activity).filter(|it| it.alive)?.batches.get(batch)
    }
}

impl Shared {
    /// Streams what happens to a script from now on. Where the provider cannot, the connection breaks: its status was
    /// sent by then.
    pub(super) fn stream(self: Arc<Self>, asked: &Asked) -> Response {
        let (activity, batch) = (asked.id(3).to_owned(), asked.id(5).to_owned());
        let next = {
            let mut state = self.state();
            let next = state.batch(&activity, &batch).map(|it| it.events.len());
            let Some(next) = next.filter(|_| state.behaviour.streams) else {
                return super::service::broken();
            };
            state.listeners += 1;
            next
        };
        self.changed.notify_waiters();
        let reader = Reader { shared: self, activity, batch, next, sent: 0 };
        let body = stream::unfold(reader, |mut reader| async {
            let bytes = reader.next().await;
            Some((bytes, reader))
        });
        let mut response = Response::new(Body::from_stream(body));
        if let Ok(kind) = "text/event-stream".parse() {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        response
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.state().listeners -= 1;
        self.shared.changed.notify_waiters();
    }
}

impl Reader {
    async fn next(&mut self) -> std::io::Result<Bytes> {
        let event = self.shared.once(|state| {
            if state.is_down {
                return Some(Err(std::io::Error::other("the daemon died")));
            }
            match state.batch(&self.activity, &self.batch) {
                Some(batch) => batch.events.get(self.next).map(|event| Ok(Some(event.clone()))),
                None => Some(Ok(None)),
            }
        });
        let event = tokio::select! {
            biased;
            event = event => event?,
            line = self.line() => Some(line),
        };
        let Some(mut event) = event else {
            // The provider's stream has ended, and the daemon's goes on with this.
            self.shared.clock.sleep(PRINTS).await;
            return Ok(Bytes::from_static(b":ping\n"));
        };
        let is_output = event["kind"].get("stdout").is_some();
        self.next += usize::from(!is_output);
        let id = self.sent;
        self.sent += 1;
        event["batch_id"] = json!(self.batch);
        Ok(Bytes::from(format!("event: runtime\ndata: {event}\nid: {id}\n\n")))
    }

    /// What a program prints again and again, after a while.
    async fn line(&self) -> Value {
        self.shared.clock.sleep(PRINTS).await;
        self.shared
            .once(|state| {
                let batch = state.batch(&self.activity, &self.batch)?;
                let line = batch.repeats.as_ref()?;
                let at = self.shared.stamp();
                let kind = json!({ "stdout": format!("{line} {}\n", self.sent) });
                let at = at.trim_end_matches('Z');
                Some(json!({ "index": batch.results.len(), "timestamp": at, "kind": kind }))
            })
            .await
    }
}
