//! Running statements: alone, or several in a transaction.

use std::future::Future;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{Arguments, Either, Encode, Executor, Postgres, Type};

use super::error::{Trace, fault};
use super::source::{Lane, Lent, Source};
use super::statements::Statement;
use crate::clock::{SystemClock, within};
use crate::store::sql::Fault;

/// How often a statement is tried that others were in the way of.
const MOST_TRIES: u32 = 6;

/// What may be done about a statement whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// It only reads.
    Read,
    /// Repeated, it changes nothing more and gives the same answer.
    Repeatable,
    /// Repeated, it would act again, or answer otherwise.
    Once,
}

/// A statement with its parameters.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) statement: Statement,
    arguments: PgArguments,
    fault: Option<Fault>,
}

impl Call {
    pub(super) fn new(statement: Statement) -> Self {
        Self { statement, arguments: PgArguments::default(), fault: None }
    }

    pub(super) fn bind<'q, T>(mut self, value: T) -> Self
    where
        T: Encode<'q, Postgres> + Type<Postgres>,
    {
        if let Err(error) = self.arguments.add(value) {
            self.fault = Some(fault(sqlx::Error::Encode(error)));
        }
        self
    }
}

/// The rows that a statement brought, and how many it changed.
#[derive(Debug, Default)]
pub(super) struct Answer {
    rows: Vec<PgRow>,
    pub(super) changed: u64,
}

impl Answer {
    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = &PgRow> + ExactSizeIterator {
        self.rows.iter()
    }

    pub(super) fn row(&self) -> Result<&PgRow, Fault> {
        self.rows.first().ok_or_else(|| Fault::corrupt("a statement brought no row"))
    }
}

impl Source {
    /// Runs a statement that commits by itself.
    pub(super) async fn run(&self, lane: Lane, nature: Nature, call: &Call) -> Result<Answer, Fault> {
        let mut is_unknown = false;
        let mut has_reconnected = false;
        let mut tries = 1;
        loop {
            let fault = match self.try_run(lane, nature, call).await {
                Ok(answer) => return Ok(answer),
                Err((fault, trace)) => {
                    let again = match trace {
                        Trace::None => fault.is_collision() && tries < MOST_TRIES,
                        Trace::Unsent => !std::mem::replace(&mut has_reconnected, true),
                        Trace::Unknown => {
                            is_unknown |= nature != Nature::Read;
                            nature != Nature::Once && !std::mem::replace(&mut has_reconnected, true)
                        }
                    };
                    if again {
                        tries += 1;
                        continue;
                    }
                    fault
                }
            };
            return Err(if is_unknown { fault.with_unknown_outcome() } else { fault });
        }
    }

    async fn try_run(&self, lane: Lane, nature: Nature, call: &Call) -> Result<Answer, (Fault, Trace)> {
        let mut lent = self.lend(lane).await.map_err(|fault| (fault, Trace::None))?;
        let mut has_answered = false;
        let run = self.run_on(&mut lent, call, &mut has_answered);
        let outcome = match within(&SystemClock, self.limits.patience(), run).await {
            Some(outcome) => outcome,
            None => return Err((Fault::too_slow(nature != Nature::Read), Trace::None)),
        };
        match outcome {
            Ok(answer) => {
                self.give_back(lent);
                Ok(answer)
            }
            Err(fault) => {
                let trace = fault.trace(has_answered);
                match trace {
                    // Within BEGIN it may still be in that transaction.
                    Trace::None if !self.is_pooled => self.give_back(lent),
                    Trace::None => {}
                    Trace::Unsent | Trace::Unknown => self.forget_idle(),
                }
                Err((fault, trace))
            }
        }
    }

    async fn run_on(
        &self,
        connection: &mut PgConnection,
        call: &Call,
        has_answered: &mut bool,
    ) -> Result<Answer, Fault> {
        if !self.is_pooled {
            return self.execute(connection, call, has_answered).await;
        }
        let begin = if call.is_read() { Statement::BeginRead } else { Statement::Begin };
        self.command(connection, begin).await?;
        // Until COMMIT is sent nothing is changed, whatever the end.
        let answer = self.execute(connection, call, &mut false).await?;
        *has_answered = true;
        self.command(connection, Statement::Commit).await?;
        Ok(answer)
    }

