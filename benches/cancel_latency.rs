//! From the call of `jobs.cancel()` until the executor's `stop` is called, beside one durable commit
//! and one token's wake.

#[path = "support/file.rs"]
mod file;
#[path = "support/measure.rs"]
mod measure;
#[path = "support/remote.rs"]
mod remote;
#[path = "support/suite.rs"]
mod suite;

use std::time::Duration;

use beacon_jobs::store::MemoryStore;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use file::Floor;
use measure::{Result, now};
use remote::{Bed, LIMIT, Stopped};
use suite::{Setup, Suite};

/// One durable commit, if there is a file, and then one token's wake.
async fn commit_and_wake(floor: Option<&mut Floor>) -> Result<Duration> {
    let token = CancellationToken::new();
    let (armed, is_armed) = oneshot::channel();
    let watched = token.clone();
    let watcher = tokio::spawn(async move {
        let mut cancelled = std::pin::pin!(watched.cancelled());
        let mut armed = Some(armed);
        std::future::poll_fn(|cx| {
            let poll = cancelled.as_mut().poll(cx);
            if let Some(armed) = armed.take() {
                let _ = armed.send(());
            }
            poll
        })
        .await;
        now()
    });
    is_armed.await?;
    let start = now();
    if let Some(floor) = floor {
        floor.commit().await?;
    }
    token.cancel();
    Ok(watcher.await?.saturating_duration_since(start))
}

/// What one line of the table is about.
#[derive(Clone, Copy)]
struct Case {
    on_file: bool,
    leaves_early: bool,
    executions: usize,
}

/// A runner and its floor.
struct Both {
    bed: Bed,
    /// The memory store's floor is the wake alone.
    floor: Option<Floor>,
    _folder: TempDir,
}

impl Setup for Both {
    type Case = Case;
    type Taken = (Stopped, Duration);

    async fn new(case: Case) -> Result<Self> {
        let folder = file::folder()?;
        let (bed, floor) = if case.on_file {
            let bed = Bed::new(file::store(&folder).await?, case.leaves_early).await?;
            (bed, Some(Floor::open(&folder).await?))
        } else {
            (Bed::new(MemoryStore::new(), case.leaves_early).await?, None)
        };
        Ok(Self { bed, floor, _folder: folder })
    }

    async fn round(&mut self, case: Case) -> Result<(Stopped, Duration)> {
        Ok((self.bed.cancel(case.executions).await?, commit_and_wake(self.floor.as_mut()).await?))
    }

    async fn end(self) -> Result<()> {
        self.bed.runner.shutdown(LIMIT).await;
        Ok(())
    }
}

fn main() -> Result<()> {
    let mut suite = Suite::new(
        "jobs.cancel() -> the executor's stop, beside a durable commit and a token's wake",
        Duration::from_millis(200),
        Duration::from_secs(4),
    )?;
    for (on_file, store) in [(true, "SQLite"), (false, "memory")] {
        for executions in [1, 12] {
            for (leaves_early, work) in [(false, "waits"), (true, "leaves")] {
                remote::stops::<Both>(
                    &mut suite,
                    &format!("cancel-stop/{store}/{executions}/execute-{work}"),
                    Case { on_file, leaves_early, executions },
                    &format!("{store}, {executions} executions, execute {work}"),
                    on_file.then_some(2.0),
                )?;
            }
        }
    }
    suite.end()
}
