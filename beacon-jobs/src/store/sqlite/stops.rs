//! Open stops as work items.

use std::collections::HashMap;
use std::fmt::Display;

use time::OffsetDateTime;
use uuid::Uuid;

use super::codec::{self, Cells, json, nanos, nanos_after, nanos_before};
use super::error::Fault;
use super::link::{Answers, Link};
use super::own::Done;
use super::{nodes, sql};
use crate::clock::Clock;
use crate::id::{AttemptId, IncarnationId, JobId};
use crate::job::{Progress, StopCounts};
use crate::stop::{Minter, StopItem, StopState};
use crate::store::TakeStops;

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
            let minter = minter(now, row.time(1)?, row.optional_time(2)?, row.get(3)?);
            nodes.insert(row.incarnation(0)?, (minter, row.get(4)?));
        }
        Ok(Self { now, nodes })
    }

    /// What is known of a minter, and its host.
    pub(super) fn of(&self, incarnation: IncarnationId) -> (Minter, String) {
        // Only an ended node's row is ever deleted, and only when no attempt refers to it.
        self.nodes.get(&incarnation).cloned().unwrap_or((Minter::Expired(self.now), String::new()))
    }
}

/// What is known of a node with this lease, and this end.
fn minter(
    now: OffsetDateTime,
    lease_until: OffsetDateTime,
    ended_at: Option<OffsetDateTime>,
    how: Option<&str>,
) -> Minter {
    match ended_at {
        Some(_) if how == Some(nodes::ABANDONED) => Minter::Expired(lease_until),
        Some(at) => Minter::Ended(at),
        None if now < lease_until => Minter::Alive,
        None => Minter::Expired(lease_until),
    }
}

/// Reads the columns of `item!()`.
pub(super) fn item(row: &Cells<'_>, minters: &Minters) -> Result<StopItem, Fault> {
    let incarnation = row.incarnation(4)?;
    let (minter, host) = minters.of(incarnation);
    Ok(StopItem {
        read_at: minters.now,
        attempt: row.attempt(2)?,
        job: row.job(0)?,
        index: codec::index(row.int(1)?),
        executor: row.get(3)?,
        incarnation,
        minter,
        host,
        handle: row.optional_json(5)?,
        sealed: row.optional_word(6)?,
        state: row.word(7)?,
        mode: row.word(8)?,
        force_at: row.time(9)?,
        requested_at: row.time(10)?,
        tries: row.count(11)?,
        evidence: row.optional_json(12)?,
    })
}

/// Reads the rows of `stop_counts!()`. Cancelled executions that have no stop needed none.
pub(super) fn counts(answers: &Answers, statement: usize, cancelled: u64) -> Result<StopCounts, Fault> {
    let mut counts = StopCounts::default();
    let mut cancelled_with_stop = 0;
    for row in answers.rows(statement) {
        counts.add(row.word(0)?, row.int(1)? != 0, row.count(2)?);
        cancelled_with_stop += row.count::<u64>(3)?;
    }
    counts.add(StopState::NotNeeded, true, cancelled.saturating_sub(cancelled_with_stop));
    Ok(counts)
}

/// Leaves out what cannot be read, and says so: one damaged row must not keep all others from being
/// stopped.
pub(super) fn readable(items: impl Iterator<Item = Result<StopItem, Fault>>) -> Vec<StopItem> {
    let mut readable = Vec::with_capacity(items.size_hint().0);
    for item in items {
        match item {
            Ok(item) => readable.push(item),
            Err(fault) => tracing::error!(%fault, "an open stop cannot be driven"),
        }
    }
    readable
}

pub(super) async fn take(link: &mut Link<'_>, clock: &dyn Clock, take: &TakeStops) -> Done<Vec<StopItem>> {
    link.run(link.call(sql::BEGIN)).await?;
    let now = clock.now();
    let call = link
        .call(sql::TAKE_STOPS)
        .bind(nanos(now))
        .bind(json(&take.executors))
        .bind(take.limit)
        .bind(nanos_after(now, take.hold))
        .bind(json(&take.host_bound.executors))
        .bind(take.host_bound.here.clone())
        .bind(nanos_before(now, take.host_bound.missing_after));
    let answers = link.run(call).await?;
    let minters = Minters::read(&answers, 1, now)?;
    Ok((readable(answers.rows(0).map(|row| item(&row, &minters))), Vec::new()))
}

/// Adds a row of a status and how many executions have it.
pub(super) fn add_progress(progress: &mut Progress, row: &Cells<'_>, first: usize) -> Result<(), Fault> {
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
        readable(lines.lines().map(|line| self.item(line)))
    }

    fn item(&self, line: &str) -> Result<StopItem, Fault> {
        let mut fields = line.split('\t');
        let mut field = || fields.next().ok_or_else(|| unreadable("it has too few fields"));
        let index = codec::index(field()?.parse().map_err(unreadable)?);
        let attempt = AttemptId::from_uuid(Uuid::parse_str(field()?).map_err(unreadable)?);
        let incarnation = IncarnationId::from_uuid(Uuid::parse_str(field()?).map_err(unreadable)?);
        let executor = field()?.to_owned();
        let lease_until = present(field()?).map(str::parse).transpose().map_err(unreadable)?;
        let ended_at = present(field()?).map(str::parse).transpose().map_err(unreadable)?;
        let ended_how = present(field()?);
        let host = field()?.to_owned();
        let sealed = present(field()?).map(str::parse).transpose().map_err(unreadable)?;
        let handle = present(field()?).map(serde_json::from_str).transpose().map_err(unreadable)?;
        // Only an ended node's row is ever deleted, and only when no attempt refers to it.
        let lease_until = lease_until.map_or(self.now, codec::time);
        Ok(StopItem {
            read_at: self.now,
            attempt,
            job: self.job.clone(),
            index,
            executor,
            incarnation,
            minter: minter(self.now, lease_until, ended_at.map(codec::time), ended_how),
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
