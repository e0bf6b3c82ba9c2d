//! Postgres: what a node with nothing to do asks of the server.

#[path = "support/measure.rs"]
mod measure;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/remote.rs"]
mod remote;
#[path = "support/suite.rs"]
mod suite;

use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::store::postgres::PostgresStoreOptions;

use measure::{Mode, Result, Table};
use postgres::Database;
use remote::{Bed, LIMIT};

/// After this long a node does what it does from then on.
const WARM_UP: Duration = Duration::from_secs(12);
/// A multiple of the pauses between its looks at the store.
const WATCHED: Duration = Duration::from_secs(30);

/// Commits for each second of an idle node. Each of its statements is a commit.
async fn idle(mode: Mode, notifications: bool) -> Result<f64> {
    let database = Database::new().await?;
    let options = PostgresStoreOptions::new().with_notifications(notifications);
    let bed = Bed::new(database.store(options).await?, true).await?;
    SystemClock.sleep(mode.pick(WARM_UP, Duration::from_millis(100))).await;
    let before = database.commits().await?;
    let watched = mode.pick(WATCHED, Duration::from_millis(100));
    SystemClock.sleep(watched).await;
    let commits = database.commits().await? - before;
    bed.runner.shutdown(LIMIT).await;
    database.end().await?;
    Ok(commits as f64 / watched.as_secs_f64())
}

fn main() -> Result<()> {
    let mode = Mode::of_process();
    let mut table = Table::new("Postgres: statements for each second of a node with nothing to do");
    if mode != Mode::List {
        let runtime = suite::runtime()?;
        let (listening, polling) =
            runtime.block_on(async { tokio::join!(idle(mode, true), idle(mode, false)) });
        table.figure("while it listens", listening?, 2, Some(2.0));
        table.figure("with notifications off", polling?, 2, None);
    }
    table.print(mode);
    Ok(())
}
