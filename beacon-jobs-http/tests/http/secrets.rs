//! No token can be read anywhere but in the request that shows it.

use std::io;
use std::sync::{Arc, Mutex};

use beacon_jobs_http::CancelPolicy;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Ask, Fault, World, token, tokens};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_token_stands_in_a_log_an_answer_or_a_debug_form() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::with(|builder| builder.cancel_policy(CancelPolicy::WhenPresent));
    let id = world.submit(1).await;

    let mut said = format!("{:?} {:#?} {:?} {:?}", world.api, world.api, tokens(), world.router);
    for ask in [
        Ask::get("/api/v1/jobs"),
        Ask::get("/api/v1/jobs").by("mallory"),
        Ask::get("/api/v1/jobs").header("authorization", format!("Bearer {}", token("bob"))),
        Ask::get("/api/v1/nothing"),
        Ask::cancel(&id).by("bob"),
        Ask::cancel(&id).by("mallory"),
        Ask::cancel(&id).json(&json!({ "why": 1 })),
        Ask::cancel(&id),
        Ask::cancel(&id).by("root"),
    ] {
        said.push_str(&format!("{:?}", world.send(ask).await));
    }
    for fault in [Fault::Away, Fault::ReplyLost, Fault::Corrupt("rubbish")] {
        world.faults.set(fault);
        said.push_str(&format!("{:?}", world.send(Ask::cancel(&id)).await));
    }

    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("request_id=") && logged.contains("the store is unavailable"), "{logged}");
    for name in ["alice", "bob", "root", "mallory"] {
        let token = token(name);
        assert!(!said.contains(&token), "{name}'s token is told");
        assert!(!logged.contains(&token), "{name}'s token is logged");
    }
}
