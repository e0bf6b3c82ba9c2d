use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, Method, Uri};
use beacon_jobs::{Error, Result};
use tower_http::cors::CorsLayer;

use crate::request_id;
use crate::routes::{IDEMPOTENCY_KEY, LAST_EVENT_ID};

/// Checks an origin of the configuration: a browser's `Origin` header is compared with it byte by
/// byte, so one in any other form than the browser's would silently never match.
pub(crate) fn origin(text: &str) -> Result<HeaderValue> {
    let refusal = |message: &str| Error::invalid(format!("cors_origins {text:?}"), message);
    let form = "must be scheme://host or scheme://host:port, without a path";
    let uri: Uri = text.parse().map_err(|_| refusal(form))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(refusal(form));
    };
    if text != format!("{scheme}://{authority}") || authority.as_str().contains(['@', '*']) {
        return Err(refusal(form));
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(refusal("must be in lower case, as the browser sends it"));
    }
    if matches!((scheme, uri.port_u16()), ("http", Some(80)) | ("https", Some(443))) {
        return Err(refusal("must be without its scheme's own port, as the browser sends it"));
    }
    HeaderValue::from_str(text).map_err(|_| refusal(form))
}

/// What lets the pages of these origins call the API.
pub(crate) fn layer(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, LAST_EVENT_ID, IDEMPOTENCY_KEY, request_id::HEADER])
        .expose_headers([LOCATION, RETRY_AFTER, request_id::HEADER])
        .max_age(Duration::from_secs(3600))
}
