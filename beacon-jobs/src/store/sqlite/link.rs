//! A transaction on a connection: the store's own, or a savepoint in one of the host program.

use futures_util::TryStreamExt;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Either, Encode, Executor, Sqlite, Type};

use super::error::fault;
use super::statements::{self, Step};
use crate::store::sql::Fault;

/// A connection with at most one transaction of ours open on it.
pub(super) struct Link<'c> {
    connection: &'c mut SqliteConnection,
    is_host: bool,
    is_open: bool,
    has_begun: bool,
    is_broken: bool,
    commits: u64,
}

/// A step with its parameters.
pub(super) struct Call {
    step: Step,
    query: Query<'static, Sqlite, SqliteArguments>,
}

impl Call {
    pub(super) fn bind<T>(self, value: T) -> Self
    where
        T: Encode<'static, Sqlite> + Type<Sqlite> + 'static,
    {
        Self { step: self.step, query: self.query.bind(value) }
    }
}

/// What the statements of a script brought, one after another.
#[derive(Debug, Default)]
pub(super) struct Answers {
    statements: Vec<Answer>,
}

#[derive(Debug, Default)]
struct Answer {
    rows: Vec<SqliteRow>,
    changed: u64,
}

impl Answers {
    /// The rows of a statement.
    pub(super) fn rows(&self, statement: usize) -> impl ExactSizeIterator<Item = &SqliteRow> {
        self.statements.get(statement).map_or(&[][..], |answer| &answer.rows).iter()
    }

    /// The first row of a statement.
    pub(super) fn row(&self, statement: usize) -> Option<&SqliteRow> {
        self.rows(statement).next()
    }

    /// How many rows a statement inserted, updated or deleted.
    pub(super) fn changed(&self, statement: usize) -> u64 {
        self.statements.get(statement).map_or(0, |answer| answer.changed)
    }
}

impl<'c> Link<'c> {
    pub(super) fn own(connection: &'c mut SqliteConnection) -> Self {
        Self::new(connection, false)
    }

    pub(super) fn host(connection: &'c mut SqliteConnection) -> Self {
        Self::new(connection, true)
    }

    fn new(connection: &'c mut SqliteConnection, is_host: bool) -> Self {
        Self { connection, is_host, is_open: false, has_begun: false, is_broken: false, commits: 0 }
    }

    /// A savepoint inside the transaction that is open.
    pub(super) fn nested(&mut self) -> Link<'_> {
        Link::host(self.connection)
    }

    pub(super) fn call(&self, step: Step) -> Call {
        let sql = if self.is_host { step.host } else { step.own };
        Call { step, query: sqlx::query(sql) }
    }

    /// Runs a step. When it fails, everything since the transaction began is undone.
    pub(super) async fn run(&mut self, call: Call) -> Result<Answers, Fault> {
        let Call { step, query } = call;
        let mut answers = Answers::default();
        let outcome = collect(self.connection, query, &mut answers).await;
        // What the words of the transaction brought is of no interest.
        let opening = if !step.opens {
            0
        } else if self.is_host {
            2
        } else {
            1
        };
        let done = answers.statements.len();
        self.is_open |= step.opens && done > 0;
        self.has_begun |= self.is_open;
        match outcome {
            Ok(()) => {
                self.is_open &= !step.closes;
                self.commits += u64::from(step.closes);
                answers.statements.drain(..opening.min(done));
                Ok(answers)
            }
            Err(error) => {
                let sql = if self.is_host { step.host } else { step.own };
                // The last statement of a closing step is the COMMIT.
                let at_commit = step.closes && done == sql.matches("; ").count();
                Err(self.failed(fault(error), at_commit).await)
            }
        }
    }

    /// Ends the transaction without a change.
    pub(super) async fn rollback(&mut self) -> Result<(), Fault> {
        if !self.is_open {
            return Ok(());
        }
        self.is_open = false;
        let sql = if self.is_host { statements::ROLLBACK_TO } else { statements::ROLLBACK };
        self.connection.execute(sql).await.map(drop).map_err(fault)
    }

    async fn failed(&mut self, fault: Fault, at_commit: bool) -> Fault {
        let undone = self.is_undone().await;
        // In a transaction of the host program nothing is committed by us.
        if at_commit && !self.is_host && !(undone && fault.is_certain_before_commit()) {
            self.is_broken = true;
            return fault.with_unknown_outcome();
        }
        fault
    }

    /// Rolls back, and tells whether that is certain.
    async fn is_undone(&mut self) -> bool {
        let is_undone = match self.rollback().await {
            Ok(()) => true,
            // On some errors SQLite has rolled back by itself.
            Err(fault) => fault.says("no transaction is active"),
        };
        self.is_broken |= !is_undone;
        is_undone
    }

    /// Ends what a failed call left open, and hands its result on.
    pub(super) async fn settle<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        let Err(fault) = result else { return result };
        self.is_undone().await;
        // What was committed, and could not be read back, did happen.
        Err(if self.commits > 0 && !self.is_host { fault.after_commit() } else { fault })
    }

    /// Whether a transaction was ever opened.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// How many transactions were committed.
    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    /// Whether the connection is of no use any more.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }
}

/// Runs a script on a connection outside of any transaction of ours.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    query: Query<'static, Sqlite, SqliteArguments>,
) -> Result<Answers, Fault> {
    let mut answers = Answers::default();
    collect(connection, query, &mut answers).await.map_err(fault)?;
    Ok(answers)
}

async fn collect(
    connection: &mut SqliteConnection,
    query: Query<'static, Sqlite, SqliteArguments>,
    answers: &mut Answers,
) -> Result<(), sqlx::Error> {
    let mut stream = connection.fetch_many(query);
    let mut rows = Vec::new();
    while let Some(part) = stream.try_next().await? {
        match part {
            Either::Right(row) => rows.push(row),
            Either::Left(result) => answers
                .statements
                .push(Answer { rows: std::mem::take(&mut rows), changed: result.rows_affected() }),
        }
    }
    Ok(())
}
