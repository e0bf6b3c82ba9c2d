//! A genuine daemon, as a process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::api::Api;

/// Nobody listens there: nothing that a daemon tries to reach elsewhere is found.
const NOWHERE: &str = "http://127.0.0.1:9";
/// Longer than a start takes on a busy machine.
const START: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(50);

/// Which part a daemon has in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Carries messages between the others.
    Hub,
    Requestor,
    Provider,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Requestor => "requestor",
            Self::Provider => "provider",
        }
    }

    /// The port of its REST API. Its namespace has no others.
    const fn port(self) -> u16 {
        match self {
            Self::Hub => 7465,
            Self::Requestor => 7475,
            Self::Provider => 7485,
        }
    }
}

/// It ends with whoever holds it.
#[derive(Debug)]
pub(crate) struct Daemon {
    part: Part,
    program: PathBuf,
    folder: PathBuf,
    pub(crate) api: Api,
    process: Mutex<Option<Child>>,
}

impl Daemon {
    /// Starts one with a folder of its own, and waits until it answers.
    pub(crate) async fn start(part: Part, program: &Path, folder: &Path) -> Self {
        let folder = folder.join(part.name());
        std::fs::create_dir(&folder).unwrap();
        let api =
            Api::new(format!("http://127.0.0.1:{}", part.port()), format!("key-of-the-{}", part.name()));
        let daemon = Self { part, program: program.to_owned(), folder, api, process: Mutex::new(None) };
        daemon.again().await;
        daemon
    }

    /// Starts it on what it has on disk, and waits until it answers.
    pub(crate) async fn again(&self) {
        let mut process = self.spawn();
        let answers = async {
            while !self.api.answers().await {
                SystemClock.sleep(LOOK).await;
            }
        };
        let outcome = tokio::select! {
            () = answers => Ok(()),
            status = process.wait() => Err(format!("it ended: {status:?}")),
            () = SystemClock.sleep(START) => Err("it does not answer".to_owned()),
        };
        outcome.unwrap_or_else(|why| panic!("the {}: {why}\n{}", self.part.name(), self.log()));
        *self.process.lock().await = Some(process);
    }

    fn spawn(&self) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = Command::new(&self.program);
        command
            .args(["service", "run", "--disable-metrics-push"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .env("YAGNA_DATADIR", &self.folder)
            .env("YAGNA_API_URL", &self.api.base)
            .env("YAGNA_AUTOCONF_APPKEY", &self.api.key)
            .env("YAGNA_DEV_SKIP_ALLOCATION_VALIDATION", "1")
            .env("YAGNA_METRICS_URL", NOWHERE)
            .env("YA_NET_RELAY_HOST", "127.0.0.1:9")
            .env("YA_NET_BIND_URL", format!("udp://127.0.0.1:{}", self.part.port() + 4000))
            // A node looks for offers at this pace; the usual four minutes would pass for a standstill.
            .env("MEAN_CYCLIC_BCAST_INTERVAL", "2s")
            .env("OFFER_BROADCAST_DELAY", "1s");
        for chain in
            ["MAINNET", "SEPOLIA", "RINKEBY", "GOERLI", "HOLESKY", "HOODI", "POLYGON", "MUMBAI", "AMOY"]
        {
            command.env(format!("{chain}_GETH_ADDR"), NOWHERE);
        }
        match self.part {
            Part::Hub => command.env("GSB_URL", "tcp://127.0.0.1:7464").env("YA_NET_TYPE", "hybrid"),
            Part::Requestor | Part::Provider => command
                .env("GSB_URL", format!("unix:{}", self.folder.join("gsb").display()))
                .env("YA_NET_TYPE", "central")
                .env("CENTRAL_NET_HOST", "127.0.0.1:7464"),
        };
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        command.spawn().unwrap()
    }

    /// Kills it with SIGKILL.
    pub(crate) async fn kill(&self) {
        let process = self.process.lock().await.take();
        process.expect("it runs").kill().await.unwrap();
    }

    /// Freezes it, or lets it go on.
    pub(crate) async fn freeze(&self, frozen: bool) {
        let process = self.process.lock().await;
        let pid = process.as_ref().and_then(Child::id).expect("it runs");
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, if frozen { Signal::STOP } else { Signal::CONT }).unwrap();
    }

    /// The end of what it has written.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.folder.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}
