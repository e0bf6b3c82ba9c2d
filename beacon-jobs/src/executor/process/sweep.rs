use std::time::Duration;

use serde_json::{Value, json};

use super::cgroup::{Cgroup, Population};
use super::tree::Traces;
use super::wire::Process;
use crate::clock::{Clock, SystemClock};
use crate::id::AttemptId;

/// For how long one sweep goes on.
const LIMIT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(5);
/// After how many looks that saw nobody a sweep by traces ends.
const QUIET_LOOKS: u32 = 3;

/// Ends what a lost supervisor, or a command without one, has left behind.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    pub(super) attempt: AttemptId,
    pub(super) command: Process,
    pub(super) cgroup: Option<Cgroup>,
    /// The command lived a moment ago; see [`Traces::new`].
    pub(super) fresh: bool,
}

/// What a sweep found.
#[derive(Clone, Debug)]
pub(super) struct Swept {
    pub(super) outcome: Outcome,
    /// Who was sent SIGKILL.
    pub(super) killed: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The private cgroup is empty and removed.
    Emptied,
    /// Nobody is seen any more.
    NobodySeen,
    /// The private cgroup is not empty, or these are still seen.
    Left(Vec<u32>),
    /// It cannot be told from here.
    Unseen(String),
}

impl Sweep {
    /// Kills until nobody is seen, or the time is up.
    ///
    /// # Cancellation safety
    /// When dropped, the sweep may go on to its end.
    pub(super) async fn run(self) -> Swept {
        // Reading all processes takes its time.
        let work = tokio::task::spawn_blocking(move || self.run_blocking());
        work.await
            .unwrap_or_else(|error| Swept { outcome: Outcome::Unseen(error.to_string()), killed: Vec::new() })
    }

    fn run_blocking(&self) -> Swept {
        let traces = Traces::new(self.attempt, self.command, self.fresh);
        let deadline = SystemClock.now() + LIMIT;
        let mut killed = Vec::new();
        let mut quiet = 0;
        loop {
            if let Some(cgroup) = &self.cgroup {
                // Whether it worked is seen below.
                let _ = cgroup.kill();
            }
            let seen: Vec<u32> = traces.kill_all().iter().map(|process| process.pid).collect();
            killed.extend(seen.iter().copied().filter(|pid| !killed.contains(pid)).collect::<Vec<_>>());
            quiet = if seen.is_empty() { quiet + 1 } else { 0 };
            let outcome = self.judge(seen, quiet);
            // Without a cgroup one look may take longer than the limit, where very many processes
            // live; as long as nobody is seen, the next look may be the last.
            let settles = self.cgroup.is_none() && quiet > 0;
            match outcome {
                Outcome::Left(_) if settles || SystemClock.now() < deadline => pause(),
                outcome => return Swept { outcome, killed },
            }
        }
    }

    fn judge(&self, seen: Vec<u32>, quiet: u32) -> Outcome {
        match self.cgroup.as_ref().map(|cgroup| (cgroup, cgroup.population())) {
            Some((_, Ok(Population::Removed))) if seen.is_empty() => Outcome::Emptied,
            Some((cgroup, Ok(Population::Empty))) if seen.is_empty() && cgroup.remove() => Outcome::Emptied,
            Some((cgroup, Err(error))) => {
                Outcome::Unseen(format!("cgroup {} cannot be read: {error}", cgroup.path().display()))
            }
            None if quiet >= QUIET_LOOKS => Outcome::NobodySeen,
            _ => Outcome::Left(seen),
        }
    }
}

/// On a thread for blocking work, between two looks at what has just been killed.
#[expect(clippy::disallowed_methods, reason = "what is waited for is the kernel, not anybody's clock")]
fn pause() {
    std::thread::sleep(PAUSE);
}

impl Swept {
    pub(super) fn evidence(&self) -> Value {
        json!({ "signal": "SIGKILL", "killed_one_by_one": self.killed, "at": super::status::now() })
    }
}
