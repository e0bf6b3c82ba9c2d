use std::fmt;

use async_trait::async_trait;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use beacon_jobs::{Error, Result};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::{AuthRefusal, Authenticator, Principal};

/// Fixed tokens, each for one principal, shown as `Authorization: Bearer <token>`.
///
/// Only hashes are kept, so no token can be printed. A shown token is compared with every hash, in
/// a time that does not tell which it resembled.
#[derive(Clone, Default)]
pub struct BearerTokens {
    known: Vec<Known>,
}

#[derive(Clone)]
struct Known {
    hash: [u8; 32],
    principal: Principal,
}

impl BearerTokens {
    /// No token: nobody is let in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a token: 1 to 4 096 visible ASCII characters. Whoever can guess it is let in, so make
    /// it from at least 128 random bits.
    ///
    /// # Errors
    /// `InvalidInput` on field `token` when it has another form, or is known already.
    pub fn with_token(mut self, token: impl AsRef<[u8]>, principal: Principal) -> Result<Self> {
        let token = token.as_ref();
        if !(1..=4096).contains(&token.len()) || !token.iter().all(u8::is_ascii_graphic) {
            return Err(Error::invalid("token", "must be 1 to 4096 visible ASCII characters without spaces"));
        }
        if self.find(token).is_some() {
            return Err(Error::invalid("token", "is given twice; each principal needs its own"));
        }
        self.known.push(Known { hash: hash(token), principal });
        Ok(self)
    }

    fn find(&self, token: &[u8]) -> Option<&Principal> {
        let shown = hash(token);
        let mut place = u64::MAX;
        for (candidate, known) in (0..).zip(&self.known) {
            place.conditional_assign(&candidate, known.hash.ct_eq(&shown));
        }
        self.known.get(usize::try_from(place).ok()?).map(|known| &known.principal)
    }
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[async_trait]
impl Authenticator for BearerTokens {
    async fn authenticate(&self, head: &Parts) -> Result<Principal, AuthRefusal> {
        self.find(bearer(head)?).cloned().ok_or(AuthRefusal::Invalid)
    }
}

/// The token that a request shows.
pub(crate) fn bearer(head: &Parts) -> Result<&[u8], AuthRefusal> {
    let mut shown = head.headers.get_all(AUTHORIZATION).into_iter();
    let value = shown.next().ok_or(AuthRefusal::Missing)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len()).ok_or(AuthRefusal::Invalid)?;
    if shown.next().is_some() || !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err(AuthRefusal::Invalid);
    }
    Ok(token.trim_ascii())
}

impl fmt::Debug for BearerTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerTokens").field("tokens", &self.known.len()).finish()
    }
}
