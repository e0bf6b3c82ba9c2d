use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, test_kill_process_group, wait,
    waitid,
};
use tokio::sync::Notify;

use super::super::wire::Exit;

/// Reaps every child, in a thread of its own: orphans of the command come here as fast as it makes
/// them.
#[derive(Debug)]
pub(super) struct Reaper {
    command: Pid,
    state: Mutex<Reaped>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reaped {
    /// How the command exited, once it has.
    pub(super) command: Option<Exit>,
    pub(super) count: u64,
    /// The kernel has said that there is no child any more.
    pub(super) none_left: bool,
}

impl Reaper {
    pub(super) fn start(command: Pid) -> io::Result<Arc<Self>> {
        let this = Arc::new(Self { command, state: Mutex::default(), changed: Notify::new() });
        let reaper = Arc::clone(&this);
        thread::Builder::new().name("reaper".to_owned()).spawn(move || reaper.run())?;
        Ok(this)
    }

    fn run(&self) {
        // Looks only. Reaping sets a number free, so that is done under the lock.
        while let Ok(_) | Err(Errno::INTR) =
            waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {
            let mut state = self.state();
            if let Ok(Some((child, status))) = wait(WaitOptions::NOHANG) {
                state.count += 1;
                if child == self.command {
                    state.command =
                        Some(Exit { code: status.exit_status(), signal: status.terminating_signal() });
                }
            }
            // Said in the same breath, so that nobody sees the last one reaped and looks for more.
            let looked =
                waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG);
            state.none_left = matches!(looked, Err(Errno::CHILD));
            drop(state);
            self.changed.notify_one();
        }
        self.state().none_left = true;
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, Reaped> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reaped(&self) -> Reaped {
        *self.state()
    }

    /// Waits until something was reaped since the last call.
    ///
    /// # Cancellation safety
    /// Loses nothing.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Sends SIGTERM to the command's process group, as long as its number is its own. Tells
    /// whether it was sent.
    pub(super) fn terminate_group(&self) -> bool {
        let state = self.state();
        state.command.is_none() && kill_process_group(self.command, Signal::TERM).is_ok()
    }

    /// Whether a process of the command's group is left.
    pub(super) fn group_is_left(&self) -> bool {
        test_kill_process_group(self.command).is_ok()
    }
}
