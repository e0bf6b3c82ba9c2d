//! Stopping what another process began: by its handle, and by what the host shows.

use std::time::Duration;

use rustix::process::Signal;

use super::cgroup::Population;
use super::handle::ProcessHandle;
use super::registry::Registry;
use super::status::{self, SOON};
use super::sweep::Sweep;
use super::tree;
use super::wire::Process;
use crate::clock::{Clock, SystemClock};
use crate::host::Liveness;
use crate::stop::{StopError, StopRequest, StopStatus};
use serde_json::json;

/// How long a supervisor that was told to use force may live on before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one call waits for the end.
const WAIT: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(10);

/// Stops an attempt that this process does not keep.
pub(super) async fn stop(
    registry: &Registry,
    handle: &ProcessHandle,
    request: &StopRequest,
) -> Result<StopStatus, StopError> {
    if !handle.process.is_visible() {
        return match handle.process.liveness() {
            Liveness::Gone => Ok(status::of_host(handle, "boot", "the host has been started anew since")),
            _ => Err(StopError::new(format!(
                "process {} lives on another host or in another pid namespace: only a runner there can stop it \
                 (machine {}, boot {}, {})",
                handle.process.pid, handle.process.machine, handle.process.boot, handle.process.pid_namespace
            ))),
        };
    }
    if let Some(shown) = shown_to_be_over(handle) {
        return Ok(shown);
    }
    let keeper = Process { pid: handle.process.pid, start_time: handle.process.start_time };
    if tree::is_alive(keeper) {
        tell(registry, handle, keeper, request);
        if !is_gone(keeper).await {
            let evidence = json!({ "told": "stop", "process": keeper.pid, "command": handle.command.pid });
            let ask_again = request.grace.clamp(SOON, Duration::from_secs(1));
            return Ok(StopStatus::Acknowledged { evidence, ask_again });
        }
        if let Some(shown) = shown_to_be_over(handle) {
            return Ok(shown);
        }
    }
    let swept = Sweep {
        attempt: handle.attempt,
        command: handle.command,
        cgroup: handle.cgroup.clone(),
        fresh: false,
    };
    Ok(status::of_sweep(handle, &swept.run().await))
}

/// What the supervisor does only when it has seen the end of every descendant.
fn shown_to_be_over(handle: &ProcessHandle) -> Option<StopStatus> {
    if let Some(cgroup) = &handle.cgroup {
        let removed = matches!(cgroup.population(), Ok(Population::Removed));
        let shown_by = "its private cgroup is removed, which is possible only for an empty one";
        return removed.then(|| status::of_host(handle, "cgroup", shown_by));
    }
    let mark = handle.mark.as_ref()?;
    // A folder that is not seen from here would say nothing.
    let removed = matches!(mark.try_exists(), Ok(false)) && mark.parent()?.exists();
    let shown_by = "its supervisor removed its mark, which it does when every descendant is reaped";
    removed.then(|| status::of_host(handle, "supervisor", shown_by))
}

/// Tells a supervisor, or a command without one, that another runner keeps or kept, to end.
fn tell(registry: &Registry, handle: &ProcessHandle, keeper: Process, request: &StopRequest) {
    registry.told(handle.attempt, |told| {
        let now = SystemClock.now();
        if !request.grace.is_zero() {
            if told.terminated_at.is_none() {
                told.terminated_at = Some(now);
                tree::terminate_group(handle.command);
            }
            return;
        }
        let since = *told.forced_at.get_or_insert(now);
        let signal = if handle.supervised && now - since < PATIENCE { Signal::USR1 } else { Signal::KILL };
        tree::send(keeper, signal);
    });
}

async fn is_gone(process: Process) -> bool {
    let deadline = SystemClock.now() + WAIT;
    while tree::is_alive(process) {
        if SystemClock.now() >= deadline {
            return false;
        }
        SystemClock.sleep(LOOK).await;
    }
    true
}
