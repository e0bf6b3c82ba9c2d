//! The routes, one file each.

mod audit;
mod cancel;
mod cancel_many;
mod events;
mod filter;
mod health;
mod list;
mod openapi;
mod show;
#[cfg(feature = "wallet")]
mod sign_in;
mod submit;
mod wish;

use std::future::Future;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Router, middleware};
use beacon_jobs::JobId;
use serde::{Deserialize, Serialize};
use tracing::Instrument;

use crate::api::Shared;
use crate::auth::Principal;
use crate::problem::{Code, Problem};
use crate::{cors, rate, request_id};

pub(crate) use events::LAST_EVENT_ID;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The operations, for the document.
#[cfg(feature = "openapi")]
pub(crate) mod paths {
    pub(crate) use super::{
        audit::__path_audit, cancel::__path_cancel, cancel_many::__path_cancel_many, events::__path_events,
        health::__path_live, health::__path_ready, list::__path_list, show::__path_show,
        sign_in::__path_nonce, sign_in::__path_sign_in, sign_in::__path_sign_out, submit::__path_submit,
    };
}

const BASE: &str = "/api/v1";

pub(crate) fn all(api: &Shared) -> Router {
    let versioned = Router::new()
        .route("/jobs", only(get(list::list).post(submit::submit)))
        .route("/jobs/cancel", only(post(cancel_many::cancel_many).get(show_cancel)))
        .route("/jobs/{id}", only(get(show::show)))
        .route("/jobs/{id}/audit", only(get(audit::audit)))
        .route("/jobs/{id}/cancel", only(post(cancel::cancel)))
        .route("/jobs/{id}/events", only(get(events::events)))
        .route("/openapi.json", only(get(openapi::show)));
    #[cfg(feature = "wallet")]
    let versioned = versioned.merge(sign_in::routes());
    let versioned = versioned
        .fallback(async || Problem::new(Code::RouteNotFound, "there is no such route"))
        .layer(middleware::from_fn_with_state(Shared::clone(api), rate::by_address));
    let router = Router::new()
        .nest(BASE, versioned)
        .route("/healthz", only(get(health::live)))
        .route("/readyz", only(get(health::ready)));
    finish(router, api)
}

pub(crate) fn cancel_alone(api: &Shared) -> Router {
    finish(Router::new().route(&format!("{BASE}/jobs/{{id}}/cancel"), only(post(cancel::cancel))), api)
}

/// Shows a job that has the name of a route.
async fn show_cancel(api: State<Shared>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    show::show(api, caller, Named(JobId::new("cancel").ok()), uri).await
}

/// Refuses every other method with a problem of our own.
fn only(methods: MethodRouter<Shared>) -> MethodRouter<Shared> {
    methods.fallback(async || Problem::new(Code::MethodNotAllowed, "the method is not allowed here"))
}

fn finish(mut router: Router<Shared>, api: &Shared) -> Router {
    if !api.cors_origins.is_empty() {
        router = router.layer(cors::layer(&api.cors_origins));
    }
    router.layer(middleware::from_fn(request_id::identify)).with_state(Shared::clone(api))
}

/// The principal of a request without a body.
struct Caller(Principal);

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(head: &mut Parts, api: &Shared) -> Result<Self, Problem> {
        api.principal(head).await.map(Self)
    }
}

/// The job that a path names. An id that no job can have is `None`, and not found.
struct Named(Option<JobId>);

#[derive(Deserialize)]
struct JobPath {
    id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let path: Result<Path<JobPath>, PathRejection> = Path::from_request_parts(head, state).await;
        Ok(Self(path.ok().and_then(|Path(path)| JobId::new(path.id).ok())))
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(body).map_err(|error| Problem::internal(&error))?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((status, headers, body).into_response())
}

/// Runs a change to its end even when the client hangs up: axum drops a route's future then, and a
/// cancel that was committed but not signalled would be known to the store alone.
///
/// # Cancellation safety
/// The change goes on when this future is dropped.
async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = T> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(change.in_current_span()).await.map_err(|error| Problem::internal(&error))
}
