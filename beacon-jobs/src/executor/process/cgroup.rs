use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::id::AttemptId;

/// A private control group (version 2) of one attempt.
///
/// A process that is in it stays in it with all its children, whatever they do with sessions,
/// parents and environments, unless one with the rights to do so moves itself. So when it is empty,
/// they are gone; and only an empty one can be removed, so when it has been made and is not there,
/// they are gone too.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Cgroup {
    path: PathBuf,
    mount: PathBuf,
}

/// What is to be seen of a private cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Population {
    /// Processes are in it.
    Populated,
    /// It is there, and empty.
    Empty,
    /// It has been removed.
    Removed,
}

impl Cgroup {
    /// The one that this process, or a child of it, makes for the attempt; whether it is there or
    /// not. `None` where there are no cgroups of version 2.
    pub(super) fn of(attempt: AttemptId) -> Option<Self> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let (mount, own) = own_folder(&mountinfo, &own)?;
        Some(Self { path: own.join(name(attempt)), mount })
    }

    /// Makes one below the cgroup of this process; `None` where that is not possible.
    #[cfg(target_os = "linux")]
    pub(super) fn make(attempt: AttemptId) -> Option<Self> {
        let this = Self::of(attempt)?;
        fs::create_dir(&this.path).ok()?;
        // Older kernels have no cgroup.kill; without it a cgroup can show an end but not bring it.
        if this.path.join("cgroup.kill").exists() {
            Some(this)
        } else {
            this.remove();
            None
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn belongs_to(&self, attempt: AttemptId) -> bool {
        let plain = |component: Component<'_>| !matches!(component, Component::ParentDir);
        self.path.file_name().is_some_and(|own| own == &*name(attempt))
            && self.path.starts_with(&self.mount)
            && self.path.components().all(plain)
    }

    /// Moves this process into it.
    #[cfg(target_os = "linux")]
    pub(super) fn join(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), "0")
    }

    /// Sends SIGKILL to all in it, also to those that are just being made.
    pub(super) fn kill(&self) -> io::Result<()> {
        match fs::write(self.path.join("cgroup.kill"), "1") {
            Err(error) if is_removed(&error) => Ok(()),
            outcome => outcome,
        }
    }

    /// Looks whether anything is in it.
    ///
    /// # Errors
    /// Also when its absence would say nothing, because cgroups cannot be seen from here.
    pub(super) fn population(&self) -> io::Result<Population> {
        match fs::read_to_string(self.path.join("cgroup.events")) {
            Ok(events) if events.lines().any(|line| line == "populated 0") => Ok(Population::Empty),
            Ok(_) => Ok(Population::Populated),
            Err(error) if is_removed(&error) => {
                let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
                if cgroup_mounts(&mountinfo).any(|(_, mount)| mount == self.mount) {
                    Ok(Population::Removed)
                } else {
                    Err(io::Error::other(format!("{} is not mounted here", self.mount.display())))
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Removes it, with those that were made inside it. `false` when something is in it.
    pub(super) fn remove(&self) -> bool {
        remove(&self.path)
    }
}

fn remove(folder: &Path) -> bool {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    fs::remove_dir(folder).is_ok() || !folder.exists()
}

fn name(attempt: AttemptId) -> String {
    format!("beacon-jobs-{attempt}")
}

/// The kernel answers ENODEV for a file of a cgroup that was removed after it was opened.
fn is_removed(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(Errno::NODEV.raw_os_error())
}

/// The mounts of version 2 in a `/proc/<pid>/mountinfo`: which part of the tree, and where.
fn cgroup_mounts(mountinfo: &str) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    mountinfo.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (source.split(' ').next()? == "cgroup2").then(|| (unescape(root), unescape(point)))
    })
}

/// The mount point of version 2, and the folder of the cgroup that a `/proc/<pid>/cgroup` names.
fn own_folder(mountinfo: &str, own: &str) -> Option<(PathBuf, PathBuf)> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    // A cgroup outside of this namespace is shown with "..", a removed one with a remark.
    if own.split('/').any(|part| part == "..") || own.ends_with(" (deleted)") {
        return None;
    }
    cgroup_mounts(mountinfo).find_map(|(root, point)| {
        let below = Path::new(own).strip_prefix(root).ok()?;
        let folder = point.join(below);
        Some((point, folder))
    })
}

/// Spaces and the like are written as `\040` in mountinfo.
fn unescape(field: &str) -> PathBuf {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                text.push(char::from(code));
                rest = &after[3..];
            }
            None => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    PathBuf::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn the_own_folder_is_found_on_a_hybrid_and_on_a_unified_host() {
        let own = "9:name=systemd:/x\n0::/a.slice/b\n";
        let found = own_folder(HYBRID, own).unwrap();
        assert_eq!(found.1, Path::new("/sys/fs/cgroup/unified/a.slice/b"));

        let unified = "30 23 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(own_folder(unified, "0::/\n").unwrap().1, Path::new("/sys/fs/cgroup/"));
    }

    #[test]
    fn a_mount_that_shows_a_part_of_the_tree_is_reckoned_with() {
        let part = "30 23 0:26 /docker/1 /sys/fs/my\\040cgroup ro - cgroup2 cgroup2 rw\n";
        let found = own_folder(part, "0::/docker/1/inner\n").unwrap();
        assert_eq!(found.1, Path::new("/sys/fs/my cgroup/inner"));
        assert_eq!(own_folder(part, "0::/docker/2\n"), None);
    }

    #[test]
    fn without_version_two_or_out_of_sight_there_is_none() {
        assert_eq!(own_folder("31 23 0:28 / /sys rw - sysfs sysfs rw\n", "0::/\n"), None);
        assert_eq!(own_folder(HYBRID, "1:cpu:/\n"), None);
        assert_eq!(own_folder(HYBRID, "0::/../other\n"), None);
        assert_eq!(own_folder(HYBRID, "0::/gone (deleted)\n"), None);
    }

    #[test]
    fn only_a_cgroup_of_the_attempts_making_belongs_to_it() {
        let attempt = AttemptId::from_uuid(uuid::Uuid::from_u128(1));
        let at = |path: String| Cgroup { path: path.into(), mount: "/sys/fs/cgroup".into() };
        assert!(at(format!("/sys/fs/cgroup/a/beacon-jobs-{attempt}")).belongs_to(attempt));
        for foreign in [
            "/sys/fs/cgroup/system.slice".to_owned(),
            format!("/tmp/beacon-jobs-{attempt}"),
            format!("/sys/fs/cgroup/../../tmp/beacon-jobs-{attempt}"),
        ] {
            assert!(!at(foreign).belongs_to(attempt));
        }
    }
}
