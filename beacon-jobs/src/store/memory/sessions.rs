use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::MemoryStore;
use crate::error::Result;
use crate::store::{NewSession, Session, SessionStore, TokenHash};

/// Who is signed in.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    nonces: BTreeMap<String, OffsetDateTime>,
    open: BTreeMap<TokenHash, Session>,
}

impl Sessions {
    fn expire(&mut self, now: OffsetDateTime) {
        self.nonces.retain(|_, expires_at| *expires_at > now);
        self.open.retain(|_, session| session.expires_at > now);
    }
}

impl MemoryStore {
    fn sessions<T>(&self, act: impl FnOnce(&mut Sessions, OffsetDateTime) -> T) -> T {
        let mut sessions = self.sessions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = self.clock.now();
        sessions.expire(now);
        act(&mut sessions, now)
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn give_nonce(&self, nonce: &str, lifetime: Duration) -> Result<OffsetDateTime> {
        Ok(self.sessions(|sessions, now| {
            let expires_at = now + lifetime;
            sessions.nonces.insert(nonce.to_owned(), expires_at);
            expires_at
        }))
    }

    async fn open_session(&self, nonce: &str, new: &NewSession) -> Result<Option<OffsetDateTime>> {
        Ok(self.sessions(|sessions, now| {
            sessions.nonces.remove(nonce)?;
            let session = Session { subject: new.subject.clone(), expires_at: now + new.lifetime };
            sessions.open.insert(new.token.clone(), session.clone());
            Some(session.expires_at)
        }))
    }

    async fn session(&self, token: &TokenHash) -> Result<Option<Session>> {
        Ok(self.sessions(|sessions, _| sessions.open.get(token).cloned()))
    }

    async fn end_session(&self, token: &TokenHash) -> Result<bool> {
        Ok(self.sessions(|sessions, _| sessions.open.remove(token).is_some()))
    }
}
