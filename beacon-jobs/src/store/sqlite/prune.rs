//! Forgetting what is over.

use std::time::Duration;

use super::codec::{keys, nanos_before};
use super::link::Link;
use super::own::Done;
use super::statements;
use crate::clock::Clock;
use crate::store::sql::Cells;

/// After so many executions a transaction ends, so that others get their turn.
const MOST_EXECUTIONS: u64 = 2_000;
/// The most jobs in one transaction.
const MOST_JOBS: u32 = 100;

/// Deletes some jobs, and the ended nodes to which nothing refers. Returns how many jobs; the
/// caller asks again until there are none.
pub(super) async fn prune(link: &mut Link<'_>, clock: &dyn Clock, keep: Duration, limit: u32) -> Done<u64> {
    link.run(link.call(statements::BEGIN)).await?;
    let call =
        link.call(statements::PRUNE_PICK).bind(nanos_before(clock.now(), keep)).bind(limit.min(MOST_JOBS));
    let answers = link.run(call).await?;
    let mut executions = 0;
    let mut jobs = 0;
    for row in answers.rows(0) {
        if executions >= MOST_EXECUTIONS {
            break;
        }
        executions += row.count::<u64>(1)?;
        jobs += 1;
        let seq = row.long(0)?;
        let (first, last) = keys(seq);
        link.run(link.call(statements::PRUNE_JOB).bind(first).bind(last).bind(seq)).await?;
    }
    link.run(link.call(statements::PRUNE_NODES)).await?;
    Ok((jobs, Vec::new()))
}
