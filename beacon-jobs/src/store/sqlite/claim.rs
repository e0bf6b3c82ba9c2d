//! Taking jobs, and giving them back.

use sqlx::sqlite::SqlitePool;

use super::codec::{blob, nanos};
use super::error::fault;
use super::link::{self, Link};
use super::own::Done;
use super::rows::{WorkingSet, attempt_ids};
use super::statements::{self, Step};
use crate::clock::Clock;
use crate::stop::SealedBy;
use crate::store::sql::{Fault, Taken, claimed, epoch, json};
use crate::store::{Claim, ClaimedJob, Release, Seal, Signal};

pub(super) async fn take(
    link: &mut Link<'_>,
    clock: &dyn Clock,
    claim: &Claim,
    step: Step,
) -> Done<Vec<Taken>> {
    link.run(link.call(statements::BEGIN)).await?;
    let call = link
        .call(step)
        .bind(blob(claim.incarnation.as_uuid()))
        .bind(nanos(clock.now()))
        .bind(json(&claim.executors))
        .bind(claim.limit)
        .bind(json(&claim.running));
    let answers = link.run(call).await?;
    let taken = answers.rows(0).map(|row| Taken::read(row, claim.incarnation));
    let mut taken = taken.collect::<Result<Vec<_>, _>>()?;
    taken.sort_by_key(|job| job.seq);
    let signals = taken.iter().map(|job| Signal::Job(job.id.clone())).collect();
    Ok((taken, signals))
}

/// Reads the executions of jobs that were taken. A job that was lost or cancelled since is left
/// out: it is as if that had happened right after the answer. When this fails, the jobs are taken, and
/// nobody knows: the caller must ask what it holds.
pub(super) async fn with_executions(
    readers: &SqlitePool,
    clock: &dyn Clock,
    taken: Vec<Taken>,
) -> Result<Vec<ClaimedJob>, Fault> {
    let mut jobs = Vec::with_capacity(taken.len());
    if taken.is_empty() {
        return Ok(jobs);
    }
    let mut reader = readers.acquire().await.map_err(|error| fault(error).after_commit())?;
    for job in taken {
        let query = sqlx::query(statements::CLAIMED)
            .bind(job.id.as_str().to_owned())
            .bind(blob(job.fence.incarnation.as_uuid()))
            .bind(epoch(job.fence));
        let answers = link::read(&mut reader, query).await.map_err(Fault::after_commit)?;
        let executions = answers.rows(0).map(|row| claimed(row, 0)).collect::<Result<Vec<_>, _>>();
        let executions = executions.map_err(Fault::after_commit)?;
        if !executions.is_empty() {
            let Taken { id, fence, rules, started_at, .. } = job;
            jobs.push(ClaimedJob { id, fence, rules, read_at: clock.now(), started_at, executions });
        }
    }
    Ok(jobs)
}

pub(super) async fn release(link: &mut Link<'_>, clock: &dyn Clock, release: &Release) -> Done<bool> {
    let call = link
        .call(statements::RELEASE)
        .bind(release.job.as_str().to_owned())
        .bind(blob(release.fence.incarnation.as_uuid()))
        .bind(epoch(release.fence));
    if link.run(call).await?.changed(0) == 0 {
        link.rollback().await?;
        return Ok((false, Vec::new()));
    }
    let now = clock.now();
    let mut set = WorkingSet::default();
    set.load_attempts(link, attempt_ids(release.sealed.iter())).await?;
    for attempt in &release.sealed {
        set.rows.seal(now, Seal { attempt: *attempt, by: SealedBy::Minter });
    }
    set.store(link).await?;
    let mut signals = std::mem::take(&mut set.rows.changes.signals);
    signals.push(Signal::Queued);
    Ok((true, signals))
}
