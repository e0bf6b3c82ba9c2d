//! Postgres: from the call of `jobs.cancel()` until the executor's `stop` is called, on the same node
//! and on another, beside a durable commit that notifies until a listener has woken.

#[path = "support/measure.rs"]
mod measure;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/remote.rs"]
mod remote;
#[path = "support/work.rs"]
mod work;

use std::fmt;
use std::time::{Duration, Instant};

use beacon_jobs::Jobs;
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::runner::RunnerOptions;
use beacon_jobs::store::postgres::PostgresStoreOptions;
use criterion::Criterion;
use tokio::runtime::Runtime;

use measure::{Mode, Pair, Result, Table, bench, now};
use postgres::{Database, Floor};
use remote::{Bed, LIMIT, Stopped};
use work::on_worker;

/// Who is given the cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Canceller {
    /// The node that runs the job.
    Owner,
    /// A node that runs nothing.
    Other,
}

impl fmt::Display for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "same node",
            Self::Other => "cross node",
        })
    }
}

/// A node that runs jobs, one that only cancels, and their floor.
struct Both {
    bed: Bed,
    other: Jobs,
    floor: Floor,
    database: Database,
}

impl Both {
    async fn new() -> Result<Self> {
        let database = Database::new().await?;
        let bed = Bed::new(database.store(PostgresStoreOptions::new()).await?, false).await?;
        let other = Jobs::new(database.store(PostgresStoreOptions::new()).await?);
        Ok(Self { bed, other, floor: Floor::open(&database).await?, database })
    }

    async fn round(&mut self, by: Canceller, executions: usize) -> Result<(Stopped, Duration)> {
        let jobs = match by {
            Canceller::Owner => self.bed.jobs.clone(),
            Canceller::Other => self.other.clone(),
        };
        Ok((self.bed.cancel_by(&jobs, executions).await?, self.floor.commit_and_wake().await?))
    }

    async fn end(self) -> Result<()> {
        self.bed.runner.shutdown(LIMIT).await;
        drop(self.floor);
        self.database.end().await
    }
}

fn run(
    criterion: &mut Criterion,
    table: &mut Table,
    runtime: &Runtime,
    (by, executions): (Canceller, usize),
) -> Result<()> {
    let name = |which: &str| format!("{by}, {executions} executions: {which} stop");
    let mut first = Pair::new(name("first"), None)?;
    let mut last = Pair::new(name("last"), Some(2.0))?;
    let mut both = None;
    bench(criterion, &format!("postgres-cancel/{by:?}/{executions}"), |rounds| {
        let mut sum = Duration::ZERO;
        for _ in 0..rounds {
            let (ours, plain) = on_worker(runtime, &mut both, Both::new, move |mut both: Both| async move {
                let taken = both.round(by, executions).await;
                (both, taken)
            })?;
            first.record(ours.first, plain);
            last.record(ours.last, plain);
            sum += ours.last;
        }
        Ok(sum)
    })?;
    table.pair(&first);
    table.pair(&last);
    both.map_or(Ok(()), |both| runtime.block_on(both.end()))
}

/// Two nodes that both have the executor. The one that is given the cancels takes no jobs: its one
/// place is taken.
struct Rivals {
    owner: Bed,
    canceller: Bed,
    floor: Floor,
    database: Database,
}

/// When each of them called `stop`, if it did.
struct Race {
    canceller: Option<Duration>,
    owner: Option<Duration>,
    plain: Duration,
}

impl Rivals {
    async fn new() -> Result<Self> {
        let database = Database::new().await?;
        let mut full = RunnerOptions::default();
        full.max_jobs = 1;
        let mut canceller = Bed::with(database.store(PostgresStoreOptions::new()).await?, true, full).await?;
        canceller.begin(1).await?;
        let owner = Bed::new(database.store(PostgresStoreOptions::new()).await?, true).await?;
        Ok(Self { owner, canceller, floor: Floor::open(&database).await?, database })
    }

    async fn round(&mut self) -> Result<Race> {
        let id = self.owner.begin(1).await?;
        let start = now();
        self.canceller.jobs.cancel(&id, &remote::request()).await?;
        let (owner, canceller) = (&mut self.owner, &mut self.canceller);
        let (by_owner, by_canceller) = tokio::join!(first_stop(owner), first_stop(canceller));
        self.owner.settle(&id).await?;
        while self.canceller.first_stop().is_some() {}
        let since = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(start));
        let plain = self.floor.commit_and_wake().await?;
        Ok(Race { canceller: since(by_canceller), owner: since(by_owner), plain })
    }

    async fn end(self) -> Result<()> {
        drop((self.owner, self.canceller, self.floor));
        self.database.end().await
    }
}

/// When a stop was called here, if it was within the time in which it can matter.
async fn first_stop(bed: &mut Bed) -> Option<Instant> {
    let limit = now() + Duration::from_millis(100);
    while now() < limit {
        if let Some(at) = bed.first_stop() {
            return Some(at);
        }
        SystemClock.sleep(Duration::from_micros(500)).await;
    }
    None
}

fn rivals(criterion: &mut Criterion, table: &mut Table, runtime: &Runtime) -> Result<()> {
    let mut by_canceller = Pair::new("cross node, both have the executor: the canceller's stop", None)?;
    let mut by_owner = Pair::new("cross node, both have the executor: the owner's stop", None)?;
    let (mut rounds_taken, mut canceller_first) = (0_u32, 0_u32);
    let mut both = None;
    bench(criterion, "postgres-cancel/rivals", |rounds| {
        let mut sum = Duration::ZERO;
        for _ in 0..rounds {
            let race = on_worker(runtime, &mut both, Rivals::new, move |mut both: Rivals| async move {
                let taken = both.round().await;
                (both, taken)
            })?;
            if let Some(took) = race.canceller {
                by_canceller.record(took, race.plain);
                sum += took;
            }
            if let Some(took) = race.owner {
                by_owner.record(took, race.plain);
            }
            rounds_taken += 1;
            canceller_first += u32::from(match (race.canceller, race.owner) {
                (Some(canceller), Some(owner)) => canceller <= owner,
                (canceller, _) => canceller.is_some(),
            });
        }
        Ok(sum)
    })?;
    table.pair(&by_canceller);
    table.pair(&by_owner);
    if rounds_taken > 0 {
        let share = 100.0 * f64::from(canceller_first) / f64::from(rounds_taken);
        table.figure("  the canceller's came first, of 100", share, 0, None);
    }
    both.map_or(Ok(()), |both| runtime.block_on(both.end()))
}

fn main() -> Result<()> {
    let mode = Mode::of_process();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let mut table = Table::new(
        "Postgres: jobs.cancel() -> the executor's stop, beside a durable commit until a listener has woken",
    );
    let runtime = work::runtime()?;
    for by in [Canceller::Owner, Canceller::Other] {
        for executions in [1, 12] {
            run(&mut criterion, &mut table, &runtime, (by, executions))?;
        }
    }
    rivals(&mut criterion, &mut table, &runtime)?;
    table.print(mode);
    criterion.final_summary();
    Ok(())
}
