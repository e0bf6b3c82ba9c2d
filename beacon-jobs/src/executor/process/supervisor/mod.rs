//! The supervisor: this program, started again, around one command.
//!
//! It is a subreaper, so that every descendant of the command stays its own, however it forks and
//! whatever parents it loses. Its standard input is a socket to the runner; when that ends, the
//! runner is dead, and the command dies too.

mod end;
mod reaper;
mod stage;
mod tree;
mod watch;

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::{env, fs, process, thread};

use rustix::process::{Pid, getpid, set_child_subreaper};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::tree::Tree;
use super::wire::{NotBegun, Report, STAGE_VARIABLE, SUPERVISOR_VARIABLE, SupervisorSetup};

/// For a start that cannot be understood or set up.
const EXIT_BROKEN: i32 = 70;

/// Never returns in a process that was started as a supervisor, or to become a command.
pub(super) fn take_over_if_asked() {
    // In this order: a process prepared for a command never starts another, whatever else its
    // environment holds. In the other one a slip there would start supervisors without end.
    if let Some(setup) = read_setup(STAGE_VARIABLE) {
        leave(setup.and_then(|setup| stage::become_command(&setup)));
    }
    if let Some(setup) = read_setup(SUPERVISOR_VARIABLE) {
        leave(setup.and_then(|setup| supervise(&setup)));
    }
}

fn read_setup<T: DeserializeOwned>(variable: &str) -> Option<io::Result<T>> {
    let value = env::var_os(variable)?;
    Some(serde_json::from_slice(value.as_encoded_bytes()).map_err(io::Error::from))
}

fn leave(outcome: io::Result<()>) -> ! {
    if let Err(error) = &outcome {
        // There is nobody else to tell.
        let _ = writeln!(io::stderr(), "beacon-jobs supervisor: {error}");
    }
    process::exit(if outcome.is_ok() { 0 } else { EXIT_BROKEN })
}

/// Takes the socket that is the standard input, so that no child gets it.
fn take_stdin() -> io::Result<UnixStream> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    dup2_stdin(fs::File::open("/dev/null")?)?;
    Ok(UnixStream::from(socket))
}

/// Leaves the pipes of the standard outputs to the command alone: they end when its last
/// descendant is gone.
fn drop_outputs() -> io::Result<()> {
    let nothing = fs::File::options().write(true).open("/dev/null")?;
    dup2_stdout(&nothing)?;
    dup2_stderr(&nothing)?;
    Ok(())
}

fn supervise(setup: &SupervisorSetup) -> io::Result<()> {
    let lifeline = take_stdin()?;
    lifeline.set_nonblocking(true)?;
    set_child_subreaper(Some(getpid()))?;
    // A runtime can't be entered where the host's main has one of its own around `init`. And a
    // command dies with the thread that started it, so that thread must stay: this one.
    let thread = thread::Builder::new().name("supervisor".to_owned());
    thread::scope(|scope| {
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(serve(setup, lifeline))
        };
        let handle = thread.spawn_scoped(scope, work)?;
        handle.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")))
    })
}

async fn serve(setup: &SupervisorSetup, lifeline: UnixStream) -> io::Result<()> {
    let signals = Signals::take()?;
    let (orders, runner) = tokio::net::UnixStream::from_std(lifeline)?.into_split();
    let mut runner = Runner(runner);
    let tree = match Tree::prepare(setup).await {
        Ok(tree) => tree,
        Err(error) => {
            let error = format!("the supervisor could not prepare a process: {error}");
            runner.tell(&Report::NotBegun(NotBegun { error, passing: true })).await;
            return Ok(());
        }
    };
    drop_outputs()?;
    runner.tell(&Report::Ready(tree.ready().clone())).await;
    let (tree, verdict) = tree.watch(orders, &mut runner, signals).await;
    let ended = tree.end(verdict, &mut runner).await;
    runner.tell(&Report::Ended(ended)).await;
    Ok(())
}

/// The runner, as long as it lives.
struct Runner(OwnedWriteHalf);

impl Runner {
    async fn tell(&mut self, report: &Report) {
        let Ok(mut line) = serde_json::to_vec(report) else { return };
        line.push(b'\n');
        // A dead runner is noticed where its orders are read.
        let _ = self.0.write_all(&line).await;
    }
}

/// What signals mean to a supervisor.
struct Signals {
    /// End the tree by force, now: sent by another runner of this host.
    force: Signal,
    /// Sent to the whole service or terminal: it is the runner that decides what follows.
    _ignored: [Signal; 3],
}

impl Signals {
    fn take() -> io::Result<Self> {
        Ok(Self {
            force: signal(SignalKind::user_defined1())?,
            _ignored: [
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::hangup())?,
            ],
        })
    }
}

fn pid(number: u32) -> io::Result<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no such process id"))
}
