//! Postgres: from the call of `jobs.cancel()` until the executor's `stop` is called, on the same node
//! and on another, beside a durable commit that notifies until a listener has woken.

#[path = "support/measure.rs"]
mod measure;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/remote.rs"]
mod remote;
#[path = "support/suite.rs"]
mod suite;

use std::fmt;
use std::time::{Duration, Instant};

use beacon_jobs::Jobs;
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::runner::RunnerOptions;
use beacon_jobs::store::postgres::PostgresStoreOptions;

use measure::{Pair, Result, now};
use postgres::{Database, Floor};
use remote::{Bed, LIMIT, Stopped};
use suite::{Setup, Suite};

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

impl Setup for Both {
    type Case = (Canceller, usize);
    type Taken = (Stopped, Duration);

    async fn new(_: Self::Case) -> Result<Self> {
        let database = Database::new().await?;
        let bed = Bed::new(database.store(PostgresStoreOptions::new()).await?, false).await?;
        let other = Jobs::new(database.store(PostgresStoreOptions::new()).await?);
        Ok(Self { bed, other, floor: Floor::open(&database).await?, database })
    }

    async fn round(&mut self, (by, executions): Self::Case) -> Result<(Stopped, Duration)> {
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

impl Setup for Rivals {
    type Case = ();
    type Taken = Race;

    async fn new((): ()) -> Result<Self> {
        let database = Database::new().await?;
        let mut full = RunnerOptions::default();
        full.max_jobs = 1;
        let mut canceller = Bed::with(database.store(PostgresStoreOptions::new()).await?, true, full).await?;
        canceller.begin(1).await?;
        let owner = Bed::new(database.store(PostgresStoreOptions::new()).await?, true).await?;
        Ok(Self { owner, canceller, floor: Floor::open(&database).await?, database })
    }

    async fn round(&mut self, (): ()) -> Result<Race> {
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

fn rivals(suite: &mut Suite) -> Result<()> {
    let mut by_canceller = Pair::new("cross node, both have the executor: the canceller's stop", None)?;
    let mut by_owner = Pair::new("cross node, both have the executor: the owner's stop", None)?;
    let (mut rounds_taken, mut canceller_first) = (0_u32, 0_u32);
    suite.rounds::<Rivals>("postgres-cancel/rivals", (), |race| {
        if let Some(took) = race.canceller {
            by_canceller.record(took, race.plain);
        }
        if let Some(took) = race.owner {
            by_owner.record(took, race.plain);
        }
        rounds_taken += 1;
        canceller_first += u32::from(match (race.canceller, race.owner) {
            (Some(canceller), Some(owner)) => canceller <= owner,
            (canceller, _) => canceller.is_some(),
        });
        race.canceller.unwrap_or_default()
    })?;
    suite.table.pair(&by_canceller);
    suite.table.pair(&by_owner);
    if rounds_taken > 0 {
        let share = 100.0 * f64::from(canceller_first) / f64::from(rounds_taken);
        suite.table.figure("  the canceller's came first, of 100", share, 0, None);
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut suite = Suite::new(
        "Postgres: jobs.cancel() -> the executor's stop, beside a durable commit until a listener has woken",
        Duration::from_millis(300),
        Duration::from_secs(5),
    )?;
    for by in [Canceller::Owner, Canceller::Other] {
        for executions in [1, 12] {
            let name = format!("postgres-cancel/{by:?}/{executions}");
            let line = format!("{by}, {executions} executions");
            remote::stops::<Both>(&mut suite, &name, (by, executions), &line, Some(2.0))?;
        }
    }
    rivals(&mut suite)?;
    suite.end()
}