    /// Runs a statement on a connection, and tells whether anything came back.
    pub(super) async fn execute(
        &self,
        connection: &mut PgConnection,
        call: &Call,
        has_answered: &mut bool,
    ) -> Result<Answer, Fault> {
        if let Some(fault) = &call.fault {
            return Err(fault.clone());
        }
        let query = sqlx::query_with(self.statements.text(call.statement), call.arguments.clone());
        // On a host's connection a plan for reading that was made while the tables were small would be
        // kept when they are large.
        let is_kept = !(self.is_pooled || (self.is_hosted() && call.is_read()));
        let mut stream = connection.fetch_many(query.persistent(is_kept));
        let mut answer = Answer::default();
        while let Some(part) = stream.try_next().await.map_err(fault)? {
            *has_answered = true;
            match part {
                Either::Right(row) => answer.rows.push(row),
                Either::Left(result) => answer.changed += result.rows_affected(),
            }
        }
        Ok(answer)
    }

    /// Runs a statement without parameters, as one message.
    pub(super) async fn command(
        &self,
        connection: &mut PgConnection,
        statement: Statement,
    ) -> Result<(), Fault> {
        connection.execute(sqlx::raw_sql(self.statements.text(statement))).await.map_err(fault)?;
        Ok(())
    }

    /// Opens a transaction of several statements.
    pub(super) async fn begin(&self, statement: Statement) -> Result<Work<'_>, Fault> {
        let mut has_reconnected = false;
        loop {
            let mut lent = self.lend(Lane::Common).await?;
            match self.command(&mut lent, statement).await {
                Ok(()) => return Ok(Work { source: self, lent }),
                Err(fault) => {
                    let trace = fault.trace(false);
                    drop(lent);
                    // Nothing can be lost with a BEGIN.
                    if trace == Trace::None || std::mem::replace(&mut has_reconnected, true) {
                        return Err(fault);
                    }
                    self.forget_idle();
                }
            }
        }
    }

    /// Runs reads in a transaction of their own, again on another connection when the first was lost.
    pub(super) async fn read_at_once<T, F>(&self, act: impl Fn() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut has_reconnected = false;
        loop {
            let done = within(&SystemClock, self.limits.patience(), act()).await;
            match done.unwrap_or_else(|| Err(Fault::too_slow(false))) {
                // Whatever a lost connection may have done, it was a read.
                Err(fault) if fault.trace(false) != Trace::None && !has_reconnected => {
                    has_reconnected = true;
                    self.forget_idle();
                }
                outcome => return outcome.map_err(Fault::of_read),
            }
        }
    }

    /// Runs what is a transaction, again when others were in its way.
    pub(super) async fn transact<T, F>(&self, act: impl Fn() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut tries = 1;
        loop {
            let done = within(&SystemClock, self.limits.patience(), act()).await;
            match done.unwrap_or_else(|| Err(Fault::too_slow(true))) {
                Err(fault) if fault.is_collision() && tries < MOST_TRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }
}

impl Call {
    fn is_read(&self) -> bool {
        use Statement::{Audit, Claimed, Get, GetExecutions, Held, List, ListEnded, ListOwner};
        use Statement::{ListQueued, ListRunning, Nodes};
        matches!(
            self.statement,
            Audit
                | Claimed
                | Get
                | GetExecutions
                | Held
                | List
                | ListEnded
                | ListOwner
                | ListQueued
                | ListRunning
                | Nodes
        )
    }
}

/// A transaction. Dropped, it is rolled back with its connection.
pub(super) struct Work<'s> {
    source: &'s Source,
    lent: Lent,
}

impl Work<'_> {
    pub(super) async fn run(&mut self, call: &Call) -> Result<Answer, Fault> {
        self.source.execute(&mut self.lent, call, &mut false).await
    }

    pub(super) async fn commit(mut self) -> Result<(), Fault> {
        match self.source.command(&mut self.lent, Statement::Commit).await {
            Ok(()) => {
                self.source.give_back(self.lent);
                Ok(())
            }
            Err(fault) => {
                let is_unknown = fault.trace(true) == Trace::Unknown;
                Err(if is_unknown { fault.with_unknown_outcome() } else { fault })
            }
        }
    }
}
