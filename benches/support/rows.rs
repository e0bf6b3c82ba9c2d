//! The cancel of a job of many executions, whatever the store.

use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::store::JobStore;

use crate::measure::{Pair, Result, now};
use crate::node::{Node, OWNER};
use crate::suite::{Setup, Suite};

/// How far the executions are when the cancel comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// None has begun: as many rows change as there are executions.
    Queued,
    /// Each has an attempt with a saved handle: a stop is requested of each as well, a row of its own.
    Running,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    stage: Stage,
    executions: u32,
}

impl Case {
    /// How many rows the cancel changes or adds.
    pub(crate) const fn rows(self) -> u32 {
        match self.stage {
            Stage::Queued => self.executions,
            Stage::Running => self.executions * 2,
        }
    }
}

pub(crate) async fn cancel<S: JobStore + Clone>(node: &Node<S>, case: Case) -> Result<Duration> {
    let id = node.submit(case.executions).await?;
    // Claimed in both cases, so that no job is left for the next round's claim.
    let held = node.claim().await?;
    if case.stage == Stage::Running {
        node.run_all(&held).await?;
    }
    let request = CancelRequest::new(Actor::Owner(OWNER.to_owned()));
    let start = now();
    let answer = node.jobs.cancel(&id, &request).await?;
    let took = start.elapsed();
    match answer.outcome {
        CancelOutcome::Cancelled { record, .. }
            if record.executions_cancelled == u64::from(case.executions) =>
        {
            Ok(took)
        }
        other => Err(format!("not all was cancelled: {other:?}").into()),
    }
}

/// Measures the cancel at both sizes and stages.
pub(crate) fn run<S>(suite: &mut Suite, name: &str, budget: impl Fn(u32) -> Option<f64>) -> Result<()>
where
    S: Setup<Case = Case, Taken = (Duration, Duration)>,
{
    for size in [100, 10_000] {
        for stage in [Stage::Queued, Stage::Running] {
            let pair = Pair::new(format!("{size} executions, {stage:?}"), budget(size))?;
            let executions = suite.mode.pick(size, size.min(100));
            suite.pair::<S>(&format!("{name}/{stage:?}/{size}"), Case { stage, executions }, pair)?;
        }
    }
    Ok(())
}
