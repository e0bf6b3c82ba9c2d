//! Postgres: a cancel while a million finished and ten thousand running jobs are in the tables, beside
//! one in tables that are empty.

#[path = "support/measure.rs"]
mod measure;
#[path = "support/node.rs"]
mod node;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/remote.rs"]
mod remote;
#[path = "support/seed.rs"]
mod seed;
#[path = "support/suite.rs"]
mod suite;

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::Jobs;
use beacon_jobs::store::JobStore;
use beacon_jobs::store::postgres::PostgresStoreOptions;

use measure::{Mode, Pair, Result};
use node::Node;
use postgres::{Database, Floor};
use remote::{Bed, LIMIT};
use seed::Stage;
use suite::{Setup, Suite};

const FINISHED: u32 = 1_000_000;
const RUNNING: u32 = 10_000;

/// A node that runs jobs and one that only cancels, in a database that may be full.
struct Side {
    bed: Bed,
    other: Jobs,
    floor: Floor,
    database: Database,
    /// Who holds the jobs that run all the time.
    _holder: Arc<dyn JobStore>,
}

impl Side {
    async fn new(finished: u32, running: u32) -> Result<Self> {
        let database = Database::new().await?;
        let node = Node::on(database.store(PostgresStoreOptions::new()).await?).await?;
        let mut connection = database.connect().await?;
        let holder = node.incarnation;
        for (prefix, count, stage) in
            [("done-", finished, Stage::Finished), ("runs-", running, Stage::Running)]
        {
            let jobs = seed::Jobs { prefix: prefix.to_owned(), count, executions: 1, stage, holder };
            seed::seed(&mut connection, &jobs).await?;
        }
        seed::settle(&mut connection).await?;
        let bed = Bed::new(database.store(PostgresStoreOptions::new()).await?, false).await?;
        let other = Jobs::new(database.store(PostgresStoreOptions::new()).await?);
        let floor = Floor::open(&database).await?;
        Ok(Self { bed, other, floor, database, _holder: Arc::new(node.store) })
    }

    async fn cancel(&mut self, is_other: bool) -> Result<Duration> {
        let jobs = if is_other { self.other.clone() } else { self.bed.jobs.clone() };
        Ok(self.bed.cancel_by(&jobs, 1).await?.last)
    }

    async fn end(self) -> Result<()> {
        self.bed.runner.shutdown(LIMIT).await;
        drop(self.floor);
        self.database.end().await
    }
}

/// What a round took.
struct Round {
    same: Duration,
    cross: Duration,
    floor: Duration,
}

struct Both {
    full: Side,
    empty: Side,
    is_full_first: bool,
}

impl Setup for Both {
    type Case = Mode;
    type Taken = (Round, Round);

    async fn new(mode: Mode) -> Result<Self> {
        let full = Side::new(mode.pick(FINISHED, 100), mode.pick(RUNNING, 10)).await?;
        Ok(Self { full, empty: Side::new(0, 0).await?, is_full_first: false })
    }

    /// Both, in turn first.
    async fn round(&mut self, _: Mode) -> Result<(Round, Round)> {
        self.is_full_first = !self.is_full_first;
        Ok(if self.is_full_first {
            let full = round(&mut self.full).await?;
            (full, round(&mut self.empty).await?)
        } else {
            let empty = round(&mut self.empty).await?;
            (round(&mut self.full).await?, empty)
        })
    }

    async fn end(self) -> Result<()> {
        self.full.end().await?;
        self.empty.end().await
    }
}

async fn round(side: &mut Side) -> Result<Round> {
    Ok(Round {
        same: side.cancel(false).await?,
        cross: side.cancel(true).await?,
        floor: side.floor.commit_and_wake().await?,
    })
}

fn main() -> Result<()> {
    let mut suite = Suite::new(
        "Postgres: cancel -> the executor's stop with 1 000 000 finished and 10 000 running jobs, beside empty tables",
        Duration::from_millis(500),
        Duration::from_secs(10),
    )?;
    let mut same = Pair::new("same node: cancel -> stop, full / empty", Some(1.3))?;
    let mut cross = Pair::new("cross node: cancel -> stop, full / empty", Some(1.3))?;
    let mut floors = Pair::new("the floor itself, full / empty", None)?;
    suite.rounds::<Both>("postgres-growth/cancel", suite.mode, |(full, empty)| {
        same.record(full.same, empty.same);
        cross.record(full.cross, empty.cross);
        floors.record(full.floor, empty.floor);
        full.same
    })?;
    for pair in [&same, &cross, &floors] {
        suite.table.pair(pair);
    }
    suite.end()
}
