//! Finding processes of this host, and killing exactly those.

use std::collections::{HashMap, HashSet};
use std::fs;

use rustix::process::{Pid, Signal, kill_process_group};

use super::ATTEMPT_VARIABLE;
use super::wire::Process;
use crate::host::{Stat, stat};
use crate::id::AttemptId;

/// The processes of this pid namespace, newest numbers first: what moves fast is found there.
fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable_by(|a, b| b.cmp(a));
    pids
}

/// Whether this very process executes.
pub(super) fn is_alive(process: Process) -> bool {
    stat(process.pid).is_some_and(|stat| stat.start_time == process.start_time && !stat.is_over())
}

/// Sends a signal to the process if it fits, and to no other that may have got its number
/// meanwhile. Tells which process it was.
fn signal_if(pid: u32, signal: Signal, fits: impl Fn(&Stat) -> bool) -> Option<Process> {
    // Held over the look and the signal: it names the process, not the number.
    let process = exact::Held::open(pid)?;
    let stat = stat(pid)?;
    if stat.is_over() || !fits(&stat) || !process.send(signal) {
        return None;
    }
    Some(Process { pid, start_time: stat.start_time })
}

fn kill_if(pid: u32, fits: impl Fn(&Stat) -> bool) -> Option<Process> {
    signal_if(pid, Signal::KILL, fits)
}

/// Sends a signal to this very process. Tells whether it was there.
pub(super) fn send(process: Process, signal: Signal) -> bool {
    signal_if(process.pid, signal, |stat| stat.start_time == process.start_time).is_some()
}

/// Sends SIGTERM to the process group of this very process, which leads it.
pub(super) fn terminate_group(leader: Process) -> bool {
    let number = i32::try_from(leader.pid).ok().and_then(Pid::from_raw);
    is_alive(leader) && number.is_some_and(|group| kill_process_group(group, Signal::TERM).is_ok())
}

/// The descendants of one process.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(super) struct Descendants {
    root: u32,
    /// Numbers that were seen to be of others. They are not looked at again until the next full
    /// look: reading a process takes longer than a command needs to fork, `setsid` and exit.
    others: HashSet<u32>,
    looks: u32,
}

#[cfg(target_os = "linux")]
impl Descendants {
    /// How many quick looks are taken before the next full one.
    const QUICK: u32 = 32;

    pub(super) fn of(root: u32) -> Self {
        Self { root, others: HashSet::new(), looks: 0 }
    }

    /// Sends SIGKILL to all that are seen, and tells which.
    pub(super) fn kill_all(&mut self) -> Vec<Process> {
        if self.looks.is_multiple_of(Self::QUICK) {
            self.others.clear();
        }
        self.looks = self.looks.wrapping_add(1);
        let mut killed = Vec::new();
        let mut deeper: HashMap<u32, u32> = HashMap::new();
        for pid in pids() {
            if pid == self.root || self.others.contains(&pid) {
                continue;
            }
            match stat(pid) {
                // At once: it may be gone by the time that all have been looked at.
                Some(stat) if stat.parent == self.root => {
                    killed.extend(kill_if(pid, |stat| stat.parent == self.root));
                }
                Some(stat) => {
                    deeper.insert(pid, stat.parent);
                }
                None => {}
            }
        }
        let related: HashSet<u32> = killed.iter().map(|process| process.pid).collect();
        for &pid in deeper.keys() {
            match self.relation(pid, &deeper, &related) {
                Relation::Descendant => killed.extend(kill_if(pid, |stat| {
                    stat.parent == self.root || deeper.get(&pid) == Some(&stat.parent)
                })),
                Relation::Other => {
                    self.others.insert(pid);
                }
                Relation::Unknown => {}
            }
        }
        killed
    }

    fn relation(&self, pid: u32, parents: &HashMap<u32, u32>, related: &HashSet<u32>) -> Relation {
        let mut above = pid;
        // The numbers were not read at one moment, so they might even form a ring.
        for _ in 0..parents.len() {
            match parents.get(&above) {
                Some(&parent) if parent == self.root || related.contains(&parent) => {
                    return Relation::Descendant;
                }
                Some(&parent) if parent == 0 || self.others.contains(&parent) => return Relation::Other,
                Some(&parent) => above = parent,
                // It exited meanwhile; whose child its child is now, the next look shows.
                None => return Relation::Unknown,
            }
        }
        Relation::Unknown
    }
}

/// What a process is to the root.
#[cfg(target_os = "linux")]
enum Relation {
    Descendant,
    Other,
    Unknown,
}

/// The traces that an attempt's processes leave for those who are not their ancestors: they can be
/// wiped off by a process that wants to, or outrun.
#[derive(Clone, Debug)]
pub(super) struct Traces {
    marker: Vec<u8>,
    command: Process,
    /// The command is known to have lived a moment ago, so its group and session numbers cannot be
    /// anybody else's yet.
    fresh: bool,
}

impl Traces {
    pub(super) fn new(attempt: AttemptId, command: Process, fresh: bool) -> Self {
        Self { marker: format!("{ATTEMPT_VARIABLE}={attempt}").into_bytes(), command, fresh }
    }

    /// Sends SIGKILL to all that are seen, and tells which.
    pub(super) fn kill_all(&self) -> Vec<Process> {
        // A number is not given to a new process while a group or session of that number lives. So
        // as long as the command itself holds its number, the group and session are its own.
        let own_number = self.fresh
            || stat(self.command.pid).is_some_and(|stat| stat.start_time == self.command.start_time);
        let myself = std::process::id();
        let fits = |pid: u32, stat: &Stat| {
            let Process { pid: number, start_time } = self.command;
            (pid == number && stat.start_time == start_time)
                || (own_number && (stat.group == number || stat.session == number))
                || self.is_marked(pid)
        };
        pids()
            .into_iter()
            .filter(|&pid| pid != myself)
            .filter_map(|pid| {
                let seen = stat(pid)?;
                (!seen.is_over() && fits(pid, &seen)).then_some(())?;
                kill_if(pid, |stat| stat.start_time == seen.start_time)
            })
            .collect()
    }

    fn is_marked(&self, pid: u32) -> bool {
        // What belongs to another user can't be read, and is not ours.
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|variable| variable == self.marker))
    }
}

#[cfg(target_os = "linux")]
mod exact {
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

    /// A process that is held by more than its number.
    pub(super) enum Held {
        Exactly(OwnedFd),
        /// The kernel is older than 5.3 and has no such thing.
        ByNumber(Pid),
    }

    impl Held {
        pub(super) fn open(pid: u32) -> Option<Self> {
            let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(process) => Some(Self::Exactly(process)),
                Err(Errno::NOSYS | Errno::PERM) => Some(Self::ByNumber(pid)),
                Err(_) => None,
            }
        }

        pub(super) fn send(&self, signal: Signal) -> bool {
            match self {
                Self::Exactly(process) => pidfd_send_signal(process, signal).is_ok(),
                Self::ByNumber(pid) => kill_process(*pid, signal).is_ok(),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod exact {
    use rustix::process::{Pid, Signal, kill_process};

    pub(super) struct Held(Pid);

    impl Held {
        pub(super) fn open(pid: u32) -> Option<Self> {
            Pid::from_raw(i32::try_from(pid).ok()?).map(Self)
        }

        pub(super) fn send(&self, signal: Signal) -> bool {
            kill_process(self.0, signal).is_ok()
        }
    }
}
