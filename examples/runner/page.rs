//! The portal: the page at `/`, and what it loads. It calls the API like every other client.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use beacon_jobs_http::ui;

const PAGE: &str = include_str!("page/index.html");

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What the page loads, beside the button's own files.
const FILES: [(&str, &str, &str); 7] = [
    ("/portal/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/portal/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/portal/job-list.js", SCRIPT, include_str!("page/job-list.js")),
    ("/portal/portal.js", SCRIPT, include_str!("page/portal.js")),
    ("/portal/sample.js", SCRIPT, include_str!("page/sample.js")),
    ("/portal/session.js", SCRIPT, include_str!("page/session.js")),
    ("/portal/wallet.js", SCRIPT, include_str!("page/wallet.js")),
];

/// Nothing from elsewhere, no script or style but from a file, no text that becomes markup, and no
/// other page may frame this one.
const POLICY: &str = "default-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// What the page tells.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) address: String,
    pub(crate) executors: String,
    pub(crate) database: &'static str,
    pub(crate) runs_jobs: bool,
    pub(crate) open: bool,
    pub(crate) token: bool,
    pub(crate) wallet: bool,
}

/// The routes of the page.
pub(crate) fn routes(facts: &Facts) -> Router {
    let page: Arc<str> = fill(facts).into();
    let router = ui::routes()
        .route("/", get(move || async move { answer("text/html; charset=utf-8", page.to_string()) }));
    FILES.into_iter().fold(router, |router, (path, kind, text)| {
        router.route(path, get(move || async move { answer(kind, text.to_owned()) }))
    })
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
    let auth = match (facts.open, facts.token, facts.wallet) {
        (true, _, _) => "nothing",
        (false, true, true) => "a bearer token, or a wallet",
        (false, false, true) => "a wallet",
        (false, _, false) => "a bearer token",
    };
    [
        ("{{version}}", env!("CARGO_PKG_VERSION")),
        ("{{executors}}", &facts.executors),
        ("{{runs}}", if facts.runs_jobs { "yes" } else { "no, by others on the same database" }),
        ("{{database}}", facts.database),
        ("{{auth}}", auth),
        ("{{open}}", &facts.open.to_string()),
        ("{{token}}", &facts.token.to_string()),
        ("{{wallet}}", &facts.wallet.to_string()),
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
    fn the_page_is_filled_in_and_holds_no_script_or_style_of_its_own_and_no_foreign_address() {
        let facts = Facts {
            address: "http://127.0.0.1:1".to_owned(),
            executors: "process".to_owned(),
            database: "a <file>",
            runs_jobs: true,
            open: false,
            token: true,
            wallet: true,
        };
        let page = fill(&facts);
        assert!(!page.contains("{{") && page.contains("a &lt;file&gt;"));
        for what in ["<script>", "<style", "style=", "onclick", "javascript:", "https://"] {
            assert!(!page.contains(what), "{what}");
        }
        assert_eq!(page.matches("<script").count(), 1);
        let loaded = page.split(['"']).filter(|text| text.starts_with("/portal/"));
        assert!(
            loaded.clone().count() == 3
                && loaded.into_iter().all(|path| FILES.iter().any(|file| file.0 == path))
        );
    }
}
