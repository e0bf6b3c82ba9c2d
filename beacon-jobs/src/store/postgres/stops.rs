//! Open stops as work items, and what comes of them.

use std::collections::HashMap;

use time::OffsetDateTime;

use super::codec::{Cells, index, int, interval, json, text};
use super::error::Fault;
use super::link::{Answer, Call, Nature, Work};
use super::source::{Lane, Source};
use super::sql::Statement;
use super::{codec, nodes};
use crate::id::AttemptId;
use crate::job::StopCounts;
use crate::stop::{Minter, StopItem, StopState};
use crate::store::rules::{AttemptRow, Rows, StopRow};
use crate::store::{CloseStop, CloseStopOutcome, Signal, StopUpdate, TakeStops};

/// Reads a row of `beacon_items`.
pub(super) fn item(row: &Cells<'_>) -> Result<StopItem, Fault> {
    let now = row.time(13)?;
    Ok(StopItem {
        read_at: now,
        attempt: row.attempt(2)?,
        job: row.job(0)?,
        index: index(row.long(1)?),
        executor: row.get(3)?,
        incarnation: row.incarnation(4)?,
        minter: minter(now, row.get(14)?, row.get(15)?, row.get(16)?),
        host: row.get::<Option<String>>(17)?.unwrap_or_default(),
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

/// What is known of a node with this lease, and this end.
fn minter(
    now: OffsetDateTime,
    lease_until: Option<OffsetDateTime>,
    ended_at: Option<OffsetDateTime>,
    how: Option<&str>,
) -> Minter {
    // Only an ended node's row is ever deleted, and only when no attempt refers to it.
    let Some(lease_until) = lease_until else { return Minter::Expired(now) };
    match ended_at {
        Some(_) if how == Some(nodes::ABANDONED) => Minter::Expired(lease_until),
        Some(at) => Minter::Ended(at),
        None if now < lease_until => Minter::Alive,
        None => Minter::Expired(lease_until),
    }
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

/// Reads what `beacon_stop_counts` tells. Cancelled executions that have no stop needed none.
pub(super) fn counts(text: Option<&str>, cancelled: u64) -> Result<StopCounts, Fault> {
    let mut counts = StopCounts::default();
    let mut cancelled_with_stop = 0;
    if let Some(text) = text {
        let rows: Vec<(String, bool, u64, u64)> = serde_json::from_str(text)
            .map_err(|error| Fault::corrupt(format!("counts of stops cannot be read: {error}")))?;
        for (state, settled, count, of_cancelled) in rows {
            let state: StopState =
                state.parse().map_err(|error| Fault::corrupt(format!("a stop: {error}")))?;
            counts.add(state, settled, count);
            cancelled_with_stop += of_cancelled;
        }
    }
    counts.add(StopState::NotNeeded, true, cancelled.saturating_sub(cancelled_with_stop));
    Ok(counts)
}

pub(super) async fn take(source: &Source, take: &TakeStops) -> Result<Vec<StopItem>, Fault> {
    let call = Call::new(Statement::TakeStops)
        .bind(&take.executors)
        .bind(interval(take.hold))
        .bind(i64::from(take.limit))
        .bind(&take.host_bound.executors)
        .bind(&take.host_bound.here)
        .bind(interval(take.host_bound.missing_after));
    let answer = source.run(Lane::Common, Nature::Once, &call).await?;
    Ok(readable(answer.rows().map(|row| item(&row))))
}

/// Attempts as the rules change them, with what the rules do not know of.
struct Loaded {
    rows: Rows,
    keys: HashMap<AttemptId, i64>,
    now: OffsetDateTime,
}

impl Loaded {
    /// Locks the attempts and reads them.
    async fn load(work: &mut Work<'_>, ids: Vec<AttemptId>) -> Result<Self, Fault> {
        let mut ids: Vec<_> = ids.iter().map(AttemptId::as_uuid).collect();
        ids.sort_unstable();
        ids.dedup();
        let answer: Answer = work.run(&Call::new(Statement::LoadAttempts).bind(ids)).await?;
        let mut loaded =
            Self { rows: Rows::default(), keys: HashMap::new(), now: OffsetDateTime::UNIX_EPOCH };
        for row in answer.rows() {
            let attempt = attempt(&row)?;
            loaded.keys.insert(attempt.id, row.long(1)?);
            loaded.now = loaded.now.max(row.time(21)?);
            loaded.rows.attempts.insert(attempt.id, attempt);
        }
        Ok(loaded)
    }

    /// Writes back what changed.
    async fn store(&self, work: &mut Work<'_>) -> Result<(), Fault> {
        let changed = self.rows.changes.attempts.iter();
        let changed: Vec<(i64, &AttemptRow, &StopRow)> = changed
            .filter_map(|id| {
                let attempt = self.rows.attempts.get(id)?;
                Some((*self.keys.get(id)?, attempt, attempt.stop.as_ref()?))
            })
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        fn column<'a, T>(
            rows: &[(i64, &'a AttemptRow, &'a StopRow)],
            of: impl Fn(i64, &'a AttemptRow, &'a StopRow) -> T,
        ) -> Vec<T> {
            rows.iter().map(|(key, attempt, stop)| of(*key, attempt, stop)).collect()
        }
        let rows = &changed[..];
        let call = Call::new(Statement::StoreStops)
            .bind(column(rows, |key, _, _| key))
            .bind(column(rows, |_, attempt, _| int(attempt.number)))
            .bind(column(rows, |_, attempt, _| attempt.sealed.map(|by| by.as_str())))
            .bind(column(rows, |_, _, stop| stop.state.as_str()))
            .bind(column(rows, |_, _, stop| stop.settled))
            .bind(column(rows, |_, _, stop| stop.mode.as_str()))
            .bind(column(rows, |_, _, stop| stop.force_at))
            .bind(column(rows, |_, _, stop| stop.requested_at))
            .bind(column(rows, |_, _, stop| stop.due_at))
            .bind(column(rows, |_, _, stop| int(stop.tries)))
            .bind(column(rows, |_, _, stop| stop.confirmed_at))
            .bind(column(rows, |_, _, stop| stop.evidence.as_ref().map(json)))
            .bind(column(rows, |_, _, stop| stop.why.as_deref().map(text)));
        work.run(&call).await.map(drop)
    }
}

/// Reads a row of `beacon_load_attempts`.
fn attempt(row: &Cells<'_>) -> Result<AttemptRow, Fault> {
    Ok(AttemptRow {
        id: row.attempt(3)?,
        job: row.job(0)?,
        index: codec::index(row.long(1)?),
        executor: row.get(6)?,
        number: row.count(2)?,
        fence: row.fence(4)?.ok_or_else(|| Fault::corrupt("an attempt has no incarnation"))?,
        started_at: row.time(7)?,
        handle: row.optional_json(8)?,
        sealed: row.optional_word(9)?,
        late_output: row.optional_json(10)?,
        stop: stop(row)?,
    })
}

fn stop(row: &Cells<'_>) -> Result<Option<StopRow>, Fault> {
    let Some(state) = row.optional_word(11)? else { return Ok(None) };
    Ok(Some(StopRow {
        state,
        settled: row.get(12)?,
        mode: row.word(13)?,
        force_at: row.time(14)?,
        requested_at: row.time(15)?,
        due_at: row.get(16)?,
        tries: row.count(17)?,
        confirmed_at: row.get(18)?,
        evidence: row.optional_json(19)?,
        why: row.get(20)?,
    }))
}

pub(super) async fn record(
    source: &Source,
    updates: &[StopUpdate],
) -> Result<(Vec<Option<StopState>>, Vec<Signal>), Fault> {
    source
        .transact(|| async {
            let mut work = source.begin(Statement::Begin).await?;
            let mut loaded =
                Loaded::load(&mut work, updates.iter().map(|update| update.attempt).collect()).await?;
            let now = loaded.now;
            let states = updates.iter().map(|update| loaded.rows.record_stop(now, update)).collect();
            loaded.store(&mut work).await?;
            work.commit().await?;
            Ok((states, loaded.rows.changes.signals))
        })
        .await
}

pub(super) async fn close(
    source: &Source,
    close: &CloseStop,
) -> Result<(CloseStopOutcome, Vec<Signal>), Fault> {
    source
        .transact(|| async {
            let mut work = source.begin(Statement::Begin).await?;
            let mut loaded = Loaded::load(&mut work, vec![close.attempt]).await?;
            let outcome = loaded.rows.close_stop(close);
            if outcome == CloseStopOutcome::Closed {
                loaded.store(&mut work).await?;
                let seq = loaded.keys.get(&close.attempt).map_or(0, |key| key.div_euclid(codec::KEYS));
                let call = Call::new(Statement::StopClosed)
                    .bind(seq)
                    .bind(text(&close.by))
                    .bind(text(&close.reason))
                    .bind(close.attempt.as_uuid());
                work.run(&call).await?;
            }
            work.commit().await?;
            Ok((outcome, loaded.rows.changes.signals))
        })
        .await
}
