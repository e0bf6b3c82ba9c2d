//! Who is signed in.

use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::PostgresStore;
use super::codec::{check_nul, interval};
use super::link::{Call, Nature};
use super::source::Lane;
use super::statements::Statement;
use crate::error::Result;
use crate::store::sql::Cells;
use crate::store::{NewSession, Session, SessionStore, TokenHash};

#[async_trait]
impl SessionStore for PostgresStore {
    async fn give_nonce(&self, nonce: &str, lifetime: Duration) -> Result<OffsetDateTime> {
        check_nul("nonce", nonce)?;
        let call = Call::new(Statement::GiveNonce).bind(nonce).bind(interval(lifetime));
        let answer = self.core.source.run(Lane::Common, Nature::Once, &call).await;
        self.read(answer.and_then(|answer| answer.row()?.time(0)))
    }

    async fn open_session(&self, nonce: &str, session: &NewSession) -> Result<Option<OffsetDateTime>> {
        check_nul("nonce", nonce)?;
        check_nul("subject", &session.subject)?;
        let call = Call::new(Statement::OpenSession)
            .bind(nonce)
            .bind(session.token.as_str())
            .bind(&session.subject)
            .bind(interval(session.lifetime));
        let answer = self.core.source.run(Lane::Common, Nature::Once, &call).await;
        self.read(answer.and_then(|answer| answer.rows().next().map(|row| row.time(0)).transpose()))
    }

    async fn session(&self, token: &TokenHash) -> Result<Option<Session>> {
        let call = Call::new(Statement::Session).bind(token.as_str());
        let answer = self.core.source.run(Lane::Common, Nature::Read, &call).await;
        self.read(answer.and_then(|answer| {
            let session = |row| -> Result<Session, crate::store::sql::Fault> {
                let row: &sqlx::postgres::PgRow = row;
                Ok(Session { subject: row.string(0)?, expires_at: row.time(1)? })
            };
            answer.rows().next().map(session).transpose()
        }))
    }

    async fn end_session(&self, token: &TokenHash) -> Result<bool> {
        let call = Call::new(Statement::EndSession).bind(token.as_str());
        let answer = self.core.source.run(Lane::Common, Nature::Once, &call).await;
        self.read(answer.map(|answer| answer.rows().len() > 0))
    }
}
