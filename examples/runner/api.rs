//! The API of this runner: who is let in, and what they may submit.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, header};
use beacon_jobs::Jobs;
use beacon_jobs::store::SessionStore;
use beacon_jobs_http::auth::AuthRefusal;
use beacon_jobs_http::{Api, Authenticator, BearerTokens, Principal, WalletSignIn};

use crate::exit::Exit;
use crate::secret::Secret;
use crate::settings::ApiSettings;

/// The name under which the administrator's doings go on record.
const ADMIN: &str = "admin";
/// The name of everybody where nobody is asked.
const LOCAL: &str = "local";

/// The API.
pub(crate) fn build(
    settings: &ApiSettings,
    jobs: &Jobs,
    token: &Secret,
    sessions: Arc<dyn SessionStore>,
    bound: SocketAddr,
) -> Result<Api, Exit> {
    let admins_only = if settings.process_for_everybody(bound) { &[][..] } else { &["process"] };
    let builder = Api::builder(jobs)
        .max_body(settings.max_body)
        .cors_origins(settings.cors_origins.iter().cloned())
        .cancel_policy(settings.cancel_policy)
        .rate_limit(settings.rate_limit)
        .admin_only_executors(admins_only.iter().copied());
    let builder = if settings.open {
        builder.authenticator(Everybody { origins: settings.cors_origins.iter().cloned().collect() })
    } else if settings.token {
        let tokens = BearerTokens::new().with_token(token.expose(), Principal::admin(ADMIN));
        builder
            .authenticator(tokens.map_err(|error| Exit::usage(format!("--admin-token {}", error.message())))?)
    } else {
        builder
    };
    let builder = if settings.wallet { builder.wallet(wallet(settings, sessions, bound)?) } else { builder };
    builder.build().map_err(|error| Exit::usage(error.to_string()))
}

/// Sign-in by wallet to the address that the browser shows.
fn wallet(
    settings: &ApiSettings,
    sessions: Arc<dyn SessionStore>,
    bound: SocketAddr,
) -> Result<WalletSignIn, Exit> {
    let url = settings.public_url.clone().unwrap_or_else(|| match bound.port() {
        // A browser shows no port that is its scheme's own.
        80 => format!("http://{}", bound.to_string().trim_end_matches(":80")),
        _ => format!("http://{bound}"),
    });
    WalletSignIn::builder(sessions, url)
        .build()
        .map_err(|error| Exit::usage(format!("--public-url {}", error.message())))
}

/// Takes every program of this machine for the administrator, but no page of the web that a browser
/// of this machine shows.
#[derive(Debug)]
struct Everybody {
    origins: BTreeSet<String>,
}

#[async_trait]
impl Authenticator for Everybody {
    async fn authenticate(&self, head: &Parts) -> Result<Principal, AuthRefusal> {
        let text = |name| head.headers.get(name).map(HeaderValue::to_str).transpose();
        let host = text(header::HOST).map_err(|_| AuthRefusal::Invalid)?.unwrap_or_default();
        // A name that somebody else's name server answers for may point here too.
        if !is_local(host) {
            return Err(AuthRefusal::Invalid);
        }
        match text(header::ORIGIN).map_err(|_| AuthRefusal::Invalid)? {
            Some(origin) if origin != format!("http://{host}") && !self.origins.contains(origin) => {
                Err(AuthRefusal::Invalid)
            }
            _ => Ok(Principal::admin(LOCAL)),
        }
    }
}

/// Whether a `Host` header names this machine in a way that no name server has a say in.
fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_matches(['[', ']']);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn lets_in(host: &str, origin: Option<&str>) -> bool {
        let mut request = Request::builder().header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let everybody = Everybody { origins: BTreeSet::from(["https://portal.example".to_owned()]) };
        everybody.authenticate(&head).await.is_ok()
    }

    #[tokio::test]
    async fn without_tokens_programs_of_this_machine_are_let_in_but_no_foreign_page() {
        for host in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"] {
            assert!(lets_in(host, None).await, "{host}");
            assert!(lets_in(host, Some(&format!("http://{host}"))).await, "{host}");
            assert!(lets_in(host, Some("https://portal.example")).await, "{host}");
            assert!(!lets_in(host, Some("https://evil.example")).await, "{host}");
            assert!(!lets_in(host, Some("null")).await, "{host}");
        }
        for host in ["evil.example:8080", "127.0.0.1.evil.example", "192.0.2.7", ""] {
            assert!(!lets_in(host, None).await, "{host}");
        }
    }
}
