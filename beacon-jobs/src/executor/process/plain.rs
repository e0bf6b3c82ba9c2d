//! A command without a supervisor, for hosts that did not call [`init`](super::init).

use std::future::pending;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::control::{Control, End, OutputReceiver, Seat};
use super::input::Launch;
use super::output::Written;
use super::registry::Registry;
use super::sweep::Sweep;
use super::tree;
use super::wire::{Exit, Order, Process};
use crate::clock::{Clock, SystemClock, within};
use crate::host::ProcessIdentity;
use crate::id::AttemptId;

/// How long what was written is waited for when nobody is seen any more who could write.
const DRAIN: Duration = Duration::from_secs(2);

/// A command that has begun.
pub(super) struct Plain {
    child: Child,
    command: Process,
    attempt: AttemptId,
    registry: Arc<Registry>,
}

impl Plain {
    /// Starts the command, and a task that watches it.
    pub(super) fn start(
        launch: Launch,
        attempt: AttemptId,
        registry: &Arc<Registry>,
    ) -> io::Result<(Process, Arc<Control>, OutputReceiver)> {
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.args)
            .env_clear()
            .envs(&launch.env)
            .stdin(if launch.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0);
        if let Some(cwd) = &launch.cwd {
            command.current_dir(cwd);
        }
        let child = command.spawn()?;
        let pid = child.id().unwrap_or_default();
        let process = Process { pid, start_time: ProcessIdentity::of(pid).start_time };
        let plain = Self { child, command: process, attempt, registry: Arc::clone(registry) };
        let (control, seat, output) = Control::new();
        registry.enter(attempt, Arc::clone(&control));
        tokio::spawn(plain.run(seat, launch.stdin));
        Ok((process, control, output))
    }

    async fn run(mut self, mut seat: Seat, text: Option<String>) {
        let written = Written::default();
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let stdin = self.child.stdin.take();
        let feed = async {
            if let (Some(mut stdin), Some(text)) = (stdin, text) {
                // A command need not read what it is given.
                let _ = stdin.write_all(text.as_bytes()).await;
            }
        };
        let mut streams = std::pin::pin!(async { tokio::join!(written.read(stdout, stderr), feed) });
        let mut streams_ended = false;
        let exit = {
            let mut exited = std::pin::pin!(self.exited(&mut seat));
            loop {
                tokio::select! {
                    exit = &mut exited => break exit,
                    _ = &mut streams, if !streams_ended => streams_ended = true,
                }
            }
        };
        let sweep = Sweep { attempt: self.attempt, command: self.command, cgroup: None, fresh: true };
        let swept = sweep.run().await;
        if !streams_ended {
            within(&SystemClock, DRAIN, streams).await;
        }
        // Whoever no longer waits for it does not need it.
        let _ = seat.output.send(written.output(exit));
        let end = Arc::new(End::Plain { exit, swept });
        self.registry.retire(self.attempt, Arc::clone(&end));
        seat.view.send_modify(|view| view.end = Some(end));
    }

    async fn exited(&mut self, seat: &mut Seat) -> Exit {
        let mut graces: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>> = FuturesUnordered::new();
        loop {
            tokio::select! {
                status = self.child.wait() => return status.map(exit_of).unwrap_or_default(),
                order = async {
                    match seat.orders.recv().await {
                        Some(order) => order,
                        None => pending().await,
                    }
                } => {
                    if let Order::Stop { grace_ms } = order {
                        if graces.is_empty() {
                            tree::terminate_group(self.command);
                        }
                        graces.push(Box::pin(async move { SystemClock.sleep(Duration::from_millis(grace_ms)).await }));
                    }
                }
                // What is left of its group then is the sweep's.
                Some(()) = graces.next(), if !graces.is_empty() => {
                    tree::send(self.command, Signal::KILL);
                }
            }
        }
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    Exit { code: status.code(), signal: status.signal() }
}
