//! Which of the two interfaces answers a request, and the routes of this one.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, get, post};
use beacon_jobs::Jobs;
use beacon_jobs_http::CancelPolicy;
use tower::ServiceExt;

use super::http::{cors, expect_json, identify};
use super::refusal::Refusal;
use super::settings::Settings;
use super::{cancel, executions, health, jobs, retry, submit};
use crate::exit::Exit;
use crate::settings::ApiSettings;

/// What all requests share.
pub(super) type Shared = Arc<Parts>;

#[derive(Debug)]
pub(super) struct Parts {
    pub(super) jobs: Jobs,
    pub(super) settings: Settings,
    pub(super) cancel_policy: CancelPolicy,
    pub(super) max_body: usize,
}

/// Puts this interface beside the router of everything else.
pub(crate) fn beside(
    others: Router,
    settings: &Settings,
    api: &ApiSettings,
    jobs: &Jobs,
) -> Result<Router, Exit> {
    let cancel_policy = api.cancel_policy;
    tracing::warn!("--beacon-v1: whoever reaches this server reads and submits jobs of a portal");
    if cancel_policy != CancelPolicy::LegacyOpen {
        tracing::warn!(%cancel_policy, "a portal's Cancel is refused; it needs --cancel-policy legacy_open");
    }
    let shared = Arc::new(Parts {
        jobs: jobs.clone(),
        settings: settings.clone(),
        cancel_policy,
        max_body: api.max_body,
    });
    let ours = routes()
        .with_state(shared)
        .layer(from_fn(expect_json))
        .layer(
            cors(&api.cors_origins)
                .map_err(|origin| Exit::usage(format!("--cors-origin {origin}: is no origin")))?,
        )
        .layer(from_fn(identify));
    Ok(Router::new().fallback(move |request: Request| {
        let router = if is_v1(&request) { ours.clone() } else { others.clone() };
        router.oneshot(request)
    }))
}

pub(super) fn routes() -> Router<Shared> {
    let health = || {
        Router::new()
            .route("/health", only(get(health::health)))
            .route("/health/live", only(get(health::live)))
            .route("/health/ready", only(get(health::ready)))
    };
    let base = Router::new()
        .route("/jobs", only(get(jobs::list).post(submit::bare)))
        .route("/jobs/cross-region", only(post(submit::cross_region).get(jobs::show_cross_region)))
        .route("/jobs/{id}", only(get(jobs::show)))
        .route("/jobs/{id}/cancel", only(post(cancel::cancel)))
        .route("/jobs/{id}/executions/all", only(get(executions::of_job)))
        .route("/executions", only(get(executions::list)))
        .route("/executions/{row}/details", only(get(executions::details)))
        .route("/executions/{row}/receipt", only(get(executions::receipt_of)))
        .route("/executions/{row}/retry-question", only(post(retry::retry)))
        .route("/questions", only(get(health::questions)))
        .merge(health());
    Router::new().nest("/api/v1", base).merge(health()).fallback(async || {
        Refusal::new(StatusCode::NOT_FOUND, "not found").with("message", "there is no such route")
    })
}

/// Refuses every other method in our own form.
fn only(methods: MethodRouter<Shared>) -> MethodRouter<Shared> {
    methods.fallback(async || Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"))
}

/// Whether a portal sent this: it is for a path that only portals ask for, or shows no credential where
/// the API has the path, too.
pub(super) fn is_v1(request: &Request) -> bool {
    let (method, path) = (request.method(), request.uri().path());
    if *method == Method::OPTIONS {
        return true;
    }
    let shows_credential = request.headers().contains_key(AUTHORIZATION);
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["health", ..] | ["api", "v2", ..] => true,
        ["api", "v1", "jobs", "cancel"] if *method == Method::POST => false,
        ["api", "v1", "jobs", "cross-region"] if *method == Method::POST => true,
        ["api", "v1", "jobs", _, "executions", ..] => true,
        ["api", "v1", "jobs"] | ["api", "v1", "jobs", _] | ["api", "v1", "jobs", _, "cancel"] => {
            !shows_credential
        }
        ["api", "v1", "executions" | "questions" | "health" | "diffs" | "transparency" | "geo", ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn is(method: &str, path: &str, shows_credential: bool) -> bool {
        let mut request = Request::builder().method(method).uri(path);
        if shows_credential {
            request = request.header("authorization", "Bearer x");
        }
        is_v1(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn shared_paths_are_a_portals_where_no_credential_is_shown() {
        for (method, path) in [
            ("GET", "/api/v1/jobs"),
            ("POST", "/api/v1/jobs"),
            ("GET", "/api/v1/jobs/a?include=executions"),
            ("POST", "/api/v1/jobs/a/cancel"),
            ("GET", "/api/v1/jobs/cross-region"),
        ] {
            assert_eq!((is(method, path, false), is(method, path, true)), (true, false), "{method} {path}");
        }
    }

    #[test]
    fn all_other_paths_have_one_owner() {
        for (method, path, v1) in [
            ("POST", "/api/v1/jobs/cross-region", true),
            ("GET", "/api/v1/jobs/a/executions/all", true),
            ("GET", "/api/v1/executions/7/details", true),
            ("GET", "/api/v2/jobs/a/bias-analysis", true),
            ("GET", "/health/live", true),
            ("OPTIONS", "/anywhere", true),
            ("POST", "/api/v1/jobs/cancel", false),
            ("GET", "/api/v1/jobs/a/events", false),
            ("GET", "/api/v1/jobs/a/audit", false),
            ("POST", "/api/v1/auth/nonce", false),
            ("GET", "/", false),
            ("GET", "/healthz", false),
        ] {
            assert_eq!((is(method, path, false), is(method, path, true)), (v1, v1), "{method} {path}");
        }
    }
}
