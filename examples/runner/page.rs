//! The one page at `/`: what runs here, and how to start and cancel a job.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;

const PAGE: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");

/// Nothing from elsewhere, no script at all, and no other page may frame this one.
const POLICY: &str =
    "default-src 'self'; script-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the page tells.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) address: String,
    pub(crate) executors: String,
    pub(crate) database: &'static str,
    pub(crate) runs_jobs: bool,
    pub(crate) open: bool,
}

/// The routes of the page.
pub(crate) fn routes(facts: &Facts) -> Router {
    let page: Arc<str> = fill(facts).into();
    Router::new()
        .route("/", get(move || async move { answer("text/html; charset=utf-8", page.to_string()) }))
        .route("/style.css", get(|| async { answer("text/css; charset=utf-8", STYLE.to_owned()) }))
}

fn answer(kind: &'static str, body: String) -> impl IntoResponse {
    let fixed = |name: HeaderName, value: &'static str| (name, HeaderValue::from_static(value));
    let headers = [
        fixed(header::CONTENT_TYPE, kind),
        fixed(header::CONTENT_SECURITY_POLICY, POLICY),
        fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        fixed(header::REFERRER_POLICY, "no-referrer"),
        fixed(header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, body)
}

fn fill(facts: &Facts) -> String {
    let hint = if facts.open {
        "No token is needed: everybody on this machine is an administrator here."
    } else {
        "The token is what follows #token= in the address that the runner printed at its start."
    };
    [
        ("{{version}}", env!("CARGO_PKG_VERSION")),
        ("{{executors}}", &facts.executors),
        ("{{runs}}", if facts.runs_jobs { "yes" } else { "no, by others on the same database" }),
        ("{{database}}", facts.database),
        ("{{auth}}", if facts.open { "nothing" } else { "a bearer token" }),
        ("{{token_hint}}", hint),
        ("{{address}}", &facts.address),
    ]
    .into_iter()
    .fold(PAGE.to_owned(), |page, (place, value)| page.replace(place, &escaped(value)))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_filled_in_and_holds_no_script_style_or_foreign_address() {
        let facts = Facts {
            address: "http://127.0.0.1:1".to_owned(),
            executors: "process".to_owned(),
            database: "a <file>",
            runs_jobs: true,
            open: false,
        };
        let page = fill(&facts);
        assert!(!page.contains("{{") && page.contains("a &lt;file&gt;"));
        for what in ["<script", "style=", "onclick", "javascript:", "https://"] {
            assert!(!page.contains(what), "{what}");
        }
    }
}
