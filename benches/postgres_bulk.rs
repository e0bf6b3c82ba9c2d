//! Postgres: the cancel of ten thousand jobs at once, beside one transaction of plain SQL that changes
//! and adds the same rows in tables of the same make.

#[path = "support/measure.rs"]
mod measure;
#[path = "support/node.rs"]
mod node;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/seed.rs"]
mod seed;
#[path = "support/suite.rs"]
mod suite;

use std::time::Duration;

use beacon_jobs::JobId;
use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::store::postgres::{PostgresStore, PostgresStoreOptions};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use measure::{Mode, Pair, Result, Table, now};
use node::{Node, OWNER};
use postgres::Database;
use seed::Stage;

const JOBS: u32 = 10_000;
const ROUNDS: u32 = 5;

/// The same changes by hand: each a statement for all jobs, with no look at what they are, and no lock
/// but those of the changes. `$1` are the keys of the jobs, `$2` those of their executions.
const BY_HAND: [&str; 4] = [
    "INSERT INTO beacon_jobs.beacon_stops \
       (execution, number, executor, state, settled, mode, force_at, requested_at, due_at, tries) \
     SELECT e.key, e.attempts, 'remote', 'requested', false, 'graceful', now(), now(), now(), 0 \
     FROM unnest($2::bigint[]) k JOIN beacon_jobs.beacon_executions e ON e.key = k WHERE e.status IN (11, 12)",
    "UPDATE beacon_jobs.beacon_executions e SET status = 22 FROM unnest($2::bigint[]) k WHERE e.key = k AND e.status < 20",
    "UPDATE beacon_jobs.beacon_jobs j SET status = 'cancelled', finished_at = now(), cancelled_from = status, \
       cancelled_by = owner, cancel_mode = 'graceful', cancel_token = gen_random_uuid(), \
       executions_cancelled = executions \
     FROM unnest($1::bigint[]) s WHERE j.seq = s",
    "INSERT INTO beacon_jobs.beacon_audit (job, number, at, actor, action, detail) \
     SELECT s, 2, now(), 'bench', 'cancelled', '{\"mode\": \"graceful\"}' FROM unnest($1::bigint[]) s",
];

/// The keys of these jobs, and of their executions.
async fn keys(connection: &mut PgConnection, ids: &[String]) -> Result<(Vec<i64>, Vec<i64>)> {
    let rows: Vec<(i64, i32)> = sqlx::query_as(
        "SELECT seq, executions FROM beacon_jobs.beacon_jobs WHERE id = ANY ($1) ORDER BY seq",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let executions =
        rows.iter().flat_map(|(seq, count)| (0..i64::from(*count)).map(move |e| seq * 131_072 + e));
    Ok((rows.iter().map(|(seq, _)| *seq).collect(), executions.collect()))
}

async fn by_hand(connection: &mut PgConnection, ids: &[String]) -> Result<Duration> {
    let start = now();
    let mut work = connection.begin().await?;
    let (jobs, executions) = keys(&mut work, ids).await?;
    let mut changed = Vec::new();
    for statement in BY_HAND {
        // All have both parameters, so that one way of calling does for all.
        let statement = format!("WITH p AS (SELECT $1::bigint[], $2::bigint[]) {statement}");
        let done =
            sqlx::query(AssertSqlSafe(statement)).bind(&jobs).bind(&executions).execute(&mut *work).await?;
        changed.push(done.rows_affected());
    }
    sqlx::query("SELECT pg_notify('floor', 'cancelled')").execute(&mut *work).await?;
    work.commit().await?;
    let took = start.elapsed();
    if changed[1] == executions.len() as u64 && changed[2] == ids.len() as u64 {
        Ok(took)
    } else {
        Err(format!("the floor changed other rows than it was to: {changed:?}").into())
    }
}

async fn by_store(node: &Node<PostgresStore>, ids: &[String], executions: u32) -> Result<Duration> {
    let ids = ids.iter().map(JobId::new).collect::<Result<Vec<_>, _>>()?;
    let request = CancelRequest::new(Actor::Owner(OWNER.to_owned()));
    let start = now();
    let answers = node.jobs.cancel_many(&ids, &request).await?;
    let took = start.elapsed();
    let is_cancelled = |outcome: &CancelOutcome| matches!(outcome, CancelOutcome::Cancelled { record, .. } if record.executions_cancelled == u64::from(executions));
    if answers.len() == ids.len() && answers.iter().all(|answer| is_cancelled(&answer.outcome)) {
        Ok(took)
    } else {
        Err("not all was cancelled".into())
    }
}

/// Two databases with the store's tables.
struct Bed {
    ours: (Database, Node<PostgresStore>, PgConnection),
    plain: (Database, PgConnection),
}

impl Bed {
    async fn new() -> Result<Self> {
        let (ours, plain) = (Database::new().await?, Database::new().await?);
        let node = Node::on(ours.store(PostgresStoreOptions::new()).await?).await?;
        plain.store(PostgresStoreOptions::new()).await?.close().await;
        let connections = (ours.connect().await?, plain.connect().await?);
        Ok(Self { ours: (ours, node, connections.0), plain: (plain, connections.1) })
    }

    async fn round(&mut self, round: u32, mut jobs: seed::Jobs) -> Result<(Duration, Duration)> {
        jobs.prefix = format!("{:?}-{}-{round}-", jobs.stage, jobs.executions);
        jobs.holder = self.ours.1.incarnation;
        for connection in [&mut self.ours.2, &mut self.plain.1] {
            seed::seed(connection, &jobs).await?;
            seed::settle(connection).await?;
        }
        let ids: Vec<_> = (1..=jobs.count).map(|job| format!("{}{job}", jobs.prefix)).collect();
        Ok((by_store(&self.ours.1, &ids, jobs.executions).await?, by_hand(&mut self.plain.1, &ids).await?))
    }
}

async fn all(mode: Mode, table: &mut Table) -> Result<()> {
    let mut bed = Bed::new().await?;
    let count = mode.pick(JOBS, 100);
    for stage in [Stage::Queued, Stage::Running] {
        for executions in [1, 4] {
            let mut pair =
                Pair::new(format!("{count} jobs of {executions} executions, {stage:?}"), Some(1.5))?;
            for round in 0..mode.pick(ROUNDS, 1) {
                let holder = bed.ours.1.incarnation;
                let jobs = seed::Jobs { prefix: String::new(), count, executions, stage, holder };
                let (ours, plain) = bed.round(round, jobs).await?;
                pair.record(ours, plain);
            }
            table.pair(&pair);
        }
    }
    let Bed { ours: (ours, node, connection), plain: (plain, other) } = bed;
    drop((node, connection, other));
    ours.end().await?;
    plain.end().await
}

fn main() -> Result<()> {
    let mode = Mode::of_process();
    let mut table = Table::new(
        "Postgres: cancel of many jobs at once, beside one transaction of the same changes (median of 5)",
    );
    if mode != Mode::List {
        let runtime = suite::runtime()?;
        let work = async move {
            let done = all(mode, &mut table).await;
            (table, done)
        };
        let (all, done) = runtime.block_on(runtime.spawn(work))?;
        done?;
        all.print(mode);
    }
    Ok(())
}
