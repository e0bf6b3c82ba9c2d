//! `/metrics`: what is counted here, as Prometheus reads it.

use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use beacon_jobs::{Jobs, metrics};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::exit::Exit;

/// In seconds: a cancel takes one commit, a stop as long as the provider takes to show the end.
const CANCEL_BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];
const STOP_BUCKETS: [f64; 10] = [0.01, 0.05, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0];
/// How often what was recorded is summed up, read or not, so that it does not pile up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Begins to count. Must come before anything that is counted.
pub(crate) fn start() -> Result<PrometheusHandle, Exit> {
    let failed = |error: &dyn std::fmt::Display| Exit::failed(format!("metrics cannot be recorded: {error}"));
    let buckets = |builder: PrometheusBuilder, name: &str, buckets: &[f64]| {
        builder
            .set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
            .map_err(|error| failed(&error))
    };
    let builder = buckets(PrometheusBuilder::new(), metrics::CANCEL_SECONDS, &CANCEL_BUCKETS)?;
    let builder = buckets(builder, metrics::STOP_SECONDS, &STOP_BUCKETS)?;
    let handle = builder.install_recorder().map_err(|error| failed(&error))?;
    metrics::describe();
    let summed_up = handle.clone();
    tokio::spawn(async move {
        let mut next = tokio::time::interval(UPKEEP);
        loop {
            next.tick().await;
            summed_up.run_upkeep();
        }
    });
    Ok(handle)
}

/// The route. Its numbers name no job and nobody, and anybody may read them.
pub(crate) fn routes(handle: PrometheusHandle, jobs: &Jobs) -> Router {
    let jobs = jobs.clone();
    let show = move || async move {
        if let Err(error) = jobs.measure().await {
            tracing::warn!(%error, "the gauges of the store are not known");
        }
        ([(CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render())
    };
    Router::new().route("/metrics", get(show))
}
