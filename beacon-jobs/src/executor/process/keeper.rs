//! The task that holds the lifeline of one supervisor.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::cgroup::Cgroup;
use super::control::{Control, End, OutputReceiver, Seat};
use super::input::inherited;
use super::output::Written;
use super::registry::Registry;
use super::sweep::{Outcome, Sweep, Swept};
use super::wire::{Ended, Order, Report, SUPERVISOR_VARIABLE, SupervisorSetup};
use crate::clock::{Clock, SystemClock, within};
use crate::id::AttemptId;

/// How long a supervisor that is to use force may be silent before it is taken to hang.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what was written is waited for when all who could write are gone.
const DRAIN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

/// A supervisor that has been started.
pub(super) struct Keeper {
    child: Child,
    lifeline: UnixStream,
    attempt: AttemptId,
    registry: Arc<Registry>,
}

impl Keeper {
    /// Starts a supervisor, and a task that keeps it. What runs under it ends with that task.
    pub(super) fn start(
        program: &Path,
        setup: &SupervisorSetup,
        registry: &Arc<Registry>,
    ) -> io::Result<(Arc<Control>, OutputReceiver)> {
        let (ours, theirs) = Socket::pair()?;
        ours.set_nonblocking(true)?;
        let child = Command::new(program)
            .arg0("beacon-jobs-supervisor")
            .env_clear()
            .envs(inherited())
            // Needed to find the host program's own libraries; the command is not given it.
            .envs(std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)))
            .env(SUPERVISOR_VARIABLE, serde_json::to_string(setup)?)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let lifeline = UnixStream::from_std(ours)?;
        let keeper = Self { child, lifeline, attempt: setup.attempt, registry: Arc::clone(registry) };
        let (control, seat, output) = Control::new();
        registry.enter(setup.attempt, Arc::clone(&control));
        tokio::spawn(keeper.run(seat));
        Ok((control, output))
    }

    async fn run(mut self, mut seat: Seat) {
        let written = Written::default();
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let mut reading = std::pin::pin!(written.read(stdout, stderr));
        let mut read = false;
        let end = {
            let mut talk = std::pin::pin!(self.talk(&mut seat));
            loop {
                tokio::select! {
                    end = &mut talk => break end,
                    () = &mut reading, if !read => read = true,
                }
            }
        };
        if !read {
            within(&SystemClock, DRAIN, reading).await;
        }
        let exit = match &end {
            End::Reported { ended, .. } => ended.exit,
            End::Lost { .. } | End::Plain { .. } => super::wire::Exit::default(),
        };
        // Whoever no longer waits for it does not need it.
        let _ = seat.output.send(written.output(exit));
        let end = Arc::new(end);
        self.registry.retire(self.attempt, Arc::clone(&end));
        seat.view.send_modify(|view| view.end = Some(end));
    }

    /// Carries orders to the supervisor and reports from it, to its end.
    async fn talk(&mut self, seat: &mut Seat) -> End {
        let (lines, mut supervisor) = self.lifeline.split();
        let mut lines = BufReader::new(lines).lines();
        let mut ended: Option<Ended> = None;
        let mut heard = false;
        let mut unsent: Vec<u8> = Vec::new();
        let mut checks: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>> = FuturesUnordered::new();
        loop {
            tokio::select! {
                line = lines.next_line() => {
                    let Some(line) = line.ok().flatten() else { break };
                    heard = true;
                    match serde_json::from_str(&line) {
                        Ok(Report::Ready(ready)) => seat.view.send_modify(|view| view.ready = Some(ready)),
                        Ok(Report::Begun) => seat.view.send_modify(|view| view.begun = Some(Ok(()))),
                        Ok(Report::NotBegun(error)) => {
                            seat.view.send_modify(|view| view.begun = Some(Err(error)));
                        }
                        Ok(Report::Left(pids)) => seat.view.send_modify(|view| view.left = pids),
                        Ok(Report::Ended(report)) => {
                            ended = Some(report);
                            break;
                        }
                        Err(error) => {
                            tracing::warn!(attempt = %self.attempt, %error, "a supervisor said what it should not");
                        }
                    }
                }
                order = async {
                    match seat.orders.recv().await {
                        Some(order) => order,
                        None => pending().await,
                    }
                } => {
                    if let Order::Stop { grace_ms } = order {
                        let patience = Duration::from_millis(grace_ms).saturating_add(PATIENCE);
                        heard = false;
                        checks.push(Box::pin(async move { SystemClock.sleep(patience).await }));
                    }
                    unsent.extend(serde_json::to_vec(&order).unwrap_or_default());
                    unsent.push(b'\n');
                }
                // Beside the rest, for a supervisor that hangs takes nothing.
                written = supervisor.write(&unsent), if !unsent.is_empty() => match written {
                    Ok(count) => drop(unsent.drain(..count)),
                    // If it is gone, that is read above.
                    Err(_) => unsent.clear(),
                },
                Some(()) = checks.next(), if !checks.is_empty() => {
                    if heard {
                        heard = false;
                        checks.push(Box::pin(async { SystemClock.sleep(PATIENCE).await }));
                    } else {
                        tracing::warn!(attempt = %self.attempt, "a supervisor does not answer, and is killed");
                        // Read above as its end.
                        let _ = self.child.start_kill();
                    }
                }
            }
        }
        let ready = seat.view.borrow().ready.clone();
        match (ended, ready) {
            (Some(ended), Some(ready)) => {
                let _ = self.child.wait().await;
                End::Reported { ready, ended }
            }
            (_, ready) => {
                tracing::warn!(attempt = %self.attempt, "a supervisor was lost");
                let killed = ready.is_none() && exits_by_signal(&mut self.child).await;
                let _ = self.child.kill().await;
                let swept = match &ready {
                    Some(ready) => {
                        let sweep = Sweep {
                            attempt: self.attempt,
                            command: ready.command,
                            cgroup: ready.cgroup.clone(),
                            fresh: true,
                        };
                        sweep.run().await
                    }
                    None => {
                        remove_cgroup(self.attempt).await;
                        Swept { outcome: Outcome::NobodySeen, killed: Vec::new() }
                    }
                };
                End::Lost { ready, swept, killed }
            }
        }
    }
}

/// Removes the cgroup that a supervisor may have made before it was lost. Nothing has begun in it.
async fn remove_cgroup(attempt: AttemptId) {
    let Some(cgroup) = Cgroup::of(attempt) else { return };
    let deadline = SystemClock.now() + DRAIN;
    while !cgroup.remove() && SystemClock.now() < deadline {
        // What was prepared for the command dies with its supervisor anyhow.
        let _ = cgroup.kill();
        SystemClock.sleep(LOOK).await;
    }
}

/// Whether a program that has closed its lifeline exits at once, and by a signal. One that is no
/// supervisor exits by itself, or not at all.
async fn exits_by_signal(child: &mut Child) -> bool {
    let exit = within(&SystemClock, DRAIN, child.wait()).await;
    matches!(exit, Some(Ok(status)) if status.signal().is_some())
}
