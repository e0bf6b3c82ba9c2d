//! Postgres: how many jobs of one execution a node brings through, how many commits that takes, and
//! what notifications cost the commits that do not notify.

#[path = "support/measure.rs"]
mod measure;
#[path = "support/node.rs"]
mod node;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/suite.rs"]
mod suite;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beacon_jobs::store::postgres::{PostgresStore, PostgresStoreOptions};
use beacon_jobs::store::{ClaimedJob, JobStore, Signals};
use tokio::task::JoinSet;

use measure::{Pair, Result, now};
use node::Node;
use postgres::{Database, Floor};
use suite::{Setup, Suite};

/// As many jobs as a runner has places for at first.
const CLAIM: u32 = 64;
/// Plain commits in one look at the floor.
const COMMITS: u32 = 20;
/// Connections and callers where notifications are on and off.
const CONNECTIONS: u32 = 10;

type Shared = Arc<Node<PostgresStore>>;

/// Calls `work` from so many callers until all has been called for.
async fn callers<W, F>(count: usize, work: W) -> Result<()>
where
    W: Fn() -> Option<F>,
    W: Clone + Send + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    for _ in 0..count {
        let work = work.clone();
        tasks.spawn(async move {
            while let Some(work) = work() {
                work.await?;
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

async fn submit(node: &Shared, jobs: u32, count: usize) -> Result<Duration> {
    let left = Arc::new(Mutex::new(jobs));
    let node = Arc::clone(node);
    let start = now();
    callers(count, move || {
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.checked_sub(1)?;
        let node = Arc::clone(&node);
        Some(async move { node.submit(1).await.map(drop) })
    })
    .await?;
    Ok(start.elapsed())
}

/// Claims all that waits and brings it through.
async fn complete(node: &Shared, jobs: u32, count: usize) -> Result<Duration> {
    let start = now();
    let mut done = 0;
    while done < jobs {
        let claimed = node.claim_up_to(CLAIM).await?;
        done += u32::try_from(claimed.len())?;
        let waiting: Arc<Mutex<Vec<ClaimedJob>>> = Arc::new(Mutex::new(claimed));
        let node = Arc::clone(node);
        callers(count, move || {
            let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            let node = Arc::clone(&node);
            Some(async move { node.complete(&job).await })
        })
        .await?;
    }
    Ok(start.elapsed())
}

/// A node and its floor.
struct Bed {
    node: Shared,
    floor: Floor,
    database: Database,
}

impl Setup for Bed {
    /// How many jobs, from how many callers.
    type Case = (u32, usize);
    /// The time of a job, and that of a plain commit.
    type Taken = (Duration, Duration);

    async fn new(_: Self::Case) -> Result<Self> {
        let database = Database::new().await?;
        let node = Node::on(database.store(PostgresStoreOptions::new()).await?).await?;
        Ok(Self { node: Arc::new(node), floor: Floor::open(&database).await?, database })
    }

    async fn round(&mut self, (jobs, count): Self::Case) -> Result<Self::Taken> {
        submit(&self.node, jobs, 8).await?;
        let ours = complete(&self.node, jobs, count).await?;
        let mut plain = Duration::ZERO;
        for _ in 0..COMMITS {
            plain += self.floor.commit().await?;
        }
        Ok((ours / jobs, plain / COMMITS))
    }

    async fn end(self) -> Result<()> {
        drop((self.node, self.floor));
        self.database.end().await
    }
}

/// Commits for each job from its claim to its outcome, those of reads and hints among them.
async fn commits(jobs: u32, count: usize) -> Result<f64> {
    let database = Database::new().await?;
    let node = Arc::new(Node::on(database.store(PostgresStoreOptions::new()).await?).await?);
    submit(&node, jobs, 8).await?;
    node.store.close().await;
    drop(node);
    database.left().await?;
    let before = database.commits().await?;
    let node = Arc::new(Node::on(database.store(PostgresStoreOptions::new()).await?).await?);
    complete(&node, jobs, count).await?;
    node.store.close().await;
    drop(node);
    database.left().await?;
    let commits = database.commits().await? - before;
    database.end().await?;
    Ok(commits as f64 / f64::from(jobs))
}

fn run(suite: &mut Suite, count: usize) -> Result<()> {
    let jobs = suite.mode.pick(u32::try_from(count)? * 4, 8);
    let pair = Pair::new(format!("{count} callers: a job, beside a plain commit"), None)?;
    let pair = suite.pair::<Bed>(&format!("postgres-throughput/{count}-callers"), (jobs, count), pair)?;
    if pair.is_empty() {
        return Ok(());
    }
    suite.table.least(
        &format!("{count} callers: jobs for each second"),
        1.0 / pair.p50().as_secs_f64(),
        None,
    );
    let counted = suite.runtime.spawn(commits(suite.mode.pick(1_000, 8), count));
    let each = suite.runtime.block_on(counted)??;
    suite.table.figure(&format!("{count} callers: commits for each job"), each, 2, None);
    Ok(())
}

/// Two nodes, of which one sends hints to a third and hears it.
struct Hints {
    with: (Shared, Database, Vec<Signals>),
    without: (Shared, Database),
}

impl Setup for Hints {
    type Case = (Work, u32);
    type Taken = (Duration, Duration);

    async fn new(_: Self::Case) -> Result<Self> {
        let (with, without) = (Database::new().await?, Database::new().await?);
        let options = || PostgresStoreOptions::new().with_max_connections(CONNECTIONS);
        let node = Arc::new(Node::on(with.store(options()).await?).await?);
        let signals = vec![node.store.signals(), with.store(options()).await?.signals()];
        let quiet = Node::on(without.store(options().with_notifications(false)).await?).await?;
        Ok(Self { with: (node, with, signals), without: (Arc::new(quiet), without) })
    }

    async fn round(&mut self, (work, jobs): Self::Case) -> Result<Self::Taken> {
        let count = CONNECTIONS as usize;
        let mut taken = [Duration::ZERO; 2];
        for (node, taken) in [&self.with.0, &self.without.0].into_iter().zip(&mut taken) {
            let submitted = submit(node, jobs, count).await?;
            let completed = complete(node, jobs, count).await?;
            *taken = match work {
                Work::Submit => submitted,
                Work::Complete => completed,
            };
        }
        Ok((taken[0], taken[1]))
    }

    async fn end(self) -> Result<()> {
        let Self { with: (with, its, signals), without: (without, others) } = self;
        drop((with, signals, without));
        its.end().await?;
        others.end().await
    }
}

/// What is done with notifications on, and off.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// Each call is a commit.
    Submit,
    /// Calls of the same sort share commits.
    Complete,
}

fn main() -> Result<()> {
    let mut suite = Suite::new(
        "Postgres: jobs of one execution from their claim to their outcome",
        Duration::from_millis(500),
        Duration::from_secs(5),
    )?;
    for count in [1, 64] {
        run(&mut suite, count)?;
    }
    for work in [Work::Submit, Work::Complete] {
        let line = format!("{CONNECTIONS} connections, {work:?}: with notifications / without");
        // 0.9 of the commits in the same time.
        let pair = Pair::new(line, Some(1.11))?;
        let jobs = suite.mode.pick(100, 10);
        suite.pair::<Hints>(&format!("postgres-throughput/notifications/{work:?}"), (work, jobs), pair)?;
    }
    suite.end()
}
