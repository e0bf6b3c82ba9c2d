use std::collections::VecDeque;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::Response;
use futures_util::StreamExt;
use serde_json::Value;
use tower::ServiceExt;

use super::{Ask, LONG};

/// A stream of events, read as a browser does.
pub(crate) struct Events {
    body: BodyDataStream,
    text: String,
    ready: VecDeque<Event>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl Event {
    /// What it tells of, and how that is now: no two events of a stream have the same, where nothing
    /// ever goes back to what it was.
    pub(crate) fn fact(&self) -> String {
        let data = &self.data;
        match self.name.as_str() {
            "execution" => format!("execution {} {} {}", data["id"], data["attempt"], data["status"]),
            "stop" => format!("stop {} {}", data["execution_id"], data["state"]),
            _ => data.to_string(),
        }
    }
}

impl Events {
    pub(crate) async fn of(router: &Router, ask: Ask) -> Self {
        let response = router.clone().oneshot(ask.request()).await.unwrap();
        Self::new(response)
    }

    pub(crate) fn new(response: Response<Body>) -> Self {
        assert_eq!(response.status(), 200, "{response:?}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { body: response.into_body().into_data_stream(), text: String::new(), ready: VecDeque::new() }
    }

    /// The next event; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() {
            let chunk = tokio::time::timeout(LONG, self.body.next()).await.expect("no event came");
            let Some(chunk) = chunk else {
                assert_eq!(self.text, "", "the stream ended within an event");
                return None;
            };
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                self.ready.extend(event(block));
                self.text = rest.to_owned();
            }
        }
        self.ready.pop_front()
    }

    /// What comes until the stream ends.
    pub(crate) async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// The next event of this name.
    pub(crate) async fn until(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ended before a {name}"));
            if event.name == name {
                return event;
            }
        }
    }
}

fn event(block: &str) -> Option<Event> {
    let mut event = Event { name: String::new(), id: String::new(), data: Value::Null };
    for line in block.lines().filter(|line| !line.starts_with(':') && !line.starts_with("retry: ")) {
        match line.split_once(": ").unwrap() {
            ("event", name) => event.name = name.to_owned(),
            ("id", id) => event.id = id.to_owned(),
            ("data", data) => event.data = serde_json::from_str(data).unwrap(),
            other => panic!("{other:?} in an event"),
        }
    }
    (!event.name.is_empty()).then_some(event)
}
