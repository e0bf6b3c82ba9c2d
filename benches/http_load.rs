//! Cancels over HTTP with 10 000 running jobs in the store, and how soon 1 000 watchers hear of one, each
//! beside a bare axum handler that makes a commit as the cancel does.

#[path = "support/file.rs"]
mod file;
#[path = "support/measure.rs"]
mod measure;
#[path = "support/node.rs"]
mod node;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/seed.rs"]
mod seed;
#[path = "support/serve.rs"]
mod serve;
#[path = "support/suite.rs"]
mod suite;

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::store::postgres::PostgresStoreOptions;
use beacon_jobs::store::{JobStore, MemoryStore};
use beacon_jobs::{JobId, Jobs};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use measure::{Mode, Pair, Result, Table};
use node::Node;
use postgres::Database;
use seed::{Stage, settle};
use serve::{Commit, Server, Watcher};

/// How many are asked for at a time of one side, before the other has its turn.
const BLOCK: usize = 100;
/// How many jobs are claimed and started at once.
const BATCH: u32 = 500;

/// What is served: jobs that run, and the floor beside them.
struct Bed {
    jobs: Jobs,
    running: Vec<JobId>,
    floor: Commit,
}

/// Brings so many jobs of one execution to running.
async fn run<S: JobStore + Clone>(node: &Arc<Node<S>>, count: u32) -> Result<Vec<JobId>> {
    let mut submits: JoinSet<Result<JobId>> = JoinSet::new();
    let mut ids = Vec::new();
    for _ in 0..count {
        if submits.len() >= 64
            && let Some(id) = submits.join_next().await
        {
            ids.push(id??);
        }
        let node = Arc::clone(node);
        submits.spawn(async move { node.submit(1).await });
    }
    while let Some(id) = submits.join_next().await {
        ids.push(id??);
    }
    loop {
        let claimed = node.claim_up_to(BATCH).await?;
        if claimed.is_empty() {
            return Ok(ids);
        }
        let mut held = Vec::new();
        for job in &claimed {
            held.extend(Node::<S>::hold(job)?);
        }
        node.run_all(&held).await?;
    }
}

async fn on_sqlite(folder: &tempfile::TempDir, count: u32) -> Result<Bed> {
    let store = file::store(folder).await?;
    let node = Arc::new(Node::on(store.clone()).await?);
    let running = run(&node, count).await?;
    let floor = Commit::File(Arc::new(Mutex::new(file::Floor::open(folder).await?)));
    Ok(Bed { jobs: Jobs::new(store), running, floor })
}

async fn on_postgres(database: &Database, count: u32) -> Result<Bed> {
    let store = database.store(PostgresStoreOptions::new()).await?;
    let node = Node::on(store.clone()).await?;
    let mut connection = database.connect().await?;
    let jobs = seed::Jobs {
        prefix: "running-".to_owned(),
        count,
        executions: 1,
        stage: Stage::Running,
        holder: node.incarnation,
    };
    seed::seed(&mut connection, &jobs).await?;
    settle(&mut connection).await?;
    let running =
        (1..=count).map(|index| JobId::new(format!("running-{index}"))).collect::<Result<_, _>>()?;
    let floor = Commit::pool(database).await?;
    Ok(Bed { jobs: Jobs::new(store), running, floor })
}

/// Takes cancels and plain commits in turn, a block of each, from so many callers.
async fn cancels(
    table: &mut Table,
    name: &str,
    bed: Bed,
    callers: usize,
    budget: Option<f64>,
    blocks: usize,
) -> Result<()> {
    let server = Server::start(&bed.jobs, bed.floor).await?;
    let mut pair = Pair::new(format!("{name}, {callers} callers: cancel over HTTP"), budget)?;
    let mut running = bed.running.into_iter();
    let (mut ours, mut plain) = (Duration::ZERO, Duration::ZERO);
    let mut taken = 0;
    for _ in 0..blocks {
        let paths = running.by_ref().take(BLOCK).map(|id| format!("/api/v1/jobs/{id}/cancel")).collect();
        let (cancelled, all) = server.post(paths, callers).await?;
        ours += all;
        let paths = vec!["/floor".to_owned(); cancelled.len()];
        let (committed, all) = server.post(paths, callers).await?;
        plain += all;
        taken += cancelled.len();
        cancelled.into_iter().zip(committed).for_each(|(ours, plain)| pair.record(ours, plain));
    }
    table.pair(&pair);
    let rate = taken as f64 / ours.as_secs_f64();
    table.least(&format!("{name}, {callers} callers: cancels for each second"), rate, None);
    table.figure(
        &format!("{name}, {callers} callers: commits of the floor in the time of a cancel"),
        ours.as_secs_f64() / plain.as_secs_f64(),
        2,
        budget,
    );
    Ok(())
}

/// Takes the delays of all watchers from the call of a cancel to the news of it, and those of a bare stream.
async fn fan_out<S: JobStore + Clone>(
    table: &mut Table,
    name: &str,
    (store, floor): (S, Commit),
    watchers: usize,
    rounds: usize,
) -> Result<()> {
    let node = Arc::new(Node::on(store.clone()).await?);
    let server = Server::start(&Jobs::new(store), floor).await?;
    let mut pair = Pair::new(format!("{name}, {watchers} watchers: a cancel is heard"), None)?;
    for _ in 0..rounds {
        let id = run(&node, 1).await?.remove(0);
        let watched = Watcher::open(&server, &format!("/api/v1/jobs/{id}/events"), watchers).await?;
        let ours = watched.hear(&server, &format!("/api/v1/jobs/{id}/cancel"), "\"cancelled\"").await?;
        let watched = Watcher::open(&server, "/floor/events", watchers).await?;
        let plain = watched.hear(&server, "/floor", "\"cancelled\"").await?;
        ours.into_iter().zip(plain).for_each(|(ours, plain)| pair.record(ours, plain));
    }
    table.pair(&pair);
    Ok(())
}

async fn all(mode: Mode) -> Result<()> {
    let mut table = Table::new("The API under load");
    let count = mode.pick(10_000, 200);
    let blocks = mode.pick(20, 1);
    for callers in [1, 16] {
        let folder = file::folder()?;
        let bed = on_sqlite(&folder, count).await?;
        cancels(&mut table, "SQLite", bed, callers, None, blocks).await?;
        let database = Database::new().await?;
        let bed = on_postgres(&database, count).await?;
        cancels(&mut table, "Postgres", bed, callers, None, blocks).await?;
        database.end().await?;
    }
    let (watchers, rounds) = (mode.pick(1_000, 20), mode.pick(5, 1));
    fan_out(&mut table, "memory", (MemoryStore::new(), Commit::None), watchers, rounds).await?;
    let folder = file::folder()?;
    let floor = Commit::File(Arc::new(Mutex::new(file::Floor::open(&folder).await?)));
    fan_out(&mut table, "SQLite", (file::store(&folder).await?, floor), watchers, rounds).await?;
    let database = Database::new().await?;
    let floor = Commit::pool(&database).await?;
    let store = database.store(PostgresStoreOptions::new()).await?;
    fan_out(&mut table, "Postgres", (store, floor), watchers, rounds).await?;
    database.end().await?;
    table.print(mode);
    Ok(())
}

fn main() -> Result<()> {
    let mode = Mode::of_process();
    if mode == Mode::List {
        return Ok(());
    }
    suite::runtime()?.block_on(async move { tokio::spawn(all(mode)).await })?
}
