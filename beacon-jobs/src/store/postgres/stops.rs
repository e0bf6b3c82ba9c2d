//! Open stops as work items, and what comes of them.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::codec::{int, interval};
use super::link::{Answer, Call, Nature, Work};
use super::source::{Lane, Source};
use super::statements::Statement;
use crate::id::AttemptId;
use crate::job::StopCounts;
use crate::stop::{StopItem, StopState};
use crate::store::rules::{AttemptRow, Rows, StopRow};
use crate::store::sql::{self, Cells, Fault, json, text};
use crate::store::{CloseStop, CloseStopOutcome, Signal, StopUpdate, TakeStops};

/// Reads a row of `beacon_items`: a stop, the time, and lease, end, how that is known and host of
/// the minter.
pub(super) fn item(row: &PgRow) -> Result<StopItem, Fault> {
    let now = row.time(13)?;
    let minter = sql::minter(now, row.optional_time(14)?, row.optional_time(15)?, row.optional_text(16)?);
    sql::item(row, now, minter, row.optional_string(17)?.unwrap_or_default())
}

/// Reads what `beacon_stop_counts` tells.
pub(super) fn counts(row: &PgRow, column: usize, cancelled: u64) -> Result<StopCounts, Fault> {
    let rows: Option<Vec<(StopState, bool, u64, u64)>> = row.optional_json(column)?;
    sql::stop_counts(rows.into_iter().flatten().map(Ok), cancelled)
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
    Ok(sql::readable(answer.rows().map(item)))
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
            let attempt = sql::attempt(row, 2, row.job(0)?, sql::index(row.long(1)?))?;
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
                let seq = loaded.keys.get(&close.attempt).map_or(0, |key| key.div_euclid(sql::KEYS));
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
