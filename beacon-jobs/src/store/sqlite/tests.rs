//! The constants against a migrated file.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row, SqlSafeStr};

use super::migrate::migrate;
use super::statements::{READS, ROLLBACK, ROLLBACK_TO, STEPS};
use crate::stop::StopState;

/// Every statement, with the name of the constant that it stands in.
fn statements() -> Vec<(&'static str, &'static str)> {
    let steps = STEPS.iter().flat_map(|(name, step)| [(*name, step.own), (*name, step.host)]);
    let rest = [("ROLLBACK", ROLLBACK), ("ROLLBACK_TO", ROLLBACK_TO)];
    let scripts = steps.chain(READS.iter().copied()).chain(rest);
    let statements = scripts.flat_map(|(name, script)| script.split("; ").map(move |part| (name, part)));
    statements.filter(|(_, statement)| !statement.trim().is_empty()).collect()
}

async fn migrated(folder: &tempfile::TempDir) -> SqliteConnection {
    let file = folder.path().join("prepare.db");
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    migrate(&mut connection).await.unwrap();
    connection
}

#[tokio::test]
async fn every_statement_prepares_on_a_migrated_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = migrated(&folder).await;
    let statements = statements();
    assert!(statements.len() > 100, "only {} statements were found", statements.len());
    for (name, statement) in statements {
        let prepared = connection.prepare(AssertSqlSafe(statement).into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {statement}: {:?}", prepared.err());
    }
}

#[tokio::test]
async fn no_statement_reads_a_whole_table_that_grows() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = migrated(&folder).await;
    let mut plans = 0;
    // What only takes the lock looks at no row.
    for (name, statement) in statements().into_iter().filter(|(_, statement)| !statement.ends_with("WHERE 0"))
    {
        let plan = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        for row in sqlx::query(plan).fetch_all(&mut connection).await.unwrap_or_default() {
            let step: String = row.get(3);
            // The nodes are few; `b` and a subquery stand for rows that another step of the plan reads.
            let table = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
            let is_small = |table: &str| {
                table.starts_with("(subquery") || ["n", "beacon_nodes", "b", "CONSTANT"].contains(&table)
            };
            let is_scan = table.is_some_and(|table| !is_small(table)) && !step.contains("VIRTUAL TABLE");
            assert!(!is_scan, "{name}: {step}: {statement}");
            plans += 1;
        }
    }
    assert!(plans > 100, "only {plans} steps were looked at");
}

#[tokio::test]
async fn the_column_orders_stops_as_the_rules_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = migrated(&folder).await;
    let mut orders = Vec::new();
    for state in StopState::ALL.iter().skip(1) {
        for settled in [false, true] {
            let insert = "INSERT INTO beacon_stops \
                (execution, number, state, settled, mode, force_at, requested_at, tries) \
                VALUES (1, $1, $2, $3, 'graceful', 0, 0, 0) RETURNING unsettledness";
            let number = i64::try_from(orders.len()).unwrap();
            let query = sqlx::query(insert).bind(number).bind(state.as_str()).bind(settled);
            let column: i64 = query.fetch_one(&mut connection).await.unwrap().get(0);
            orders.push((column, (!settled, state.unsettledness())));
        }
    }
    orders.sort();
    assert!(orders.is_sorted_by_key(|(_, rules)| *rules), "{orders:?}");
}
