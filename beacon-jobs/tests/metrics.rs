//! What is counted: each name, by what really happens.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::future_not_send,
    reason = "a test's panic is its verdict, and it waits for the real machine"
)]

#[macro_use]
mod support;

use std::collections::BTreeMap;

use beacon_jobs::conformance::{HookedStore, StoreCall, StoreHooks};
use beacon_jobs::store::MemoryStore;
use beacon_jobs::{Error, ErrorKind, JobId, metrics};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use support::prelude::*;

/// Each metric by its name and labels, as `name{label=value}`, since the last read; of a histogram, how
/// much it holds.
fn read(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let rows = snapshotter.snapshot().into_vec().into_iter().map(|(key, .., value)| {
        let key = key.key();
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(values) => values.len() as f64,
        };
        (format!("{}{{{}}}", key.name(), labels.join(",")), value)
    });
    rows.collect()
}

/// Answers nothing.
struct Down;

impl StoreHooks for Down {
    async fn before(&self, _: &StoreCall<'_>) -> beacon_jobs::Result<()> {
        Err(Error::new(ErrorKind::Unavailable, "down"))
    }
}

/// What is not nothing.
fn some(rows: BTreeMap<String, f64>) -> Vec<(String, f64)> {
    rows.into_iter().filter(|(_, value)| *value != 0.0).collect()
}

#[tokio::test]
async fn each_thing_that_happens_is_counted_once() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _installed = ::metrics::set_default_local_recorder(&recorder);
    metrics::describe();
    let provider = Provider::default();
    let jobs = Jobs::new(MemoryStore::new());
    let runner = runner(&jobs).executor(Remote::two_step(&provider)).start().await.unwrap();

    provider.acknowledge_stops(u32::MAX);
    let id = submit(&jobs, many("remote", 2)).await;
    provider.wait_alive(2).await;
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    jobs.cancel(&id, &by_alice().immediate()).await.unwrap();
    until(&jobs, &id, |detail| detail.stops.acknowledged == 2).await;
    jobs.measure().await.unwrap();
    let mut cancelled = some(read(&snapshotter));
    // It may still settle.
    cancelled.retain(|(name, _)| !name.starts_with(metrics::CONTEXTS) || name.contains("ended"));
    let expected = [
        ("beacon_cancel_seconds{}", 2.0),
        ("beacon_cancels_total{outcome=already_cancelled}", 1.0),
        ("beacon_cancels_total{outcome=cancelled}", 1.0),
        ("beacon_claims_total{how=claimed}", 1.0),
        ("beacon_contexts_ended_total{reason=requested}", 1.0),
        ("beacon_executions_finished_total{status=cancelled}", 2.0),
        ("beacon_jobs_finished_total{status=cancelled}", 1.0),
        ("beacon_stops_driven{state=acknowledged,age=under_10s}", 2.0),
    ];
    assert_eq!(cancelled, expected.map(|(name, value)| (name.to_owned(), value)));

    provider.acknowledge_stops(0);
    settled(&jobs, &id).await;
    let done = submit(&jobs, one("remote")).await;
    let alive = provider.wait_alive(1).await;
    provider.finish(alive[0]);
    until(&jobs, &done, |detail| detail.job.status == JobStatus::Completed).await;
    jobs.cancel(&done, &by_alice()).await.unwrap();
    jobs.cancel(&JobId::new("nobody").unwrap(), &by_alice()).await.unwrap();
    runner.shutdown(LONG).await;
    jobs.measure().await.unwrap();
    let end = some(read(&snapshotter));
    let expected = [
        ("beacon_cancel_seconds{}", 2.0),
        ("beacon_cancels_total{outcome=already_finished}", 1.0),
        ("beacon_cancels_total{outcome=not_found}", 1.0),
        ("beacon_claims_total{how=claimed}", 1.0),
        ("beacon_executions_finished_total{status=completed}", 1.0),
        ("beacon_jobs_finished_total{status=completed}", 1.0),
        ("beacon_stop_seconds{executor=remote}", 2.0),
        ("beacon_stops_settled_total{executor=remote,state=confirmed}", 2.0),
    ];
    assert_eq!(end, expected.map(|(name, value)| (name.to_owned(), value)));
}

#[tokio::test]
async fn a_store_that_cannot_be_read_gives_no_number() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _installed = ::metrics::set_default_local_recorder(&recorder);
    let faults = HookedStore::new(MemoryStore::new(), Down);
    let jobs = Jobs::new(faults);
    assert!(jobs.measure().await.is_err());
    jobs.cancel(&JobId::new("nobody").unwrap(), &by_alice()).await.unwrap_err();
    let rows = read(&snapshotter);
    assert!(rows["beacon_stops_driven{state=requested,age=over_1d}"].is_nan());
    assert_eq!(rows["beacon_contexts{}"], 0.0);
    assert_eq!(rows["beacon_cancels_total{outcome=error}"], 1.0);
}
