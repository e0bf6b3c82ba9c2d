//! What the runner, the supervisor and the process prepared for the command say to each other: one
//! JSON value a line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::cgroup::Cgroup;
use super::input::Launch;
use crate::id::AttemptId;

/// In the environment of a program that is started as a supervisor.
pub(super) const SUPERVISOR_VARIABLE: &str = "BEACON_JOBS_SUPERVISOR";
/// In the environment of a program that is to become a command.
#[cfg(target_os = "linux")]
pub(super) const STAGE_VARIABLE: &str = "BEACON_JOBS_STAGE";

/// What a supervisor is told at its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SupervisorSetup {
    pub(super) attempt: AttemptId,
    /// Whether to make a private cgroup where that is possible.
    pub(super) cgroup: bool,
}

/// What the process prepared for a command is told at its start.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StageSetup {
    pub(super) supervisor: u32,
    pub(super) cgroup: Option<Cgroup>,
}

/// Runner to supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    Go(Launch),
    Stop { grace_ms: u64 },
}

/// Supervisor to runner.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// All is prepared, nothing has begun.
    Ready(Ready),
    /// The command runs.
    Begun,
    /// It does not, and will not.
    NotBegun(NotBegun),
    /// These processes have been sent SIGKILL and are still there.
    Left(Vec<u32>),
    /// Nothing is left; the supervisor exits.
    Ended(Ended),
}

/// Prepared process to supervisor.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StageReport {
    Ready { in_cgroup: bool },
    NotBegun(NotBegun),
}

/// A process of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) start_time: u64,
}

/// What was prepared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) supervisor: Process,
    /// Also the number of the command's process group and session.
    pub(super) command: Process,
    pub(super) cgroup: Option<Cgroup>,
    /// A file that is there as long as not every descendant has been reaped; where there is no
    /// private cgroup, whose folder says the same.
    pub(super) mark: Option<PathBuf>,
}

/// Why a command did not begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NotBegun {
    pub(super) error: String,
    /// Whether the host was short of something, so that another attempt is sensible.
    pub(super) passing: bool,
}

/// How a process exited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exit {
    #[serde(rename = "exit_code")]
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
}

/// What ended a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EndedBy {
    /// It was never told to go.
    NeverBegan,
    /// It exited, or was killed by somebody else, before any stop.
    Exit,
    /// It exited after SIGTERM, within the grace.
    Term,
    /// It was killed.
    Kill,
}

/// A signal that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) signal: String,
    pub(super) to: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) at: OffsetDateTime,
}

/// How it all ended, as the supervisor saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) ended_by: EndedBy,
    #[serde(flatten)]
    pub(super) exit: Exit,
    /// What made the supervisor end the tree.
    pub(super) because: String,
    pub(super) signals: Vec<Sent>,
    /// How many processes were sent SIGKILL one by one.
    pub(super) killed: u64,
    /// How many processes were reaped, the command among them.
    pub(super) reaped: u64,
    /// The private cgroup was seen empty and was removed.
    pub(super) cgroup_removed: bool,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) at: OffsetDateTime,
}
