use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::error::Result;

/// Keeps who is signed in, where a server lets people sign in: nonces that were given out, and
/// sessions. The SQL stores keep them in the database of the jobs, so that all nodes know them.
///
/// # Contract
/// - **Atomic** and **durable** as the calls of a [`JobStore`](super::JobStore) are, with its errors.
/// - **Time** is the store's own clock. What has expired is as if it were not there, and is deleted
///   by and by.
///
/// | nonce | `open_session` |
/// |---|---|
/// | given out, not expired | used up; the session is open, and its expiry is the answer |
/// | used, expired, or never given out | `None`, nothing changed |
#[async_trait]
pub trait SessionStore: Debug + Send + Sync + 'static {
    /// Gives out a nonce that nobody had before, for so long. Returns until when.
    ///
    /// # Cancellation safety
    /// When dropped, the nonce may or may not be given out.
    async fn give_nonce(&self, nonce: &str, lifetime: Duration) -> Result<OffsetDateTime>;

    /// Uses up a nonce and opens a session, in one commit. Of many calls with one nonce at most one
    /// opens a session.
    ///
    /// # Cancellation safety
    /// When dropped, the session may or may not be open.
    async fn open_session(&self, nonce: &str, session: &NewSession) -> Result<Option<OffsetDateTime>>;

    /// Reads whose session this token opens.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    async fn session(&self, token: &TokenHash) -> Result<Option<Session>>;

    /// Ends a session. `false` when there is none.
    ///
    /// # Cancellation safety
    /// When dropped, the session may or may not be ended.
    async fn end_session(&self, token: &TokenHash) -> Result<bool>;
}

#[async_trait]
impl<S: SessionStore + ?Sized> SessionStore for Arc<S> {
    async fn give_nonce(&self, nonce: &str, lifetime: Duration) -> Result<OffsetDateTime> {
        (**self).give_nonce(nonce, lifetime).await
    }
    async fn open_session(&self, nonce: &str, session: &NewSession) -> Result<Option<OffsetDateTime>> {
        (**self).open_session(nonce, session).await
    }
    async fn session(&self, token: &TokenHash) -> Result<Option<Session>> {
        (**self).session(token).await
    }
    async fn end_session(&self, token: &TokenHash) -> Result<bool> {
        (**self).end_session(token).await
    }
}

/// The SHA-256 of a session's token. The token itself is never stored.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenHash(String);

impl TokenHash {
    /// Hashes a token, which must be made of at least 128 random bits.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        let hash: [u8; 32] = Sha256::digest(token).into();
        Self(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The hash, as 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Debug for TokenHash {
    /// The first digits alone: enough to tell two apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}…)", self.0.get(..8).unwrap_or_default())
    }
}

/// A session to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// By which token it is known.
    pub token: TokenHash,
    /// Who signs in, 1 to 255 bytes.
    pub subject: String,
    /// How long it is open.
    pub lifetime: Duration,
}

/// An open session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who signed in.
    pub subject: String,
    /// Until when it is open.
    pub expires_at: OffsetDateTime,
}
