use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs, process};

use rustix::process::{WaitOptions, wait};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::super::cgroup::Cgroup;
use super::super::handle::mark_name;
use super::super::input::{Launch, inherited};
use super::super::wire::{
    NotBegun, Process, Ready, STAGE_VARIABLE, Sent, StageReport, StageSetup, SupervisorSetup,
};
use super::pid;
use super::reaper::Reaper;
use crate::clock::{Clock, SystemClock};
use crate::host::stat;
use crate::id::AttemptId;

/// The command and all that comes from it.
pub(super) struct Tree {
    pub(super) ready: Ready,
    pub(super) stage: Stage,
    pub(super) reaper: Arc<Reaper>,
    pub(super) sent: Vec<Sent>,
}

/// The process that is to become the command.
pub(super) struct Stage {
    lines: tokio::io::Lines<BufReader<OwnedReadHalf>>,
    socket: OwnedWriteHalf,
}

impl Tree {
    /// Makes all that is needed. Nothing of the command runs.
    pub(super) async fn prepare(setup: &SupervisorSetup) -> io::Result<Self> {
        let cgroup = if setup.cgroup { Cgroup::make(setup.attempt) } else { None };
        match Self::with(setup.attempt, cgroup.clone()).await {
            Ok(tree) => Ok(tree),
            Err(error) => {
                // The prepared process ends by itself when its socket does, and that is closed.
                while wait(WaitOptions::empty()).is_ok() {}
                if let Some(cgroup) = cgroup {
                    cgroup.remove();
                }
                Err(error)
            }
        }
    }

    async fn with(attempt: AttemptId, cgroup: Option<Cgroup>) -> io::Result<Self> {
        let (command, mut stage) = Stage::start(cgroup.as_ref())?;
        let in_cgroup = stage.is_ready().await?;
        if let Some(cgroup) = cgroup.as_ref().filter(|_| !in_cgroup) {
            cgroup.remove();
        }
        let cgroup = cgroup.filter(|_| in_cgroup);
        let mark = if cgroup.is_none() { make_mark(attempt) } else { None };
        let reaper = Reaper::start(pid(command.pid)?)?;
        let supervisor = process_of(process::id())?;
        let ready = Ready { supervisor, command, cgroup, mark };
        Ok(Self { ready, stage, reaper, sent: Vec::new() })
    }

    pub(super) const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Keeps a record of a signal for the evidence.
    pub(super) fn record(&mut self, signal: &str, to: impl Into<String>) {
        let sent = Sent { signal: signal.to_owned(), to: to.into(), at: SystemClock.now() };
        self.sent.push(sent);
    }
}

impl Stage {
    fn start(cgroup: Option<&Cgroup>) -> io::Result<(Process, Self)> {
        let (ours, theirs) = Socket::pair()?;
        let setup = StageSetup { supervisor: process::id(), cgroup: cgroup.cloned() };
        let child = Command::new("/proc/self/exe")
            .arg0("beacon-jobs-stage")
            .env_clear()
            .envs(inherited())
            .envs(env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)))
            .env(STAGE_VARIABLE, serde_json::to_string(&setup)?)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        let command = process_of(child.id())?;
        ours.set_nonblocking(true)?;
        let (lines, socket) = UnixStream::from_std(ours)?.into_split();
        Ok((command, Self { lines: BufReader::new(lines).lines(), socket }))
    }

    async fn is_ready(&mut self) -> io::Result<bool> {
        match self.report().await? {
            Some(StageReport::Ready { in_cgroup }) => Ok(in_cgroup),
            Some(StageReport::NotBegun(not_begun)) => Err(io::Error::other(not_begun.error)),
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    async fn report(&mut self) -> io::Result<Option<StageReport>> {
        let line = self.lines.next_line().await?;
        Ok(line.as_deref().map(serde_json::from_str).transpose()?)
    }

    /// Lets it become the command.
    pub(super) async fn go(&mut self, launch: &Launch) -> io::Result<()> {
        let mut line = serde_json::to_vec(launch)?;
        line.push(b'\n');
        self.socket.write_all(&line).await
    }

    /// Waits until it has become the command, or could not.
    ///
    /// # Cancellation safety
    /// Loses nothing.
    pub(super) async fn outcome(&mut self) -> Result<(), NotBegun> {
        match self.report().await {
            // The socket closes at the very moment at which the other program takes over.
            Ok(None) => Ok(()),
            Ok(Some(StageReport::NotBegun(not_begun))) => Err(not_begun),
            Ok(Some(StageReport::Ready { .. })) => {
                Err(NotBegun { error: "the prepared process spoke out of turn".to_owned(), passing: false })
            }
            Err(error) => Err(NotBegun { error: error.to_string(), passing: true }),
        }
    }
}

fn process_of(pid: u32) -> io::Result<Process> {
    let stat = stat(pid).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat cannot be read")))?;
    Ok(Process { pid, start_time: stat.start_time })
}

fn make_mark(attempt: AttemptId) -> Option<PathBuf> {
    let path = env::temp_dir().join(mark_name(attempt));
    fs::File::create_new(&path).ok().map(|_| path)
}
