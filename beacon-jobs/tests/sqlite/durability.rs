//! An acknowledged cancel survives a power loss: the system calls of a cancel, as strace saw them.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a traced program talks to its tracer")]

use std::path::Path;
use std::process::Command;

use beacon_jobs::cancel::CancelOutcome;
use beacon_jobs::store::JobStore;
use beacon_jobs::store::sqlite::SqliteStore;

use crate::bed::{Bed, id, request};

const FOLDER: &str = "BEACON_JOBS_TEST_TRACED_FOLDER";
const BEGINS: &str = "the cancel begins";
const ANSWERED: &str = "the cancel is answered";

/// The program that is traced: cancels a job, and says when.
#[tokio::test]
#[ignore = "a part of the tests below, which run it under strace"]
async fn traced_cancel() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = SqliteStore::open(Path::new(&folder).join("beacon.db")).await.unwrap();
    eprintln!("{BEGINS}");
    let outcome = store.cancel(&id("one"), &request()).await;
    eprintln!("{ANSWERED}");
    match outcome {
        Ok(CancelOutcome::Cancelled { .. }) => {}
        Ok(other) => panic!("{other:?}"),
        Err(error) => println!("{:?}: {error}", error.kind()),
    }
}

/// Runs the program above under strace, on a file with one job. Returns what it printed and the
/// trace; nothing when there is no strace.
fn trace(folder: &Path, options: &[&str]) -> Option<(String, String)> {
    let log = folder.join("trace");
    let traced = Command::new("strace")
        .args(["-f", "-y", "-s", "200", "-e", "trace=pwrite64,write,fsync,fdatasync,ftruncate", "-o"])
        .arg(&log)
        .args(options)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "durability::traced_cancel", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .output();
    let output = match traced {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: strace cannot be run ({error}); install it to test durability");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    Some((text, std::fs::read_to_string(log).unwrap()))
}

/// A file with one queued job, at rest.
async fn prepare() -> tempfile::TempDir {
    let bed = Bed::new().await;
    bed.submit("one", 3).await;
    bed.store.close().await;
    bed.home
}

fn is_sync(call: &str) -> bool {
    call.contains("fsync(") || call.contains("fdatasync(")
}

#[tokio::test]
async fn the_wal_is_synced_between_the_cancels_last_write_and_its_answer() {
    let folder = prepare().await;
    let Some((_, trace)) = trace(folder.path(), &[]) else { return };
    let calls: Vec<&str> = trace.lines().collect();
    let at =
        |word: &str| calls.iter().position(|call| call.contains("write(2") && call.contains(word)).unwrap();
    let during = &calls[at(BEGINS)..at(ANSWERED)];
    let last_write = during
        .iter()
        .rposition(|call| call.contains("pwrite64(") && call.contains("beacon.db"))
        .unwrap_or_else(|| panic!("the cancel wrote nothing:\n{trace}"));
    assert!(during[last_write].contains("beacon.db-wal>"), "the last write is not to the WAL:\n{trace}");
    let synced = during[last_write..]
        .iter()
        .any(|call| is_sync(call) && call.contains("beacon.db-wal>") && call.trim_end().ends_with("= 0"));
    assert!(synced, "the WAL is not synced before the answer:\n{trace}");
}

#[tokio::test]
async fn a_commit_that_could_not_be_synced_has_an_unknown_outcome() {
    let folder = prepare().await;
    let Some((said, _)) = trace(folder.path(), &["-e", "inject=fsync,fdatasync:error=EIO"]) else { return };
    let told = said.lines().find(|line| line.starts_with("OutcomeUnknown: the store in ")).expect(&said);
    assert!(told.contains("beacon.db") && told.contains("ask again"), "{told}");
    // Its frames are in the WAL, so it may have happened: only asking again tells.
    let store = SqliteStore::open(folder.path().join("beacon.db")).await.unwrap();
    let again = store.cancel(&id("one"), &request()).await.unwrap();
    assert!(
        matches!(again, CancelOutcome::AlreadyCancelled { .. } | CancelOutcome::Cancelled { .. }),
        "{again:?}"
    );
    println!("asked again: {again:?}");
}
