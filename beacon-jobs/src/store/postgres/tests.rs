//! The constants against a migrated database.

use sqlx::{ConnectOptions, Executor, Row};

use super::statements::{Statement, Statements, in_schema};
use super::{PostgresStore, PostgresStoreOptions};
use crate::id::{IdSource, RandomIds};
use crate::stop::StopState;

async fn migrated() -> (PostgresStore, String) {
    let schema = format!("t{}", RandomIds.uuid().simple());
    let url = std::env::var("BEACON_POSTGRES_URL")
        .expect("BEACON_POSTGRES_URL names a server; `cargo nextest run` starts one");
    let options = PostgresStoreOptions::new().with_schema(&schema).unwrap();
    let store = options.open(&url).await.unwrap();
    store.migrate().await.unwrap();
    (store, schema)
}

#[tokio::test]
async fn every_statement_prepares_in_a_migrated_schema() {
    let (store, schema) = migrated().await;
    let statements = Statements::new(&schema);
    let mut connection = store.core.source.options().connect().await.unwrap();
    for (place, (statement, text)) in Statement::ALL.iter().enumerate() {
        assert_eq!(*statement as usize, place);
        let sql = statements.text(*statement);
        assert_eq!(sql.as_str(), in_schema(text, &schema));
        let prepared = connection.prepare(sql).await;
        assert!(prepared.is_ok(), "{statement:?}: {:?}", prepared.err());
    }
}

/// A function's body is looked at by the server only when it runs; this has it look at all of them.
#[tokio::test]
async fn the_functions_are_those_that_the_statements_call() {
    let (store, schema) = migrated().await;
    let mut connection = store.core.source.options().connect().await.unwrap();
    let names = "SELECT p.proname::text, p.proconfig IS NOT NULL, l.lanname = 'plpgsql' FROM pg_proc p \
        JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace = to_regnamespace($1) ORDER BY 1";
    let functions = sqlx::query(names).bind(&schema).fetch_all(&mut connection).await.unwrap();
    assert!(functions.len() > 15, "only {} functions", functions.len());
    for function in functions {
        let name: String = function.get(0);
        let called = Statement::ALL.iter().any(|(_, sql)| sql.contains(&format!("@.{name}(")));
        let (has_plan, is_program): (bool, bool) = (function.get(1), function.get(2));
        // What a statement calls must bring the settings with it; an inner function runs under them.
        assert_eq!(has_plan, called && is_program, "{name}");
    }
}

#[tokio::test]
async fn the_function_orders_stops_as_the_rules_do() {
    let (store, schema) = migrated().await;
    let mut connection = store.core.source.options().connect().await.unwrap();
    let mut orders = Vec::new();
    for state in StopState::ALL.iter().skip(1) {
        for settled in [false, true] {
            let order = in_schema("SELECT @.beacon_unsettledness($1, $2)", &schema);
            let order = sqlx::query_scalar(sqlx::AssertSqlSafe(order)).bind(settled).bind(state.as_str());
            let order: i32 = order.fetch_one(&mut connection).await.unwrap();
            orders.push((order, (!settled, state.unsettledness())));
        }
    }
    orders.sort();
    assert!(orders.is_sorted_by_key(|(_, rules)| *rules), "{orders:?}");
}
