use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Router, http};
use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::wish::{finish, members, take};
use super::{json, only};
use crate::api::{Shared, refused};
use crate::problem::{Code, Problem};
use crate::upload::Upload;
use crate::wallet::{SignInError, SignedIn, WalletSignIn};

/// A text of more bytes is no sign-in message.
const LONGEST_MESSAGE: usize = 16 * 1024;

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct Nonce {
    nonce: String,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct Session {
    token: String,
    address: String,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

/// The routes of those who sign in.
pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/auth/nonce", only(post(nonce)))
        .route("/auth/session", only(post(sign_in).delete(sign_out)))
}

fn wallet(api: &Shared) -> Result<&WalletSignIn, Problem> {
    api.wallet.as_ref().ok_or_else(|| Problem::new(Code::RouteNotFound, "nobody signs in by wallet here"))
}

#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/api/v1/auth/nonce", operation_id = "nonce", tag = "sign in", security(()),
    description = "A nonce for a sign-in message, good for one use.",
    responses(
        (status = 200, description = "The nonce", body = Nonce),
        (status = 404, description = "Nobody signs in by wallet here"),
    ),
))]
async fn nonce(State(api): State<Shared>, request: Request) -> Result<Response, Problem> {
    let received = Upload::of(request).read(api.max_body).await?;
    if !received.body.is_empty() {
        finish(&members(&received)?, "", "none")?;
    }
    let (nonce, expires_at) = wallet(&api)?.nonce().await?;
    json(StatusCode::OK, &Nonce { nonce, expires_at })
}

#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/api/v1/auth/session", operation_id = "signIn", tag = "sign in", security(()),
    description = "Signs in with an EIP-4361 message and its EIP-191 signature.",
    request_body(content = crate::openapi::SignIn, content_type = "application/json"),
    responses(
        (status = 200, description = "The session", body = Session),
        (status = 404, description = "Nobody signs in by wallet here"),
    ),
))]
async fn sign_in(State(api): State<Shared>, request: Request) -> Result<Response, Problem> {
    let received = Upload::of(request).read(api.max_body).await?;
    let mut members = members(&received)?;
    let message = text(&mut members, "message")?;
    let signature = text(&mut members, "signature")?;
    finish(&members, "", "message, signature")?;
    let SignedIn { token, address, expires_at } = wallet(&api)?.sign_in(&message, &signature).await?;
    tracing::info!(%address, "signed in by wallet");
    json(StatusCode::OK, &Session { token, address, expires_at })
}

#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/api/v1/auth/session", operation_id = "signOut", tag = "sign in",
    description = "Ends the session of this token.",
    responses(
        (status = 204, description = "It has ended"),
        (status = 404, description = "Nobody signs in by wallet here"),
    ),
))]
async fn sign_out(State(api): State<Shared>, head: Parts) -> Result<Response, Problem> {
    if wallet(&api)?.sign_out(&head).await.map_err(refused)? {
        return Ok((StatusCode::NO_CONTENT, [(CACHE_CONTROL, http::HeaderValue::from_static("no-store"))])
            .into_response());
    }
    Err(Problem::new(Code::Unauthenticated, "there is no session with this token"))
}

fn text(members: &mut Map<String, Value>, name: &str) -> Result<String, Problem> {
    match take(members, name) {
        Some(Value::String(text)) if text.len() <= LONGEST_MESSAGE => Ok(text),
        Some(_) => {
            Err(Problem::invalid(name, &format!("must be a string of at most {LONGEST_MESSAGE} bytes")))
        }
        None => Err(Problem::invalid(name, "is missing")),
    }
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Malformed(field, why) => Self::invalid(field, &why),
            SignInError::Refused(field, why) => Self::field(Code::SignInRefused, field, &why),
            SignInError::Store(error) => error.into(),
        }
    }
}
