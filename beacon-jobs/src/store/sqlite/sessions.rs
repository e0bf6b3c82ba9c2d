//! Who is signed in.

use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::codec::{nanos, nanos_after, time};
use super::link::Link;
use super::own::Done;
use super::queue::Own;
use super::{SqliteStore, read, statements};
use crate::clock::Clock;
use crate::error::Result;
use crate::store::sql::Cells;
use crate::store::{NewSession, Session, SessionStore, TokenHash};

#[async_trait]
impl SessionStore for SqliteStore {
    async fn give_nonce(&self, nonce: &str, lifetime: Duration) -> Result<OffsetDateTime> {
        self.writer.own(|reply| Own::GiveNonce(nonce.to_owned(), lifetime, reply)).await
    }

    async fn open_session(&self, nonce: &str, session: &NewSession) -> Result<Option<OffsetDateTime>> {
        self.writer.own(|reply| Own::OpenSession(nonce.to_owned(), session.clone(), reply)).await
    }

    async fn session(&self, token: &TokenHash) -> Result<Option<Session>> {
        self.read(read::session(&self.readers, self.writer.clock.now(), token).await)
    }

    async fn end_session(&self, token: &TokenHash) -> Result<bool> {
        self.writer.own(|reply| Own::EndSession(token.clone(), reply)).await
    }
}

pub(super) async fn give_nonce(
    link: &mut Link<'_>,
    clock: &dyn Clock,
    nonce: &str,
    lifetime: Duration,
) -> Done<OffsetDateTime> {
    link.run(link.call(statements::BEGIN)).await?;
    let now = clock.now();
    let expires_at = nanos_after(now, lifetime);
    let call = link.call(statements::GIVE_NONCE).bind(nanos(now)).bind(nonce.to_owned()).bind(expires_at);
    link.run(call).await?;
    Ok((time(expires_at), Vec::new()))
}

pub(super) async fn open_session(
    link: &mut Link<'_>,
    clock: &dyn Clock,
    nonce: &str,
    session: &NewSession,
) -> Done<Option<OffsetDateTime>> {
    link.run(link.call(statements::BEGIN)).await?;
    let now = clock.now();
    let used = link.call(statements::USE_NONCE).bind(nanos(now)).bind(nonce.to_owned());
    if link.run(used).await?.row(1).is_none() {
        link.rollback().await?;
        return Ok((None, Vec::new()));
    }
    let expires_at = nanos_after(now, session.lifetime);
    let call = link
        .call(statements::OPEN_SESSION)
        .bind(nanos(now))
        .bind(session.token.as_str().to_owned())
        .bind(session.subject.clone())
        .bind(expires_at);
    link.run(call).await?;
    Ok((Some(time(expires_at)), Vec::new()))
}

pub(super) async fn end_session(link: &mut Link<'_>, clock: &dyn Clock, token: &TokenHash) -> Done<bool> {
    link.run(link.call(statements::BEGIN)).await?;
    let call = link.call(statements::END_SESSION).bind(nanos(clock.now())).bind(token.as_str().to_owned());
    let ended = link.run(call).await?;
    Ok((ended.row(0).is_some(), Vec::new()))
}

/// Reads a session: subject, expires_at.
pub(super) fn session(row: &impl Cells) -> Result<Session, crate::store::sql::Fault> {
    Ok(Session { subject: row.string(0)?, expires_at: row.time(1)? })
}
