//! What stop calls answer.

use std::time::Duration;

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::control::{Control, End};
use super::handle::ProcessHandle;
use super::sweep::{Outcome, Swept};
use crate::clock::{Clock, SystemClock, until};
use crate::stop::StopStatus;

/// How soon a stop is asked again while its end is a matter of moments.
pub(super) const SOON: Duration = Duration::from_millis(100);
/// The longest pause between two looks at a running grace.
const GRACE_LOOK: Duration = Duration::from_secs(1);

pub(super) fn now() -> String {
    // A time of this century has this form.
    SystemClock.now().format(&Rfc3339).unwrap_or_default()
}

/// What is said of an attempt that ended under this process.
pub(super) fn of_end(handle: &ProcessHandle, end: &End) -> StopStatus {
    match end {
        End::Reported { ready, ended } => {
            let mut evidence = serde_json::to_value(ended).unwrap_or_default();
            let in_cgroup = ended.cgroup_removed;
            evidence["level"] = json!(if in_cgroup { "cgroup" } else { "supervisor" });
            evidence["shown_by"] = json!(if in_cgroup {
                "the supervisor reaped every descendant until the kernel said that none is left; \
                 its private cgroup was seen empty and was removed"
            } else {
                "the supervisor reaped every descendant until the kernel said that none is left"
            });
            evidence["supervisor"] = json!(ready.supervisor.pid);
            evidence["command"] = json!(ready.command.pid);
            if let Some(cgroup) = &ready.cgroup {
                evidence["cgroup"] = json!(cgroup.path());
            }
            StopStatus::Confirmed { evidence }
        }
        End::Lost { ready: None, .. } => StopStatus::Confirmed {
            evidence: json!({
                "level": "supervisor",
                "ended_by": "never_began",
                "shown_by": "its supervisor ended before it was told to go",
                "at": now(),
            }),
        },
        End::Lost { ready: Some(_), swept, .. } => of_sweep(handle, swept),
        End::Plain { swept, .. } => of_sweep(handle, swept),
    }
}

/// What is said after a sweep.
pub(super) fn of_sweep(handle: &ProcessHandle, swept: &Swept) -> StopStatus {
    let mut evidence = swept.evidence();
    evidence["command"] = json!(handle.command.pid);
    match &swept.outcome {
        Outcome::Emptied => {
            evidence["level"] = json!("cgroup");
            evidence["ended_by"] = json!("kill");
            evidence["shown_by"] = json!("its private cgroup was seen empty and was removed");
            evidence["cgroup"] = json!(handle.cgroup.as_ref().map(|cgroup| cgroup.path()));
            StopStatus::Confirmed { evidence }
        }
        Outcome::NobodySeen => {
            let lost = if handle.supervised { "its supervisor was killed" } else { "it had no supervisor" };
            StopStatus::Unconfirmable {
                why: format!(
                    "{lost}, and it had no cgroup of its own: nobody is left in group and session {} or with \
                     its marker ({} killed), but a process that left those cannot be seen",
                    handle.command.pid,
                    swept.killed.len()
                ),
                evidence: None,
                ask_again: None,
            }
        }
        Outcome::Left(pids) => {
            evidence["left"] = json!(pids);
            StopStatus::Acknowledged { evidence, ask_again: SOON }
        }
        Outcome::Unseen(why) => StopStatus::Unconfirmable {
            why: why.clone(),
            evidence: None,
            ask_again: Some(Duration::from_secs(60)),
        },
    }
}

/// What is said of an attempt whose supervisor has been told and has not finished.
pub(super) fn of_live(control: &Control) -> StopStatus {
    let view = control.view();
    let grace = control.force_at().map_or(Duration::ZERO, |at| until(&SystemClock, at));
    let mut evidence =
        json!({ "told": "stop", "grace_ms": u64::try_from(grace.as_millis()).unwrap_or(u64::MAX) });
    if let Some(ready) = view.ready {
        evidence["supervisor"] = json!(ready.supervisor.pid);
        evidence["command"] = json!(ready.command.pid);
    }
    if !view.left.is_empty() {
        evidence["left"] = json!(view.left);
    }
    let ask_again = if grace.is_zero() { SOON } else { grace.min(GRACE_LOOK) };
    StopStatus::Acknowledged { evidence, ask_again }
}

/// Evidence from what the host shows, with nobody to report.
pub(super) fn of_host(handle: &ProcessHandle, level: &str, shown_by: &str) -> StopStatus {
    let mut evidence: Value = json!({
        "level": level,
        "shown_by": shown_by,
        "process": handle.process.pid,
        "command": handle.command.pid,
        "at": now(),
    });
    if let Some(cgroup) = &handle.cgroup {
        evidence["cgroup"] = json!(cgroup.path());
    }
    StopStatus::Confirmed { evidence }
}
