use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cgroup::Cgroup;
use super::wire::{Process, Ready};
use crate::error::{Error, ErrorKind, Result};
use crate::host::ProcessIdentity;
use crate::id::AttemptId;
use crate::stop::Handle;

/// By what a command is found again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessHandle {
    pub(super) attempt: AttemptId,
    /// The supervisor, or without one the command.
    pub(super) process: ProcessIdentity,
    pub(super) supervised: bool,
    pub(super) command: Process,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cgroup: Option<Cgroup>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mark: Option<PathBuf>,
}

impl ProcessHandle {
    pub(super) fn supervised(attempt: AttemptId, ready: &Ready) -> Self {
        let Process { pid, start_time } = ready.supervisor;
        Self {
            attempt,
            process: ProcessIdentity { pid, start_time, ..ProcessIdentity::current() },
            supervised: true,
            command: ready.command,
            cgroup: ready.cgroup.clone(),
            mark: ready.mark.clone(),
        }
    }

    pub(super) fn plain(attempt: AttemptId, command: Process) -> Self {
        let Process { pid, start_time } = command;
        Self {
            attempt,
            process: ProcessIdentity { pid, start_time, ..ProcessIdentity::current() },
            supervised: false,
            command,
            cgroup: None,
            mark: None,
        }
    }

    /// Reads a saved handle. A cgroup or file that is not of this attempt's making is refused: what
    /// a handle names is going to be killed or removed.
    pub(super) fn read(handle: &Handle) -> Result<Self> {
        let this: Self = handle.read()?;
        let own_cgroup = this.cgroup.as_ref().is_none_or(|cgroup| cgroup.belongs_to(this.attempt));
        let own_mark = this.mark.as_ref().is_none_or(|mark| mark.ends_with(mark_name(this.attempt)));
        if own_cgroup && own_mark {
            Ok(this)
        } else {
            Err(Error::new(ErrorKind::Corrupt, "the saved handle names a cgroup or file of something else"))
        }
    }
}

/// The name of the file that shows that not every descendant has been reaped.
pub(super) fn mark_name(attempt: AttemptId) -> String {
    format!("beacon-jobs-{attempt}.running")
}
