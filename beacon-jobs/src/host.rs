//! Which process this is, and whether another one still lives.

use std::path::Path;
use std::{fs, process};

use serde::{Deserialize, Serialize};

/// A process, named so that neither a reused pid nor another machine can be taken for it.
///
/// On Linux the fields come from `/etc/machine-id`, `/proc/sys/kernel/random/boot_id`,
/// `/proc/self/ns/pid` and field 22 of `/proc/<pid>/stat`; elsewhere, and where one cannot be
/// read, it is empty and [`liveness`](Self::liveness) is [`Liveness::Unknown`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The machine.
    pub machine: String,
    /// This boot of the machine.
    pub boot: String,
    /// The pid namespace in which `pid` counts.
    pub pid_namespace: String,
    /// The process id.
    pub pid: u32,
    /// When the process started, in clock ticks since boot; tells a reused pid from the first.
    pub start_time: u64,
}

/// What can be said about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It runs, or is stopped by a signal.
    Alive,
    /// It has ended, even if its parent has not reaped it yet.
    Gone,
    /// It cannot be seen from here.
    Unknown,
}

impl ProcessIdentity {
    /// This process.
    #[must_use]
    pub fn current() -> Self {
        Self::of(process::id())
    }

    /// A process of this host and pid namespace, as it is now. `start_time` is 0 when there is none.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self {
            machine: first_line("/etc/machine-id"),
            boot: first_line("/proc/sys/kernel/random/boot_id"),
            pid_namespace: fs::read_link("/proc/self/ns/pid")
                .map(|link| link.to_string_lossy().into_owned())
                .unwrap_or_default(),
            pid,
            start_time: stat(pid).map_or(0, |stat| stat.start_time),
        }
    }

    /// The host as far as processes are concerned: its machine and pid namespace. What runs there can
    /// be seen and ended only from there; another boot of a machine is the same host.
    #[must_use]
    pub fn host(&self) -> String {
        format!("{}/{}", self.machine, self.pid_namespace)
    }

    /// Whether this process can see the named one at all: same machine, boot and pid namespace.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        let here = Self::current();
        self.start_time != 0
            && !self.boot.is_empty()
            && self.machine == here.machine
            && self.boot == here.boot
            && self.pid_namespace == here.pid_namespace
    }

    /// Whether the process lives.
    ///
    /// A boot that is over ended all its processes, but only a host itself can tell that: many
    /// containers on many hosts may carry one image's machine id.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        let here = Self::current();
        let same_host = !self.machine.is_empty()
            && self.machine == here.machine
            && self.pid_namespace == FIRST_PID_NAMESPACE
            && here.pid_namespace == FIRST_PID_NAMESPACE;
        if same_host && !self.boot.is_empty() && !here.boot.is_empty() && self.boot != here.boot {
            return Liveness::Gone;
        }
        if !self.is_visible() {
            return Liveness::Unknown;
        }
        match stat(self.pid) {
            Some(stat) if stat.start_time == self.start_time && !stat.is_over() => Liveness::Alive,
            Some(_) => Liveness::Gone,
            None if sees_all() => Liveness::Gone,
            None => Liveness::Unknown,
        }
    }
}

/// The pid namespace of the host itself; the kernel gives it this number on every boot.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Whether `/proc` shows the processes of other users too; its mount option `hidepid` takes them
/// away. There is always a process 1.
fn sees_all() -> bool {
    stat(1).is_some()
}

#[cfg_attr(not(feature = "process"), expect(dead_code, reason = "the process executor reads them"))]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) session: u32,
    pub(crate) start_time: u64,
    threads: u32,
}

impl Stat {
    /// It executes nothing any more. A process whose first thread has ended looks like a zombie
    /// while its other threads go on.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }
}

/// Reads `/proc/<pid>/stat`; see proc_pid_stat(5).
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // A process may name itself with bytes that are no text.
    let text = String::from_utf8_lossy(&bytes);
    // The second field is the command in parentheses and may itself hold spaces and parentheses.
    let mut fields = text.get(text.rfind(')')? + 2..)?.split(' ');
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    let threads = fields.nth(13)?.parse().ok()?;
    let start_time = fields.nth(1)?.parse().ok()?;
    Some(Stat { state, parent, group, session, start_time, threads })
}

fn first_line(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).ok().and_then(|text| text.lines().next().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::process::{Child, Command};

    use super::*;

    /// Kills it when dropped.
    struct Sleeper(Child);

    impl Sleeper {
        fn start(program: impl AsRef<OsStr>) -> Self {
            Self(Command::new(program).arg("1000").spawn().unwrap())
        }

        fn identity(&self) -> ProcessIdentity {
            ProcessIdentity::of(self.0.id())
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_process_is_alive_until_it_ends_whether_or_not_it_was_reaped() {
        let mut sleeper = Sleeper::start("sleep");
        let identity = sleeper.identity();
        assert_eq!(identity.liveness(), Liveness::Alive);
        sleeper.0.kill().unwrap();
        while !stat(identity.pid).unwrap().is_over() {
            std::thread::yield_now();
        }
        assert_eq!(identity.liveness(), Liveness::Gone);
        sleeper.0.wait().unwrap();
        assert_eq!(identity.liveness(), Liveness::Gone);
    }

    #[test]
    fn another_process_of_the_same_number_is_not_taken_for_it() {
        let sleeper = Sleeper::start("sleep");
        let mut older = sleeper.identity();
        older.start_time -= 1;
        assert_eq!(older.liveness(), Liveness::Gone);
    }

    #[test]
    fn a_process_may_have_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let sleep =
            ["/bin/sleep", "/usr/bin/sleep"].into_iter().find(|path| Path::new(path).exists()).unwrap();
        for name in [&b"a) Z 1 (b"[..], b"\xff\xfe"] {
            let path = folder.path().join(OsStr::from_bytes(name));
            symlink(sleep, &path).unwrap();
            let sleeper = Sleeper::start(&path);
            let stat = stat(sleeper.0.id()).unwrap();
            assert_eq!(stat.parent, process::id());
            assert_eq!(sleeper.identity().liveness(), Liveness::Alive);
        }
    }

    #[test]
    fn only_a_host_itself_can_say_that_an_older_boot_is_over() {
        let mut older = ProcessIdentity::current();
        older.boot = "an older one".to_owned();
        let on_host = older.pid_namespace == FIRST_PID_NAMESPACE && !older.machine.is_empty();
        assert_eq!(older.liveness(), if on_host { Liveness::Gone } else { Liveness::Unknown });
        older.pid_namespace = "pid:[4026532000]".to_owned();
        assert_eq!(older.liveness(), Liveness::Unknown);
    }
}
