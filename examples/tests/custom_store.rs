//! The custom store, through the store suite; and its own promise, the journal.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../custom_store/journal.rs"]
mod journal;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::conformance::{ManualClock, StoreHarness};
use beacon_jobs::job::{ExecutionSpec, JobSpec};
use beacon_jobs::store::{JobStore, MemoryStore};
use beacon_jobs::{JobId, Jobs};
use serde_json::{Value, json};

use journal::JournaledStore;

struct Harness;

impl StoreHarness for Harness {
    type Store = JournaledStore<MemoryStore>;
    type Guard = ();

    async fn start(&self, clock: Arc<ManualClock>) -> (Self::Store, ()) {
        (JournaledStore::new(MemoryStore::with_clock(clock), io::sink()), ())
    }
}

beacon_jobs::store_conformance!(Harness, require = [many_nodes, signals]);

/// A journal that can be read.
#[derive(Clone, Default)]
struct Pages(Arc<Mutex<Vec<u8>>>);

impl Write for Pages {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pages {
    fn lines(&self) -> Vec<Value> {
        let pages = self.0.lock().unwrap();
        pages
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

fn by(owner: &str) -> CancelRequest {
    CancelRequest::new(Actor::Owner(owner.to_owned())).with_reason("wrong model")
}

#[tokio::test]
async fn every_cancel_leaves_a_line_whatever_became_of_it() {
    let pages = Pages::default();
    let jobs = Jobs::new(JournaledStore::new(MemoryStore::new(), pages.clone()));
    let spec = JobSpec::new([ExecutionSpec::new("double", Value::Null)]);
    let job = jobs.submit("alice", spec.with_id(JobId::new("job").unwrap())).await.unwrap().id;
    for owner in ["mallory", "alice", "alice"] {
        jobs.cancel(&job, &by(owner)).await.unwrap();
    }
    jobs.cancel(&JobId::new("nobody").unwrap(), &by("alice")).await.unwrap();

    let expected = [
        json!({ "job": "job", "by": "mallory", "reason": "wrong model", "answer": "not_yours" }),
        json!({ "job": "job", "by": "alice", "reason": "wrong model", "answer": "cancelled" }),
        json!({ "job": "job", "by": "alice", "reason": "wrong model", "answer": "already_cancelled" }),
        json!({ "job": "nobody", "by": "alice", "reason": "wrong model", "answer": "not_found" }),
    ];
    assert_eq!(pages.lines(), expected);
}

/// A journal on a full disk.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_hides_no_cancel() {
    let store = JournaledStore::new(MemoryStore::new(), Full);
    let jobs = Jobs::new(store.clone());
    let spec = JobSpec::new([ExecutionSpec::new("double", Value::Null)]);
    let job = jobs.submit("alice", spec).await.unwrap().id;
    jobs.cancel(&job, &by("alice")).await.unwrap();
    assert_eq!(store.audit(&job).await.unwrap().len(), 2, "submitted and cancelled");
}
