//! Open stops as work items.

use std::collections::HashMap;
use std::fmt::Display;

use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::codec::{self, nanos, nanos_after, nanos_before};
use super::link::{Answers, Link};
use super::own::Done;
use super::statements;
use crate::clock::Clock;
use crate::id::{AttemptId, IncarnationId, JobId};
use crate::job::{Progress, StopCounts};
use crate::stop::{Minter, StopItem, StopState};
use crate::store::TakeStops;
use crate::store::sql::{self, Cells, Fault, json};

/// What is known of those who minted attempts.
#[derive(Debug)]
pub(super) struct Minters {
    now: OffsetDateTime,
    nodes: HashMap<IncarnationId, (Minter, String)>,
}

impl Minters {
    /// Reads the rows of `minters!()`.
    pub(super) fn read(answers: &Answers, statement: usize, now: OffsetDateTime) -> Result<Self, Fault> {
        let mut nodes = HashMap::new();
        for row in answers.rows(statement) {
            let minter =
                sql::minter(now, row.optional_time(1)?, row.optional_time(2)?, row.optional_text(3)?);
            nodes.insert(row.incarnation(0)?, (minter, row.string(4)?));
        }
        Ok(Self { now, nodes })
    }

    /// What is known of a minter, and its host.
    pub(super) fn of(&self, incarnation: IncarnationId) -> (Minter, String) {
        // Only an ended node's row is ever deleted, and only when no attempt refers to it.
        self.nodes.get(&incarnation).cloned().unwrap_or((Minter::Expired(self.now), String::new()))
    }
}

/// Reads the columns of `item!()`.
pub(super) fn item(row: &SqliteRow, minters: &Minters) -> Result<StopItem, Fault> {
    let (minter, host) = minters.of(row.incarnation(4)?);
    sql::item(row, minters.now, minter, host)
}

/// Reads the rows of `stop_counts!()`.
pub(super) fn counts(answers: &Answers, statement: usize, cancelled: u64) -> Result<StopCounts, Fault> {
    let rows = answers.rows(statement);
    let rows = rows.map(|row| Ok((row.word(0)?, row.flag(1)?, row.count(2)?, row.count(3)?)));
    sql::stop_counts(rows, cancelled)
}

pub(super) async fn take(link: &mut Link<'_>, clock: &dyn Clock, take: &TakeStops) -> Done<Vec<StopItem>> {
    link.run(link.call(statements::BEGIN)).await?;
    let now = clock.now();
    let call = link
        .call(statements::TAKE_STOPS)
        .bind(nanos(now))
        .bind(json(&take.executors))
        .bind(take.limit)
        .bind(nanos_after(now, take.hold))
        .bind(json(&take.host_bound.executors))
        .bind(take.host_bound.here.clone())
        .bind(nanos_before(now, take.host_bound.missing_after));
    let answers = link.run(call).await?;
    let minters = Minters::read(&answers, 1, now)?;
    Ok((sql::readable(answers.rows(0).map(|row| item(row, &minters))), Vec::new()))
}

/// Adds a row of a status and how many executions have it.
pub(super) fn add_progress(progress: &mut Progress, row: &SqliteRow, first: usize) -> Result<(), Fault> {
    progress.add(row.status(first)?, row.count(first + 1)?);
    Ok(())
}

/// The items of stops that a cancel opened: attempts that were under way.
pub(super) struct Opened<'a> {
    pub(super) job: &'a JobId,
    pub(super) mode: crate::cancel::StopMode,
    pub(super) now: OffsetDateTime,
    pub(super) force_at: OffsetDateTime,
}

impl Opened<'_> {
    /// Reads the text of `opened!()`. Neither a tab nor the end of a line can stand in a field, for
    /// JSON escapes both.
    pub(super) fn items(&self, lines: &str) -> Vec<StopItem> {
        sql::readable(lines.lines().map(|line| self.item(line)))
    }

    fn item(&self, line: &str) -> Result<StopItem, Fault> {
        let mut fields = line.split('\t');
        let mut field = || fields.next().ok_or_else(|| unreadable("it has too few fields"));
        let index = sql::index(field()?.parse().map_err(unreadable)?);
        let attempt = AttemptId::from_uuid(Uuid::parse_str(field()?).map_err(unreadable)?);
        let incarnation = IncarnationId::from_uuid(Uuid::parse_str(field()?).map_err(unreadable)?);
        let executor = field()?.to_owned();
        let lease_until = present(field()?).map(str::parse).transpose().map_err(unreadable)?;
        let ended_at = present(field()?).map(str::parse).transpose().map_err(unreadable)?;
        let ended_how = present(field()?);
        let host = field()?.to_owned();
        let sealed = present(field()?).map(str::parse).transpose().map_err(unreadable)?;
        let handle = present(field()?).map(serde_json::from_str).transpose().map_err(unreadable)?;
        let (lease_until, ended_at) = (lease_until.map(codec::time), ended_at.map(codec::time));
        Ok(StopItem {
            read_at: self.now,
            attempt,
            job: self.job.clone(),
            index,
            executor,
            incarnation,
            minter: sql::minter(self.now, lease_until, ended_at, ended_how),
            host,
            handle,
            sealed,
            state: StopState::Requested,
            mode: self.mode,
            force_at: self.force_at,
            requested_at: self.now,
            tries: 0,
            evidence: None,
        })
    }
}

/// A field that is not empty.
fn present(field: &str) -> Option<&str> {
    Some(field).filter(|field| !field.is_empty())
}

fn unreadable(error: impl Display) -> Fault {
    Fault::corrupt(format!("an attempt cannot be read: {error}"))
}
