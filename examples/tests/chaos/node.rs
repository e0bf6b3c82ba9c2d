//! A node, in one of its lives.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use rustix::process::Signal;
use stand_in::Points;
use tokio::process::{Child, Command};

use crate::islet::Islet;
use crate::support::{RUNNER, TOKEN, kill};

/// How long a node counts as alive after its last heartbeat, in seconds.
pub(crate) const LEASE: u64 = 2;

/// How nodes are started.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) folder: PathBuf,
    pub(crate) database: String,
    pub(crate) provider: String,
}

#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    /// It lives behind relays, and answers no requests.
    islet: Option<Arc<Islet>>,
    child: Option<Child>,
    lives: usize,
    log: PathBuf,
    /// How it is asked, while it answers.
    pub(crate) url: Option<String>,
}

/// How a life ended by itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// At a point that it was told.
    Aborted,
    /// With this exit code.
    Exited(i32),
}

impl Node {
    pub(crate) fn new(name: &str, islet: Option<Arc<Islet>>) -> Self {
        Self { name: name.to_owned(), islet, child: None, lives: 0, log: PathBuf::new(), url: None }
    }

    pub(crate) const fn is_islet(&self) -> bool {
        self.islet.is_some()
    }

    pub(crate) fn lives(&self) -> bool {
        self.child.is_some()
    }

    /// Starts it, and waits until it answers, or has ended again.
    pub(crate) async fn start(&mut self, recipe: &Recipe, point: Option<&str>) {
        self.lives += 1;
        self.log = recipe.folder.join(format!("{}-{}.log", self.name, self.lives));
        let (mut command, database, provider) = match &self.islet {
            Some(islet) => (islet.inside(RUNNER), islet.database(&recipe.database), islet.provider()),
            None => (Command::new(RUNNER), recipe.database.clone(), recipe.provider.clone()),
        };
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BEACON_")) {
            command.env_remove(name);
        }
        let lease = LEASE.to_string();
        command.args(["serve", "--listen", "127.0.0.1:0", "--poll-ms", "200", "--lease-seconds", &lease]);
        command.args(["--log", "info,beacon_jobs::runner=debug,beacon_jobs::executor=debug"]);
        command.args(["--drain-seconds", "1", "--max-jobs", "16", "--node-name", &self.name]);
        command.args(["--database", &database, "--stand-in", &provider]).env("BEACON_ADMIN_TOKEN", TOKEN);
        if self.islet.is_some() {
            command.arg("--no-api");
        }
        if let Some(point) = point {
            command.env(Points::VARIABLE, point);
        }
        let out = recipe.folder.join("out");
        let log = File::create(&self.log).unwrap();
        command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(log).kill_on_drop(true);
        self.child = Some(command.spawn().unwrap());
        loop {
            let said = std::fs::read_to_string(&out).unwrap();
            if let Some(line) = said.lines().find(|_| said.contains('\n')) {
                self.url = line.strip_prefix("listening on ").map(str::to_owned);
                return;
            }
            let starts = std::fs::read_to_string(&self.log).unwrap().contains("runner started");
            if self.islet.is_some() && starts || self.has_ended().is_some() {
                return;
            }
            SystemClock.sleep(Duration::from_millis(10)).await;
        }
    }

    /// How it ended by itself, if it did.
    pub(crate) fn has_ended(&mut self) -> Option<End> {
        let status = self.child.as_mut()?.try_wait().unwrap()?;
        (self.child, self.url) = (None, None);
        if status.signal() == Some(Signal::ABORT.as_raw()) {
            return Some(End::Aborted);
        }
        Some(End::Exited(
            status.code().unwrap_or_else(|| panic!("{} ended by {status}: {}", self.name, self.log())),
        ))
    }

    /// Whether it stands still, by whoever's doing.
    pub(crate) fn is_frozen(&self) -> bool {
        let stat = self.child.as_ref().and_then(Child::id).map(|pid| format!("/proc/{pid}/stat"));
        let stat = stat.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.as_ref().and_then(Child::id) {
            kill(pid, signal);
        }
    }

    pub(crate) async fn kill_9(&mut self) {
        self.url = None;
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// Tells it to end, and waits for that.
    pub(crate) async fn drain(&mut self) {
        self.signal(Signal::TERM);
        self.url = None;
        if let Some(mut child) = self.child.take()
            && tokio::time::timeout(Duration::from_secs(20), child.wait()).await.is_err()
        {
            child.kill().await.unwrap();
        }
    }

    /// The point at which it stands still.
    pub(crate) fn frozen_at(&self) -> String {
        let log = self.log();
        log.lines()
            .find_map(|line| line.strip_prefix("frozen at "))
            .unwrap_or("a point of its own")
            .to_owned()
    }

    /// What it said in this life.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
