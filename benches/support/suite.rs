//! Rounds that are taken in a runtime, and the table in which they end.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::time::Duration;

use criterion::Criterion;
use tokio::runtime::Runtime;

use crate::measure::{Mode, Pair, Result, Table, bench};

/// What rounds are taken on: most often a store and its floor.
pub(crate) trait Setup: Send + Sized + 'static {
    /// What the rounds of one bench are about.
    type Case: Copy + Send + 'static;
    /// What a round brings.
    type Taken: Send + 'static;

    fn new(case: Self::Case) -> impl Future<Output = Result<Self>> + Send;

    /// Takes the measured call and its floor.
    fn round(&mut self, case: Self::Case) -> impl Future<Output = Result<Self::Taken>> + Send;

    /// Leaves nothing behind.
    fn end(self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// All that a bench measures.
pub(crate) struct Suite {
    pub(crate) mode: Mode,
    pub(crate) table: Table,
    pub(crate) runtime: Runtime,
    criterion: Criterion,
}

impl Suite {
    /// Of rounds that take milliseconds.
    pub(crate) fn new(title: &'static str, warm_up: Duration, measurement: Duration) -> Result<Self> {
        let criterion = Criterion::default()
            .sample_size(20)
            .warm_up_time(warm_up)
            .measurement_time(measurement)
            .configure_from_args();
        Ok(Self { mode: Mode::of_process(), table: Table::new(title), runtime: runtime()?, criterion })
    }

    /// Has criterion decide how many rounds there are. The setup is made when the first one comes.
    /// `record` tells what of a round is the measured call.
    pub(crate) fn rounds<S: Setup>(
        &mut self,
        name: &str,
        case: S::Case,
        mut record: impl FnMut(S::Taken) -> Duration,
    ) -> Result<()> {
        let runtime = &self.runtime;
        let mut made = None;
        bench(&mut self.criterion, name, |rounds| {
            let mut sum = Duration::ZERO;
            for _ in 0..rounds {
                let mut setup: S = match made.take() {
                    Some(setup) => setup,
                    None => runtime.block_on(S::new(case))?,
                };
                // In a task, as callers of a store are; what runs in `block_on` itself hands each step
                // to another thread.
                let (setup, taken) = runtime.block_on(runtime.spawn(async move {
                    let taken = setup.round(case).await;
                    (setup, taken)
                }))?;
                made = Some(setup);
                sum += record(taken?);
            }
            Ok(sum)
        })?;
        made.map_or(Ok(()), |setup| runtime.block_on(setup.end()))
    }

    /// Rounds of a measured call and its floor: one line of the table.
    pub(crate) fn pair<S: Setup<Taken = (Duration, Duration)>>(
        &mut self,
        name: &str,
        case: S::Case,
        mut pair: Pair,
    ) -> Result<Pair> {
        self.rounds::<S>(name, case, |(ours, plain)| {
            pair.record(ours, plain);
            ours
        })?;
        self.table.pair(&pair);
        Ok(pair)
    }

    pub(crate) fn end(self) -> Result<()> {
        self.table.print(self.mode);
        self.criterion.final_summary();
        Ok(())
    }
}

/// The runtime in which store and floor run.
pub(crate) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
