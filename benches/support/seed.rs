//! Jobs put into the tables of a Postgres store by plain SQL, many at a time.
#![allow(dead_code, reason = "each bench uses a part of it")]

use beacon_jobs::IncarnationId;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::measure::Result;
use crate::node::{EXECUTOR, OWNER};

/// How far the jobs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Queued,
    /// Held by a node, each execution with an attempt and a saved handle.
    Running,
    /// Held by a node once, and completed.
    Finished,
}

/// Jobs of one sort.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    /// Their ids are this and 1 to `count`.
    pub(crate) prefix: String,
    pub(crate) count: u32,
    pub(crate) executions: u32,
    pub(crate) stage: Stage,
    pub(crate) holder: IncarnationId,
}

/// What each job looks like to the store, but for what it takes to read it whole.
const JOBS: &str = "INSERT INTO @.beacon_jobs (id, owner, digest, rules, labels, executors, executions, allow_overlap, \
      min_success_rate, created_at, status, epoch, incarnation, started_at, finished_at) \
    SELECT $1 || i, $2, '', '{}', '{}', ARRAY[$3], $4, false, 1, now(), $5, CASE WHEN $5 = 'queued' THEN 0 ELSE 1 END, \
      CASE WHEN $5 <> 'queued' THEN $6::uuid END, CASE WHEN $5 <> 'queued' THEN now() END, \
      CASE WHEN $5 = 'completed' THEN now() END \
    FROM generate_series(1, $7) i";

/// What goes with the jobs since `$first`, of `$executions` executions each.
const REST: &str = "
    INSERT INTO @.beacon_executions
    SELECT j.seq * 131072 + e,
        CASE j.status WHEN 'queued' THEN 10 WHEN 'running' THEN 12 ELSE 20 END,
        CASE j.status WHEN 'queued' THEN 0 ELSE 1 END, CASE j.status WHEN 'queued' THEN 0 ELSE 1 END,
        j.started_at, j.finished_at
    FROM @.beacon_jobs j, generate_series(0, j.executions - 1) e WHERE j.seq > $first;
    INSERT INTO @.beacon_specs
    SELECT e.key, '$executor', '{\"executor\": \"$executor\"}', '{\"question\": 1}'
    FROM @.beacon_executions e WHERE e.key > $first::bigint * 131072 + 131071;
    INSERT INTO @.beacon_attempts
    SELECT e.key, 1, gen_random_uuid(), j.incarnation, 1, '$executor', now(), '{\"call\": \"' || e.key || '\"}',
        CASE j.status WHEN 'completed' THEN 'minter' END
    FROM @.beacon_jobs j JOIN @.beacon_executions e ON e.key BETWEEN j.seq * 131072 AND j.seq * 131072 + 131071
    WHERE j.seq > $first AND j.status <> 'queued';
    INSERT INTO @.beacon_results
    SELECT e.key, NULL, '{\"answer\": 1}'
    FROM @.beacon_executions e WHERE e.key > $first::bigint * 131072 + 131071 AND e.status = 20;
    INSERT INTO @.beacon_audit
    SELECT j.seq, 1, now(), j.owner, 'submitted', NULL, '{\"executions\": 1}' FROM @.beacon_jobs j WHERE j.seq > $first;
    INSERT INTO @.beacon_holders
    SELECT j.incarnation, j.seq FROM @.beacon_jobs j WHERE j.seq > $first AND j.incarnation IS NOT NULL;
";

const SCHEMA: &str = "beacon_jobs.";

fn in_schema(sql: &str) -> String {
    sql.replace("@.", SCHEMA)
}

/// Puts jobs into the store's tables, in one transaction.
pub(crate) async fn seed(connection: &mut PgConnection, jobs: &Jobs) -> Result<()> {
    let status = match jobs.stage {
        Stage::Queued => "queued",
        Stage::Running => "running",
        Stage::Finished => "completed",
    };
    let mut work = connection.begin().await?;
    let first: i64 =
        sqlx::query_scalar(AssertSqlSafe(in_schema("SELECT coalesce(max(seq), 0) FROM @.beacon_jobs")))
            .fetch_one(&mut *work)
            .await?;
    sqlx::query(AssertSqlSafe(in_schema(JOBS)))
        .bind(&jobs.prefix)
        .bind(OWNER)
        .bind(EXECUTOR)
        .bind(i32::try_from(jobs.executions)?)
        .bind(status)
        .bind(jobs.holder.as_uuid())
        .bind(i32::try_from(jobs.count)?)
        .execute(&mut *work)
        .await?;
    let rest = in_schema(REST).replace("$first", &first.to_string()).replace("$executor", EXECUTOR);
    sqlx::raw_sql(AssertSqlSafe(rest)).execute(&mut *work).await?;
    Ok(work.commit().await?)
}

/// Brings the tables to where a server keeps them by itself: counted, and written back to the disk.
pub(crate) async fn settle(connection: &mut PgConnection) -> Result<()> {
    for command in ["VACUUM ANALYZE", "CHECKPOINT"] {
        sqlx::raw_sql(command).execute(&mut *connection).await?;
    }
    Ok(())
}
