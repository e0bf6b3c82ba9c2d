//! The stand-in as a process.
#![allow(dead_code, reason = "not every test binary needs all of it")]

use std::path::Path;
use std::process::Stdio;

use beacon_jobs::clock::{Clock, SystemClock};
use stand_in::{Client, Entry, Event, Record};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The program.
pub(crate) const STAND_IN: &str = env!("CARGO_BIN_EXE_stand-in");

/// A provider that outlives every node.
#[derive(Debug)]
pub(crate) struct Provider {
    /// It ends when its stdin does: with this process, however that ends.
    _child: Child,
    pub(crate) url: String,
    pub(crate) client: Client,
}

impl Provider {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        Self::run(Command::new(STAND_IN).arg("serve")).await
    }

    /// Starts one that can be reached through a socket too.
    pub(crate) async fn with_socket(path: &Path) -> Self {
        Self::run(Command::new(STAND_IN).arg("serve").arg("--socket").arg(path)).await
    }

    async fn run(command: &mut Command) -> Self {
        let command = command.arg("--while-stdin").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("it says where it listens");
        let url = line.strip_prefix("listening on ").unwrap().to_owned();
        Self { _child: child, client: Client::new(&url, "the test"), url }
    }

    /// What it has logged so far.
    pub(crate) async fn record(&self) -> Record {
        Record::new(self.client.log().await.unwrap())
    }

    /// Waits until something of this sort has been logged so often.
    pub(crate) async fn logged(&self, event: Event, count: usize) -> Vec<Entry> {
        loop {
            let mut log = self.client.log().await.unwrap();
            log.retain(|entry| entry.event == event);
            if log.len() >= count {
                return log;
            }
            SystemClock.sleep(Duration::from_millis(20)).await;
        }
    }
}
