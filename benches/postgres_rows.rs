//! Postgres: the cancel of a job of many executions, beside a plain UPDATE of as many rows as it
//! changes that notifies.

#[path = "support/measure.rs"]
mod measure;
#[path = "support/node.rs"]
mod node;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/rows.rs"]
mod rows;
#[path = "support/suite.rs"]
mod suite;

use std::time::Duration;

use beacon_jobs::store::postgres::{PostgresStore, PostgresStoreOptions};

use measure::Result;
use node::Node;
use postgres::{Database, Floor};
use rows::Case;
use suite::{Setup, Suite};

/// A store and its floor.
struct Bed {
    node: Node<PostgresStore>,
    floor: Floor,
    database: Database,
}

impl Setup for Bed {
    type Case = Case;
    type Taken = (Duration, Duration);

    async fn new(_: Case) -> Result<Self> {
        let database = Database::new().await?;
        let node = Node::on(database.store(PostgresStoreOptions::new()).await?).await?;
        Ok(Self { node, floor: Floor::open(&database).await?, database })
    }

    async fn round(&mut self, case: Case) -> Result<(Duration, Duration)> {
        let ours = rows::cancel(&self.node, case).await?;
        Ok((ours, self.floor.update(case.rows()).await?))
    }

    async fn end(self) -> Result<()> {
        drop((self.node, self.floor));
        self.database.end().await
    }
}

fn main() -> Result<()> {
    let mut suite = Suite::new(
        "Postgres: cancel of a job of many executions, beside a plain UPDATE of as many rows that notifies",
        Duration::from_millis(100),
        Duration::from_secs(5),
    )?;
    // Of the larger one it is told how the cost grows.
    rows::run::<Bed>(&mut suite, "postgres-rows", |executions| (executions == 100).then_some(2.0))?;
    suite.end()
}
