use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::support::{Place, Runner, command, finish, refused, run, stdout};

/// Arguments of a runner that would listen on a free port.
fn serve<'a>(database: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["serve", "--listen", "127.0.0.1:0", "--database", database], more].concat()
}

#[tokio::test]
async fn a_port_in_use_is_refused_in_one_line() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["serve", "--listen", &address, "--database", &place.database()]).await;
    refused(&output, 1, &["--listen", &address, "in use", "port 0"]);
    assert!(!place.path("jobs.db").exists(), "nothing else was begun");
}

#[tokio::test]
async fn a_second_runner_on_a_live_file_is_refused_in_one_line() {
    let place = Place::new();
    let first = Runner::start(&place, &[]).await;
    let output = run(&serve(&place.database(), &[])).await;
    refused(&output, 1, &["--database", "jobs.db", "--no-runner"]);
    assert_eq!(first.client(&["jobs"]).await.status.code(), Some(0), "the first one goes on");
    first.kill_9().await;
    // Nobody waits for the lease of one that is gone.
    Runner::start(&place, &["--lease-seconds", "3600"]).await;
}

#[tokio::test]
async fn a_corrupt_file_is_refused_in_one_line_and_left_as_it_is() {
    let place = Place::new();
    let path = place.path("jobs.db");
    let garbage = b"this is no database, but somebody's only copy of something else ".repeat(200);
    fs::write(&path, &garbage).unwrap();
    for args in [serve(&place.database(), &[]), vec!["migrate", "--database", &place.database()]] {
        refused(&run(&args).await, 1, &["--database", "jobs.db"]);
    }
    assert!(fs::read(&path).unwrap() == garbage);
}

#[tokio::test]
async fn a_file_that_may_not_be_written_is_refused_in_one_line() {
    let place = Place::new();
    Runner::start(&place, &[]).await.kill_9().await;
    for name in ["jobs.db-wal", "jobs.db-shm"] {
        let _ = fs::remove_file(place.path(name));
    }
    let before = fs::read(place.path("jobs.db")).unwrap();
    fs::set_permissions(place.path("jobs.db"), Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(place.path(""), Permissions::from_mode(0o555)).unwrap();
    let database = place.database();
    let mut command = command(&serve(&database, &[]));
    // Nothing is forbidden to root.
    if rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    let output = finish(&mut command).await;
    fs::set_permissions(place.path(""), Permissions::from_mode(0o755)).unwrap();
    refused(&output, 1, &["--database", "jobs.db"]);
    assert!(fs::read(place.path("jobs.db")).unwrap() == before);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_refused_in_one_line() {
    let place = Place::new();
    let database = format!("sqlite://{}", place.path("no/such/jobs.db").display());
    refused(&run(&serve(&database, &[])).await, 1, &["--database", "no/such/jobs.db"]);
}

#[tokio::test]
async fn configuration_errors_name_the_flag_and_the_fix_and_show_no_secret() {
    let place = Place::new();
    let database = place.database();
    for (more, words) in [
        (&["--auth", "open", "--listen", "0.0.0.0:0"][..], &["--auth open", "0.0.0.0", "127.0.0.1"][..]),
        (&["--auth", "wallet", "--listen", "0.0.0.0:0"], &["--auth wallet", "--public-url"]),
        (&["--lease-seconds", "0"], &["--lease-seconds", "1..=3600"]),
        (&["--max-body", "1MB"], &["--max-body", "MiB"]),
        (&["--max-jobs", "many"], &["--max-jobs"]),
        (&["--executors", "process,modal"], &["--executors", "modal", "MODAL_TOKEN_ID"]),
        (&["--executors", "proces"], &["--executors", "process"]),
        (&["--log", "info,a=loud"], &["--log"]),
        (&["--log-format", "xml"], &["--log-format", "text, json"]),
        (&["--no-runner", "--no-api"], &["--no-runner", "--no-api"]),
        (&["--cors-origin", "https://a.example/path"], &["--cors-origin"]),
        (&["--admin-token", "hunter2"], &["--admin-token", "16"]),
        (&["--listen", "nowhere"], &["--listen", "127.0.0.1:8080"]),
        (&["--no-such-flag"], &["--no-such-flag"]),
    ] {
        let args: Vec<&str> = match more.contains(&"--listen") {
            true => [&["serve", "--database", &database], more].concat(),
            false => serve(&database, more),
        };
        let output = run(&args).await;
        refused(&output, 2, words);
        assert!(!crate::support::stderr(&output).contains("hunter2"));
    }
    for url in ["postgres:u:hunter2@db/jobs", "mysql://u:hunter2@db/jobs"] {
        let output = finish(command(&["serve"]).env("BEACON_DATABASE", url)).await;
        refused(&output, 2, &["--database", "sqlite://PATH"]);
        assert!(!crate::support::stderr(&output).contains("hunter2"));
    }
    assert!(!place.path("jobs.db").exists(), "nothing was begun");
}

#[tokio::test]
async fn migrate_applies_the_schema_once_and_again() {
    let place = Place::new();
    for _ in 0..2 {
        let output = run(&["migrate", "--database", &place.database()]).await;
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("up to date"));
    }
    assert!(place.path("jobs.db").exists());
    refused(&run(&["migrate", "--database", "memory:"]).await, 2, &["--database memory:"]);
}

#[tokio::test]
async fn help_hides_what_the_environment_holds() {
    let output = finish(
        command(&["serve", "--help"])
            .env("BEACON_ADMIN_TOKEN", "hunter2")
            .env("BEACON_DATABASE", "postgres://hunter2"),
    )
    .await;
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("--drain-seconds") && !stdout(&output).contains("hunter2"));
    let output = run(&["--version"]).await;
    assert!(stdout(&output).starts_with("beacon-runner "));
}
