//! Taking jobs, and giving them back.

use super::link::{Call, Nature};
use super::source::{Lane, Source};
use super::statements::Statement;
use crate::id::JobId;
use crate::store::sql::{Cells, Fault, Taken, claimed, epoch};
use crate::store::{Claim, ClaimedJob, Release, Signal};

/// Takes queued jobs, or with `over` those that nobody alive holds.
pub(super) async fn take(
    source: &Source,
    claim: &Claim,
    over: bool,
) -> Result<(Vec<ClaimedJob>, Vec<Signal>), Fault> {
    let call = Call::new(Statement::Take)
        .bind(claim.incarnation.as_uuid())
        .bind(&claim.executors)
        .bind(i64::from(claim.limit))
        .bind(over)
        .bind(claim.running.iter().map(JobId::as_str).collect::<Vec<_>>());
    let answer = source.run(Lane::Common, Nature::Once, &call).await?;
    let taken = answer.rows().map(|row| Taken::read(row, claim.incarnation));
    let mut taken = taken.collect::<Result<Vec<_>, _>>().map_err(Fault::after_commit)?;
    taken.sort_by_key(|job| job.seq);
    let signals = taken.iter().map(|job| Signal::Job(job.id.clone())).collect();
    // The jobs are taken: who cannot be told must ask what it holds.
    let jobs = with_executions(source, claim, taken).await.map_err(Fault::after_commit)?;
    Ok((jobs, signals))
}

/// Reads the executions of jobs that were taken. A job that was lost or cancelled since is left
/// out: it is as if that had happened right after the answer.
async fn with_executions(
    source: &Source,
    claim: &Claim,
    taken: Vec<Taken>,
) -> Result<Vec<ClaimedJob>, Fault> {
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let call = Call::new(Statement::Claimed)
        .bind(taken.iter().map(|job| job.seq).collect::<Vec<_>>())
        .bind(taken.iter().map(|job| epoch(job.fence)).collect::<Vec<_>>())
        .bind(claim.incarnation.as_uuid());
    let answer = source.run(Lane::Common, Nature::Read, &call).await?;
    let mut jobs: Vec<_> = taken
        .into_iter()
        .map(|Taken { id, fence, started_at, rules, .. }| ClaimedJob {
            id,
            fence,
            rules,
            read_at: started_at,
            started_at,
            executions: Vec::new(),
        })
        .collect();
    for row in answer.rows() {
        let place: usize = row.count(0)?;
        if let Some(job) = place.checked_sub(1).and_then(|place| jobs.get_mut(place)) {
            job.read_at = row.time(10)?;
            job.executions.push(claimed(row, 1)?);
        }
    }
    jobs.retain(|job| !job.executions.is_empty());
    Ok(jobs)
}

pub(super) async fn release(source: &Source, release: &Release) -> Result<(bool, Vec<Signal>), Fault> {
    let mut sealed: Vec<_> = release.sealed.iter().map(|attempt| attempt.as_uuid()).collect();
    sealed.sort_unstable();
    sealed.dedup();
    let call = Call::new(Statement::Release)
        .bind(release.job.as_str())
        .bind(release.fence.incarnation.as_uuid())
        .bind(epoch(release.fence))
        .bind(sealed);
    let answer = source.run(Lane::Common, Nature::Once, &call).await?;
    let row = answer.row()?;
    let mut signals = Vec::new();
    let released = row.flag(0)?;
    if released {
        signals.push(Signal::Queued);
    }
    if row.flag(1)? {
        signals.push(Signal::StopsDue);
    }
    Ok((released, signals))
}
