//! `serve` and `migrate` on a PostgreSQL server.

use serde_json::{Value, json};

use crate::server::Database;
use crate::support::{Place, Runner, TOKEN, command, finish, refused, run, stderr, stdout};

fn serve(url: &str) -> Vec<&str> {
    vec!["serve", "--listen", "127.0.0.1:0", "--database", url]
}

#[tokio::test]
async fn a_server_is_migrated_once_and_again_and_then_served_from() {
    let (place, database) = (Place::new(), Database::new().await);
    for _ in 0..2 {
        let output = run(&["migrate", "--database", &database.url]).await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let told = stdout(&output);
        assert!(told.contains("up to date") && !told.contains("beacon@"), "{told}");
    }
    let mut command = command(&serve(&database.url));
    let runner = Runner::spawn(&place, command.env("BEACON_ADMIN_TOKEN", TOKEN)).await;
    let job = json!({"executions": [{"executor": "process", "input": {"command": ["true"]}}]});
    let id = runner.submit(&place, &job).await;
    runner.reaches(&id, "completed", |job| job["status"] == "completed").await;
    let rows = database.rows("SELECT id, status FROM beacon_jobs.beacon_jobs").await;
    assert_eq!(rows, [json!({"id": id, "status": "completed"})]);
}

#[tokio::test]
async fn without_its_schema_a_server_is_refused_with_the_command_that_makes_it() {
    let database = Database::new().await;
    let output = run(&serve(&database.url)).await;
    refused(&output, 1, &["--database", "beacon-runner migrate"]);
    let schemas: Vec<Value> =
        database.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'beacon%'").await;
    assert!(schemas.is_empty(), "nothing was begun: {schemas:?}");
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_refused_in_one_line_without_the_password() {
    let database = Database::new().await;
    let folder = database.folder();
    // From now on this one user, of this one test, must know a password.
    let rules = std::path::Path::new(folder).join("data/pg_hba.conf");
    let others = std::fs::read_to_string(&rules).unwrap();
    std::fs::write(&rules, format!("local all locked scram-sha-256\n{others}")).unwrap();
    database.on_server("CREATE ROLE locked LOGIN PASSWORD 'right'").await;
    database.on_server("SELECT pg_reload_conf()").await;
    for (url, words) in [
        ("postgres://u:hunter2@127.0.0.1:1/jobs".to_owned(), &["127.0.0.1:1", "refused"][..]),
        (format!("postgres://u:hunter2@localhost/jobs?host={folder}/nowhere"), &["nowhere"]),
        (database.sibling("no_such_database"), &["no_such_database", "does not exist"]),
        (database.url.replace("beacon@", "locked:hunter2@"), &["password authentication failed", "locked"]),
        ("postgres://u:hunter2@h:port/jobs".to_owned(), &["not a legal"]),
    ] {
        for args in [serve(&url), vec!["migrate", "--database", &url]] {
            let output = run(&args).await;
            refused(&output, 1, &[&["--database"], words].concat());
            assert!(!stderr(&output).contains("hunter2"), "{}", stderr(&output));
        }
    }
    let output = finish(
        command(&["serve", "--log", "trace"]).env("BEACON_DATABASE", "postgres://u:hunter2@127.0.0.1:1/jobs"),
    )
    .await;
    assert!(output.status.code() == Some(1) && !stderr(&output).contains("hunter2"), "{}", stderr(&output));
}
