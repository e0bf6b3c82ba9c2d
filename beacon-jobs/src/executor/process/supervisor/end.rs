use std::collections::HashSet;
use std::fs;
use std::process;
use std::time::Duration;

use super::super::cgroup::Population;
use super::super::tree::Descendants;
use super::super::wire::{Ended, Process, Report};
use super::Runner;
use super::tree::Tree;
use super::watch::Verdict;
use crate::clock::{Clock, SystemClock, within};

/// How many looks are taken without a pause while the tree changes under them.
const EAGER: u32 = 5_000;
/// How long the kill by cgroup is given before its processes are looked for one by one, which costs
/// a look at every process of the host.
const CGROUP_PAUSE: Duration = Duration::from_millis(50);
const SHORT_PAUSE: Duration = Duration::from_millis(1);
/// For what even SIGKILL ends late: a process in the middle of a slow disk or network call.
const LONG_PAUSE: Duration = Duration::from_millis(50);
/// How often the runner is told that somebody is still left.
const TELL_EVERY: Duration = Duration::from_secs(1);

impl Tree {
    /// Ends all that is left, by force, and returns only when nothing is.
    pub(super) async fn end(mut self, verdict: Verdict, runner: &mut Runner) -> Ended {
        let mut killed: HashSet<Process> = HashSet::new();
        if !self.reaper.reaped().none_left {
            self.kill_descendants(runner, &mut killed).await;
        }
        let cgroup_removed = self.clear_cgroup(runner).await;
        if let Some(mark) = &self.ready.mark {
            // If it stays, less is claimed than is true.
            let _ = fs::remove_file(mark);
        }
        let reaped = self.reaper.reaped();
        Ended {
            ended_by: verdict.ended_by,
            exit: reaped.command.unwrap_or_default(),
            because: verdict.because.to_owned(),
            signals: self.sent,
            killed: killed.len() as u64,
            reaped: reaped.count,
            cgroup_removed,
            at: SystemClock.now(),
        }
    }

    async fn kill_descendants(&mut self, runner: &mut Runner, killed: &mut HashSet<Process>) {
        let cgroup = self.ready.cgroup.clone();
        if let Some(cgroup) = &cgroup {
            self.record("SIGKILL", format!("cgroup {}", cgroup.path().display()));
        }
        let mut descendants = Descendants::of(process::id());
        let mut told = SystemClock.now();
        for look in 0_u32.. {
            if let Some(cgroup) = &cgroup {
                // What it does not reach is killed one by one.
                let _ = cgroup.kill();
                if look == 0 && within(&SystemClock, CGROUP_PAUSE, self.nobody_left()).await.is_some() {
                    return;
                }
            }
            if look == 0 {
                self.record("SIGKILL", "each descendant of the supervisor");
            }
            let seen = descendants.kill_all();
            let is_new = seen.iter().filter(|process| killed.insert(**process)).count() > 0;
            if self.reaper.reaped().none_left {
                return;
            }
            if SystemClock.now() - told >= TELL_EVERY {
                told = SystemClock.now();
                runner.tell(&Report::Left(seen.iter().map(|process| process.pid).collect())).await;
            }
            // Whoever forks faster than it is looked at is met sooner or later, if there is no
            // pause. The reaper needs no turn of this thread.
            let restless = is_new || seen.is_empty();
            if look >= EAGER || !restless {
                let pause = if look < EAGER { SHORT_PAUSE } else { LONG_PAUSE };
                within(&SystemClock, pause, self.reaper.changed()).await;
            }
        }
    }

    async fn nobody_left(&self) {
        while !self.reaper.reaped().none_left {
            self.reaper.changed().await;
        }
    }

    /// Waits until the private cgroup is empty, and removes it. All that was in it is a descendant,
    /// and those are gone, so this takes long only if somebody moved a process of theirs into it.
    async fn clear_cgroup(&self, runner: &mut Runner) -> bool {
        let Some(cgroup) = &self.ready.cgroup else { return false };
        let mut told = SystemClock.now();
        loop {
            match cgroup.population() {
                Ok(Population::Removed) => return true,
                Ok(Population::Empty) if cgroup.remove() => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
            let _ = cgroup.kill();
            SystemClock.sleep(SHORT_PAUSE).await;
            if SystemClock.now() - told >= TELL_EVERY {
                told = SystemClock.now();
                runner.tell(&Report::Left(Vec::new())).await;
            }
        }
    }
}
