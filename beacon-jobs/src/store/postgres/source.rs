//! Connections: where they come from, and who may have one.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgRow};
use sqlx::{ConnectOptions, Connection, Executor, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::fault;
use super::statements::{Statement, Statements};
use crate::clock::{SystemClock, within};
use crate::error::{Error, ErrorKind};
use crate::store::sql::{Cells, Fault};

/// The oldest server version that will do.
const OLDEST: i64 = 140_000;

/// How many connections are kept for what must not wait: cancels, heartbeats, checks.
const URGENT: usize = 3;

/// Who asks for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Ordinary work.
    Common,
    /// What must not wait for ordinary work.
    Urgent,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Until there is a connection.
    pub(super) acquire: Duration,
    /// One statement, before the server gives it up.
    pub(super) statement: Duration,
}

impl Limits {
    /// How long the end of a statement is waited for: the server is to be heard first, so that the
    /// caller learns that nothing was changed.
    pub(super) fn patience(&self) -> Duration {
        self.statement.saturating_add(Duration::from_secs(5))
    }
}

/// The connections of a store.
pub(super) struct Source {
    pub(super) statements: Statements,
    pub(super) schema: String,
    pub(super) is_pooled: bool,
    pub(super) limits: Limits,
    options: PgConnectOptions,
    place: String,
    common: Common,
    urgent: Lender,
}

/// Where ordinary work has its connections from.
enum Common {
    Own(Lender),
    Host(PgPool),
}

/// A few connections of one sort. Nothing is sent to a connection but the statements themselves:
/// neither when it is lent nor when it comes back.
struct Lender {
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<PgConnection>>,
}

impl Lender {
    fn new(most: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(most)), idle: Mutex::default() }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection on loan. Dropped without [`Source::give_back`], it is closed: nobody knows what its
/// last user had left under way.
pub(super) struct Lent {
    connection: Kept,
    lane: Lane,
}

enum Kept {
    Own(PgConnection, OwnedSemaphorePermit),
    Host(HostConnection),
}

/// A connection of the host's pool. The pool takes back whatever is dropped, also in the middle of a
/// transaction: so it is told not to.
struct HostConnection(PoolConnection<Postgres>, bool);

impl Drop for HostConnection {
    fn drop(&mut self) {
        if !self.1 {
            self.0.close_on_drop();
        }
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.connection {
            Kept::Own(connection, _) => connection,
            Kept::Host(connection) => &connection.0,
        }
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.connection {
            Kept::Own(connection, _) => connection,
            Kept::Host(connection) => &mut connection.0,
        }
    }
}

impl Source {
    pub(super) fn new(
        options: PgConnectOptions,
        host: Option<PgPool>,
        schema: String,
        is_pooled: bool,
        most: usize,
        limits: Limits,
    ) -> Self {
        let options = options.disable_statement_logging();
        Self {
            statements: Statements::new(&schema),
            place: place(&options, &schema),
            schema,
            is_pooled,
            limits,
            options,
            common: host.map_or_else(|| Common::Own(Lender::new(most)), Common::Host),
            urgent: Lender::new(URGENT),
        }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn error(&self, fault: &Fault) -> Error {
        fault.error(&self.place)
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Whether ordinary work goes through a pool of the host program.
    pub(super) fn is_hosted(&self) -> bool {
        matches!(self.common, Common::Host(_))
    }

    /// Waits for a connection.
    pub(super) async fn lend(&self, lane: Lane) -> Result<Lent, Fault> {
        let lent = within(&SystemClock, self.limits.acquire, self.lend_at_last(lane)).await;
        lent.unwrap_or_else(|| Err(Fault::no_connection()))
    }

    async fn lend_at_last(&self, lane: Lane) -> Result<Lent, Fault> {
        let lender = match (lane, &self.common) {
            (Lane::Common, Common::Host(pool)) => {
                let connection = Kept::Host(HostConnection(pool.acquire().await.map_err(fault)?, false));
                return Ok(Lent { connection, lane });
            }
            (Lane::Common, Common::Own(lender)) => lender,
            (Lane::Urgent, _) => &self.urgent,
        };
        let permit = Arc::clone(&lender.permits).acquire_owned().await.map_err(|_| Fault::closed())?;
        let idle = lender.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Lent { connection: Kept::Own(connection, permit), lane })
    }

    /// Takes back a connection on which nothing is under way.
    pub(super) fn give_back(&self, lent: Lent) {
        let lender = match (lent.lane, &self.common) {
            (Lane::Common, Common::Own(lender)) => lender,
            _ => &self.urgent,
        };
        match lent.connection {
            Kept::Own(connection, permit) => {
                if !lender.permits.is_closed() {
                    lender.idle().push(connection);
                }
                drop(permit);
            }
            Kept::Host(mut connection) => connection.1 = true,
        }
    }

    /// Forgets the connections that wait: when one of them was found dead, all may be.
    pub(super) fn forget_idle(&self) {
        self.urgent.idle().clear();
        if let Common::Own(lender) = &self.common {
            lender.idle().clear();
        }
    }

    /// Opens a connection of our own, and sees that the server will do.
    pub(super) async fn connect(&self) -> Result<PgConnection, Fault> {
        let mut connection = self.options.connect().await.map_err(fault)?;
        let row = if self.is_pooled {
            // One message, for the next may go to another server connection.
            connection.fetch_one(sqlx::raw_sql(self.statements.text(Statement::Check))).await
        } else {
            let millis = self.limits.statement.as_millis().clamp(1, i32::MAX as u128);
            let query = sqlx::query(self.statements.text(Statement::Greet)).bind(millis.to_string());
            query.persistent(false).fetch_one(&mut connection).await
        };
        check_server(&row.map_err(fault)?)?;
        Ok(connection)
    }

    pub(super) async fn close(&self) {
        let mut idle = Vec::new();
        if let Common::Own(lender) = &self.common {
            lender.permits.close();
            idle.append(&mut lender.idle());
        }
        self.urgent.permits.close();
        idle.append(&mut self.urgent.idle());
        for connection in idle {
            // The server ends what it belongs to either way.
            let _ = connection.close().await;
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("place", &self.place).finish_non_exhaustive()
    }
}

/// The database and the schema, for people; never the password.
fn place(options: &PgConnectOptions, schema: &str) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    format!("postgres {host}:{}/{database} schema {schema}", options.get_port())
}

/// Whether a server will do, by its version, as number and text, and whether commits are synced.
pub(super) fn check_server(row: &PgRow) -> Result<(), Fault> {
    if row.long(0)? < OLDEST {
        let what = format!("the server is PostgreSQL {}; version 14 or newer is needed", row.text(1)?);
        return Err(Fault::new(ErrorKind::Misconfigured, what));
    }
    if row.text(2)? == "off" {
        return Err(Fault::new(
            ErrorKind::Misconfigured,
            "an acknowledged cancel must survive a crash of the server: synchronous_commit is off here; set it on, \
             for the server, the database or the user",
        ));
    }
    Ok(())
}
