//! The cancel button for web pages: custom elements in plain ES modules, without a build step.
//!
//! ```
//! let app: axum::Router = axum::Router::new().merge(beacon_jobs_http::ui::routes());
//! ```
//!
//! A page then needs one tag for all of it:
//!
//! ```html
//! <script type="module" src="/ui/beacon-jobs.js"></script>
//! <beacon-cancel-button job-id="…" token-key="my-token"></beacon-cancel-button>
//! <beacon-job-progress job-id="…" token-key="my-token"></beacon-job-progress>
//! ```
//!
//! `token-key` names the entry of the session storage in which the page keeps its bearer token; a page that
//! keeps it elsewhere sets the property `client` to a `BeaconClient` of its own. `base-url` names another
//! server, which must then have the page's origin among its
//! [`cors_origins`](crate::ApiBuilder::cors_origins). The colours follow the system, light or dark, and are
//! set by the custom properties `--beacon-ink`, `--beacon-paper`, `--beacon-good` and so on. All of it works
//! under `Content-Security-Policy: default-src 'self'`.
//!
//! The button asks first, then says "Cancelling…" and takes no further click, and is gone when the job is
//! cancelled; a message tells what the server's answer says. "Stopped" is written only where a stop is
//! confirmed by evidence; what was only told to stop reads "stopping".

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

/// The modules; they find each other by relative paths.
const FILES: [(&str, &str); 11] = [
    ("/ui/beacon-jobs.js", include_str!("../ui/beacon-jobs.js")),
    ("/ui/cancel-button.js", include_str!("../ui/cancel-button.js")),
    ("/ui/client.js", include_str!("../ui/client.js")),
    ("/ui/connect.js", include_str!("../ui/connect.js")),
    ("/ui/errors.js", include_str!("../ui/errors.js")),
    ("/ui/events.js", include_str!("../ui/events.js")),
    ("/ui/job-progress.js", include_str!("../ui/job-progress.js")),
    ("/ui/rows.js", include_str!("../ui/rows.js")),
    ("/ui/style.js", include_str!("../ui/style.js")),
    ("/ui/toasts.js", include_str!("../ui/toasts.js")),
    ("/ui/words.js", include_str!("../ui/words.js")),
];

/// The files of the button, under `/ui/`. They are the same for everybody and need no credential.
pub fn routes() -> Router {
    FILES.into_iter().fold(Router::new(), |router, (path, text)| {
        let tag = tag(text);
        router.route(path, get(async move |headers: HeaderMap| file(&headers, text, &tag)))
    })
}

/// A name of this very text, so that a browser that has it is spared the rest.
fn tag(text: &str) -> String {
    let hash = Sha256::digest(text);
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

fn file(headers: &HeaderMap, text: &'static str, tag: &str) -> Response {
    let known = headers.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok()).unwrap_or_default();
    // A proxy that compresses makes a tag weak.
    let has_it = known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag);
    let (status, body) = if has_it { (StatusCode::NOT_MODIFIED, "") } else { (StatusCode::OK, text) };
    // A browser asks each time whether the module is still the same: the modules of one version belong together.
    let fixed = [
        (CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, fixed, [(ETAG, tag)], body).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn get(path: &str, known: &str) -> Response {
        let request = Request::get(path).header(IF_NONE_MATCH, known).body(Body::empty()).unwrap();
        routes().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn each_module_is_served_as_a_script_once() {
        for (path, _) in FILES {
            let answer = get(path, "").await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            assert_eq!(answer.headers()[CONTENT_TYPE], "text/javascript; charset=utf-8");
            assert_eq!(answer.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
            let tag = answer.headers()[ETAG].to_str().unwrap().to_owned();
            for known in [tag.clone(), format!("\"other\", W/{tag}")] {
                assert_eq!(get(path, &known).await.status(), StatusCode::NOT_MODIFIED, "{path}");
            }
            assert_eq!(get(path, "\"other\"").await.status(), StatusCode::OK, "{path}");
        }
    }

    #[test]
    fn every_module_that_is_imported_is_served() {
        let imports = FILES.iter().flat_map(|(_, text)| text.lines()).filter_map(|line| {
            let (_, rest) = line.split_once(" from \"./").filter(|_| !line.starts_with("//"))?;
            rest.strip_suffix("\";")
        });
        let mut count = 0;
        for name in imports {
            assert!(FILES.iter().any(|(path, _)| *path == format!("/ui/{name}")), "{name}");
            count += 1;
        }
        assert!(count > 20, "{count}");
    }
}
