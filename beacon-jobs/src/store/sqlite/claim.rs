//! Taking jobs, and giving them back.

use time::OffsetDateTime;

use super::codec::{blob, epoch, json, nanos};
use super::error::Fault;
use super::link::{self, Answers, Link};
use super::own::Done;
use super::rows::{WorkingSet, attempt_ids};
use super::sql::{self, Step};
use crate::clock::Clock;
use crate::error::ErrorKind;
use crate::id::JobId;
use crate::job::{ExecutionSpec, JobSpec};
use crate::stop::{SealedBy, StopState};
use crate::store::{Claim, ClaimedExecution, ClaimedJob, Fence, PastAttempt, Release, Seal, Signal};
use sqlx::sqlite::SqlitePool;

/// A job that was taken, without its executions. Those are read after the commit: they may be
/// many, and a cancel must not wait for that.
#[derive(Debug)]
pub(super) struct Taken {
    seq: i64,
    id: JobId,
    fence: Fence,
    started_at: OffsetDateTime,
    rules: JobSpec,
}

pub(super) async fn take(
    link: &mut Link<'_>,
    clock: &dyn Clock,
    claim: &Claim,
    step: Step,
) -> Done<Vec<Taken>> {
    link.run(link.call(sql::BEGIN)).await?;
    let call = link
        .call(step)
        .bind(blob(claim.incarnation.as_uuid()))
        .bind(nanos(clock.now()))
        .bind(json(&claim.executors))
        .bind(claim.limit)
        .bind(json(&claim.running));
    let answers = link.run(call).await?;
    let mut taken = answers
        .rows(0)
        .map(|row| {
            Ok(Taken {
                seq: row.int(0)?,
                id: row.job(1)?,
                fence: Fence { incarnation: claim.incarnation, epoch: row.count(2)? },
                started_at: row.time(3)?,
                rules: row.json(4)?,
            })
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    taken.sort_by_key(|job| job.seq);
    let signals = taken.iter().map(|job| Signal::Job(job.id.clone())).collect();
    Ok((taken, signals))
}

/// Reads the executions of jobs that were taken. A job that was lost or cancelled since is left
/// out: it is as if that had happened right after the answer.
pub(super) async fn with_executions(
    readers: &SqlitePool,
    clock: &dyn Clock,
    taken: Vec<Taken>,
) -> Result<Vec<ClaimedJob>, Fault> {
    let mut jobs = Vec::with_capacity(taken.len());
    if taken.is_empty() {
        return Ok(jobs);
    }
    let mut reader = readers.acquire().await.map_err(|error| unread(error.into()))?;
    for job in taken {
        let query = sqlx::query(sql::CLAIMED)
            .bind(job.id.as_str().to_owned())
            .bind(blob(job.fence.incarnation.as_uuid()))
            .bind(epoch(job.fence));
        let answers = link::read(&mut reader, query).await.map_err(unread)?;
        let executions = executions(&answers).map_err(unread)?;
        if !executions.is_empty() {
            let Taken { id, fence, rules, started_at, .. } = job;
            jobs.push(ClaimedJob { id, fence, rules, read_at: clock.now(), started_at, executions });
        }
    }
    Ok(jobs)
}

/// The jobs are taken, and nobody knows: the caller must ask what it holds.
fn unread(fault: Fault) -> Fault {
    fault.with_kind(ErrorKind::OutcomeUnknown)
}

fn executions(answers: &Answers) -> Result<Vec<ClaimedExecution>, Fault> {
    answers
        .rows(0)
        .map(|row| {
            let mut spec: ExecutionSpec = row.json(2)?;
            spec.input = row.json(3)?;
            let last_attempt = match row.get::<Option<i64>>(4)? {
                None => None,
                Some(_) => Some(PastAttempt {
                    id: row.attempt(5)?,
                    number: row.count(4)?,
                    started_at: row.time(6)?,
                    handle: row.optional_json(7)?,
                    stop: row.optional_word(8)?.unwrap_or(StopState::NotNeeded),
                }),
            };
            Ok(ClaimedExecution {
                spec,
                status: row.status(0)?,
                counted_attempts: row.count(1)?,
                last_attempt,
            })
        })
        .collect()
}

pub(super) async fn release(link: &mut Link<'_>, clock: &dyn Clock, release: &Release) -> Done<bool> {
    let call = link
        .call(sql::RELEASE)
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
