use time::OffsetDateTime;

use super::nodes::ABANDONED;
use super::{Cells, Fault, codec};
use crate::job::StopCounts;
use crate::stop::{Minter, StopItem, StopState};
use crate::store::{DrivenStops, StopAge};

/// Reads a stop as a work item: job, key, attempt, executor, incarnation, handle, sealed_by, state,
/// mode, force_at, requested_at, tries, evidence.
pub(crate) fn item(
    row: &impl Cells,
    read_at: OffsetDateTime,
    minter: Minter,
    host: String,
) -> Result<StopItem, Fault> {
    Ok(StopItem {
        attempt: row.attempt(2)?,
        job: row.job(0)?,
        index: codec::index(row.long(1)?),
        executor: row.string(3)?,
        incarnation: row.incarnation(4)?,
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
        read_at,
    })
}

/// What is known of a node with this lease, and this end; of one without a row, no lease.
pub(crate) fn minter(
    now: OffsetDateTime,
    lease_until: Option<OffsetDateTime>,
    ended_at: Option<OffsetDateTime>,
    how: Option<&str>,
) -> Minter {
    // Only an ended node's row is ever deleted, and only when no attempt refers to it.
    let Some(lease_until) = lease_until else { return Minter::Expired(now) };
    match ended_at {
        Some(_) if how == Some(ABANDONED) => Minter::Expired(lease_until),
        Some(at) => Minter::Ended(at),
        None if now < lease_until => Minter::Alive,
        None => Minter::Expired(lease_until),
    }
}

/// Leaves out what cannot be read, and says so: one damaged row must not keep all others from being
/// stopped.
pub(crate) fn readable(items: impl Iterator<Item = Result<StopItem, Fault>>) -> Vec<StopItem> {
    let mut readable = Vec::with_capacity(items.size_hint().0);
    for item in items {
        match item {
            Ok(item) => readable.push(item),
            Err(fault) => tracing::error!(%fault, "an open stop cannot be driven"),
        }
    }
    readable
}

/// Reads a count of driven stops: state, class of age, count.
pub(crate) fn driven(row: &impl Cells) -> Result<DrivenStops, Fault> {
    let age = StopAge::ALL.get(row.count::<usize>(1)?).copied();
    let age = age.ok_or_else(|| Fault::corrupt("a stop has an age of no class"))?;
    Ok(DrivenStops { state: row.word(0)?, age, count: row.count(2)? })
}

/// Counts the stops of a job's executions, from a state, whether it is settled, how many executions
/// show that, and how many of these are cancelled; and so on. Of the `cancelled` executions those
/// that have no stop needed none.
pub(crate) fn stop_counts(
    rows: impl IntoIterator<Item = Result<(StopState, bool, u64, u64), Fault>>,
    cancelled: u64,
) -> Result<StopCounts, Fault> {
    let mut counts = StopCounts::default();
    let mut cancelled_with_stop = 0;
    for row in rows {
        let (state, settled, count, of_cancelled) = row?;
        counts.add(state, settled, count);
        cancelled_with_stop += of_cancelled;
    }
    counts.add(StopState::NotNeeded, true, cancelled.saturating_sub(cancelled_with_stop));
    Ok(counts)
}
