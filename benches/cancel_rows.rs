//! The cancel of a job of many executions, beside a plain UPDATE of as many rows as it changes.

#[path = "support/file.rs"]
mod file;
#[path = "support/measure.rs"]
mod measure;
#[path = "support/node.rs"]
mod node;
#[path = "support/rows.rs"]
mod rows;
#[path = "support/suite.rs"]
mod suite;

use std::time::Duration;

use beacon_jobs::store::sqlite::SqliteStore;
use tempfile::TempDir;

use file::Floor;
use measure::{Result, now};
use node::Node;
use rows::Case;
use suite::{Setup, Suite};

/// A store and its floor.
struct Bed {
    node: Node<SqliteStore>,
    floor: Floor,
    _folder: TempDir,
}

impl Setup for Bed {
    type Case = Case;
    type Taken = (Duration, Duration);

    async fn new(_: Case) -> Result<Self> {
        let folder = file::folder()?;
        Ok(Self {
            node: Node::on(file::store(&folder).await?).await?,
            floor: Floor::open(&folder).await?,
            _folder: folder,
        })
    }

    async fn round(&mut self, case: Case) -> Result<(Duration, Duration)> {
        let ours = rows::cancel(&self.node, case).await?;
        let first = self.floor.fill(case.rows()).await?;
        let start = now();
        self.floor.update(first, case.rows()).await?;
        Ok((ours, start.elapsed()))
    }
}

fn main() -> Result<()> {
    let mut suite = Suite::new(
        "SQLite: cancel of a job of many executions, beside a plain UPDATE of as many rows",
        Duration::from_millis(100),
        Duration::from_secs(5),
    )?;
    rows::run::<Bed>(&mut suite, "cancel-rows", |_| Some(2.0))?;
    suite.end()
}
