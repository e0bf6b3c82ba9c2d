//! A test in a namespace of its own: a network of loopback alone, and processes that end with it.

use std::path::PathBuf;

use tokio::process::Command;

const INSIDE: &str = "BEACON_TEST_INSIDE";

/// The genuine daemon. `None` where there is none, after saying so; in CI that is a failure.
fn program() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("BEACON_GOLEM_YAGNA") {
        return Some(program.into());
    }
    let why = std::env::var("BEACON_GOLEM_MISSING").unwrap_or_else(|_| {
        "run scripts/golem-daemon and set BEACON_GOLEM_YAGNA to what it prints".to_owned()
    });
    println!("NOT TESTED: there is no genuine yagna: {why}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI this is to be tested: {why}");
    None
}

/// The genuine daemon, in the namespace. Outside of it `None`, after the test of this name has passed inside.
pub(crate) async fn inside(test: &str) -> Option<PathBuf> {
    let program = program()?;
    if std::env::var_os(INSIDE).is_some() {
        return Some(program);
    }
    let mut command = Command::new("unshare");
    if !rustix::process::getuid().is_root() {
        command.arg("--map-root-user");
    }
    // When its first process ends, all others do. A shell takes leave of those whose parents have died.
    command.args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"]);
    command
        .args(["sh", "-c", "PATH=$PATH:/usr/sbin:/sbin ip link set lo up && \"$0\" \"$@\"; exit $?"])
        .arg(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(INSIDE, "yes").kill_on_drop(true);
    let status = command.status().await.unwrap();
    assert!(status.success(), "inside: {status}");
    None
}
