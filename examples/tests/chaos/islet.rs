//! A network namespace whose only way out are relays, so that it can be cut off.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::provider::STAND_IN;

/// Where its relays listen, inside.
const SERVER: u16 = 5432;
const PROVIDER: u16 = 4000;

/// A namespace with a loopback interface of its own. Sockets in the file system reach out of it; what
/// lives inside knows only that interface.
#[derive(Debug)]
pub(crate) struct Islet {
    /// Keeps the namespace, and the relays in it, until its stdin ends.
    keeper: Child,
    _relays: Vec<Child>,
}

impl Islet {
    /// `None` when this machine allows no such thing: then why.
    pub(crate) async fn new(server: &Path, provider: &Path) -> Result<Self, String> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]);
        let keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut keeper = keeper.kill_on_drop(true).spawn().map_err(|error| error.to_string())?;
        if first_line(&mut keeper).await.as_deref() != Some("up") {
            let output = keeper.wait_with_output().await.map_err(|error| error.to_string())?;
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let mut islet = Self { keeper, _relays: Vec::new() };
        for (port, to) in [(SERVER, server), (PROVIDER, provider)] {
            let mut command = islet.inside(STAND_IN);
            command.args(["--while-stdin", "relay", "--port", &port.to_string(), "--to"]).arg(to);
            let mut relay = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            first_line(&mut relay).await.expect("a relay listens");
            islet._relays.push(relay);
        }
        Ok(islet)
    }

    /// A command that runs inside.
    pub(crate) fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let pid = self.keeper.id().expect("it lives");
        command.args(["--target", &pid.to_string(), "--net", program]).kill_on_drop(true);
        command
    }

    /// The database's URL, inside.
    pub(crate) fn database(&self, url: &str) -> String {
        let name = url.split('?').next().unwrap().rsplit_once('/').unwrap().1;
        format!("postgres://beacon@127.0.0.1:{SERVER}/{name}?sslmode=disable")
    }

    /// The provider's URL, inside.
    pub(crate) fn provider(&self) -> String {
        format!("http://127.0.0.1:{PROVIDER}")
    }

    /// Lets nothing through any more, or everything again. Connections stay open and silent.
    pub(crate) async fn set_connected(&self, connected: bool) {
        let state = if connected { "up" } else { "down" };
        let status = self.inside("ip").args(["link", "set", "lo", state]).status().await.unwrap();
        assert!(status.success(), "the network of the islet does not go {state}");
    }
}

async fn first_line(child: &mut Child) -> Option<String> {
    let lines = BufReader::new(child.stdout.take()?);
    lines.lines().next_line().await.ok()?
}
