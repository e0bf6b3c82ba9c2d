//! Who is asking, by a JSON Web Token of one's own identity service:
//! `cargo run -p beacon-jobs-examples --example jwt`, then the line that it prints.

use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use beacon_jobs::Jobs;
use beacon_jobs::store::MemoryStore;
use beacon_jobs_http::auth::AuthRefusal;
use beacon_jobs_http::{Api, Authenticator, Principal};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, get_current_timestamp,
};
use serde::{Deserialize, Serialize};

/// What the identity service says of somebody.
#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Which service says it.
    pub iss: String,
    /// To whom it is said.
    pub aud: String,
    /// Of whom.
    pub sub: String,
    /// Until when it holds, in seconds since 1970.
    pub exp: u64,
    /// They may cancel everybody's jobs.
    #[serde(default)]
    pub jobs_admin: bool,
}

/// Believes tokens that one service has signed for this one.
pub struct Jwt {
    key: DecodingKey,
    rules: Validation,
}

impl Jwt {
    /// Believes this issuer, which shares a secret with this service, when it speaks to this audience.
    pub fn new(secret: &[u8], issuer: &str, audience: &str) -> jsonwebtoken::errors::Result<Self> {
        // One algorithm, named here: never that which a token names for itself.
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&[issuer]);
        rules.set_audience(&[audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.leeway = 0;
        Ok(Self { key: DecodingKey::from_secret(secret)?, rules })
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").finish_non_exhaustive()
    }
}

#[async_trait]
impl Authenticator for Jwt {
    async fn authenticate(&self, head: &Parts) -> Result<Principal, AuthRefusal> {
        let value = head.headers.get(AUTHORIZATION).ok_or(AuthRefusal::Missing)?;
        let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or(AuthRefusal::Invalid)?;
        let claims =
            decode::<Claims>(token, &self.key, &self.rules).map_err(|_| AuthRefusal::Invalid)?.claims;
        let principal = if claims.jobs_admin { Principal::admin } else { Principal::owner };
        Ok(principal(claims.sub))
    }
}

/// The API for those whom the identity service knows.
pub fn service(jobs: &Jobs, jwt: Jwt) -> beacon_jobs::Result<axum::Router> {
    Ok(Api::builder(jobs).authenticator(jwt).build()?.router())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = b"a-secret-for-the-example-0123456789";
    let router = service(&Jobs::new(MemoryStore::new()), Jwt::new(secret, "identity", "jobs")?)?;
    let claims = Claims {
        iss: "identity".to_owned(),
        aud: "jobs".to_owned(),
        sub: "alice".to_owned(),
        exp: get_current_timestamp() + 3600,
        jobs_admin: false,
    };
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(secret)?)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("curl -H 'Authorization: Bearer {token}' http://{address}/api/v1/jobs");
    axum::serve(listener, router).await?;
    Ok(())
}
