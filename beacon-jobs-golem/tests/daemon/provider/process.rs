//! The processes of an activity: a runtime, and the commands in it, all in one group.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process, test_kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const LOOK: Duration = Duration::from_millis(2);

/// The group ends with whoever holds it.
#[derive(Debug)]
pub(super) struct Runtime {
    group: Pid,
    first: Child,
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap()
}

impl Runtime {
    pub(super) fn start() -> Self {
        let mut command = Command::new("sleep");
        let command = command.arg("infinity").process_group(0).stdin(Stdio::null()).kill_on_drop(true);
        let first = command.spawn().unwrap();
        Self { group: pid(&first), first }
    }

    pub(super) const fn group(&self) -> Pid {
        self.group
    }

    /// Ends all processes of the group, and returns when none is left.
    pub(super) async fn end(&mut self) {
        self.kill();
        self.first.wait().await.unwrap();
        while test_kill_process_group(self.group).is_ok() {
            SystemClock.sleep(LOOK).await;
        }
    }

    fn kill(&self) {
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Once its first process was waited for, the number may be another's.
        if self.first.id().is_some() {
            self.kill();
        }
    }
}

/// A command that runs, in the group of a runtime.
pub(super) struct Running(Child);

impl Running {
    /// Starts a program of a folder.
    pub(super) fn start(group: Pid, folder: &Path, program: &str, args: &[String]) -> Result<Self, String> {
        let mut command = Command::new(folder.join(program));
        command.args(args).current_dir(folder).process_group(group.as_raw_nonzero().get());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().map(Self).map_err(|error| format!("{program}: {error}"))
    }

    pub(super) fn pid(&self) -> Pid {
        pid(&self.0)
    }

    /// Waits for its end, and hands over each line of its output as it comes.
    pub(super) async fn output(mut self, line: impl Fn(&str) + Send + Sync) -> Output {
        let mut lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        let printed = async {
            let mut all = String::new();
            while let Some(next) = lines.next_line().await.unwrap() {
                line(&next);
                all.push_str(&next);
                all.push('\n');
            }
            all.into_bytes()
        };
        let (stdout, ended) = tokio::join!(printed, self.0.wait_with_output());
        Output { stdout, ..ended.unwrap() }
    }
}

/// Whether the system has a process of this number that has not ended.
pub(super) fn lives(pid: Pid) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let is_zombie = state.is_ok_and(|state| state.rsplit(") ").next().is_some_and(|it| it.starts_with('Z')));
    test_kill_process(pid).is_ok() && !is_zombie
}
