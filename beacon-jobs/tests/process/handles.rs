//! Stops by a handle alone, as another process has it.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::executor::{Capabilities, ExecuteError, ExecutionContext, Executor};
use beacon_jobs::process::ProcessExecutor;
use beacon_jobs::stop::{Handle, StopError, StopRequest, StopStatus};
use beacon_jobs::{AttemptId, Result};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::harness::{Host, at_both_levels};
use crate::lifeline::confirmed;

/// Keeps the handles that stop calls bring, and does not stop anything. Drops its work half-way when
/// told.
#[derive(Debug)]
pub(crate) struct Holding {
    inner: Arc<dyn Executor>,
    seen: watch::Sender<Option<Handle>>,
    drop: Arc<Notify>,
}

pub(crate) struct Held {
    handles: watch::Receiver<Option<Handle>>,
    drop: Arc<Notify>,
}

impl Held {
    /// Waits for the handle of a stop call.
    pub(crate) async fn handle(mut self) -> Handle {
        self.handles.wait_for(Option::is_some).await.unwrap().clone().unwrap()
    }

    pub(crate) fn drop_work(&self) {
        self.drop.notify_one();
    }
}

impl Holding {
    pub(crate) fn around(inner: ProcessExecutor) -> (Self, Held) {
        Self::around_shared(Arc::new(inner))
    }

    fn around_shared(inner: Arc<dyn Executor>) -> (Self, Held) {
        let (seen, handles) = watch::channel(None);
        let drop = Arc::new(Notify::new());
        (Self { inner, seen, drop: Arc::clone(&drop) }, Held { handles, drop })
    }
}

impl std::fmt::Display for Holding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Executor for Holding {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn check_input(&self, input: &Value) -> Result<()> {
        self.inner.check_input(input)
    }
    async fn execute(&self, cx: &ExecutionContext) -> Result<Value, ExecuteError> {
        tokio::select! {
            outcome = self.inner.execute(cx) => outcome,
            () = self.drop.notified() => Err(ExecuteError::failed("dropped")),
        }
    }
    async fn stop(&self, handle: &Handle, _: &StopRequest) -> Result<StopStatus, StopError> {
        self.seen.send_replace(Some(handle.clone()));
        Err(StopError::new("held"))
    }
}

pub(crate) fn attempt_of(handle: &Handle) -> AttemptId {
    serde_json::from_value(handle.as_value()["attempt"].clone()).unwrap()
}

impl Host {
    /// A host whose runner stops nothing.
    pub(crate) async fn holding(cgroup: bool) -> (Self, Held) {
        let mut held = None;
        let host = Self::build(cgroup, "", |inner| {
            let (holding, its) = Holding::around_shared(inner);
            held = Some(its);
            Arc::new(holding)
        })
        .await;
        (host, held.unwrap())
    }
}

/// Begins a command and returns its handle, with nothing stopped.
async fn begun(cgroup: bool, script: impl Fn(&Host) -> String) -> (Host, Handle) {
    let (host, held) = Host::holding(cgroup).await;
    let id = host.submit(json!({"command": ["sh", "-c", script(&host)]})).await;
    host.around.written("tick").await;
    host.cancel(&id, Duration::from_secs(600)).await;
    let handle = held.handle().await;
    (host, handle)
}

fn request(handle: &Handle, grace: Duration) -> StopRequest {
    StopRequest::new(attempt_of(handle), grace, true)
}

#[tokio::test]
async fn another_process_can_stop_by_force_what_a_living_runner_keeps() {
    for cgroup in [true, false] {
        let script =
            |host: &Host| format!("trap '' TERM; setsid sh -c '{0}' & {0}", host.around.ticks("tick"));
        let (host, handle) = begun(cgroup, script).await;
        let evidence = confirmed(&host.stranger(), &handle, &request(&handle, Duration::ZERO)).await;
        host.around.nothing_lives().await;
        let level = if cgroup && host.around.is_populated().is_some() { "cgroup" } else { "supervisor" };
        assert_eq!(evidence["level"], level, "{evidence}");
        host.abandon();
    }
}

#[tokio::test]
async fn another_process_leaves_the_grace_that_it_is_told_to_leave() {
    let script = |host: &Host| {
        let saved = host.around.path("saved");
        format!("trap 'sleep 0.3; echo x > {}; exit 0' TERM; {}", saved.display(), host.around.ticks("tick"))
    };
    let (host, handle) = begun(true, script).await;
    confirmed(&host.stranger(), &handle, &request(&handle, Duration::from_secs(600))).await;
    host.around.nothing_lives().await;
    assert_eq!(host.around.size("saved"), 2);
    host.abandon();
}

#[tokio::test]
async fn of_several_graces_the_one_that_ends_first_counts() {
    let script = |host: &Host| {
        let told = host.around.path("told");
        format!("trap 'echo told >> {}' TERM; {}", told.display(), host.around.ticks("tick"))
    };
    let (host, handle) = begun(true, script).await;
    for grace in [Duration::from_secs(600), Duration::from_millis(100), Duration::from_secs(600)] {
        host.executor.stop(&handle, &request(&handle, grace)).await.unwrap();
        host.around.written("told").await;
    }
    host.around.nothing_lives().await;
    let evidence = confirmed(&host.executor, &handle, &request(&handle, Duration::ZERO)).await;
    assert_eq!(evidence["because"], "the grace was over", "{evidence}");
    // It was told once, however often the stop was repeated.
    assert_eq!(std::fs::read_to_string(host.around.path("told")).unwrap(), "told\n");
    host.abandon();
}

#[tokio::test]
async fn a_stop_may_be_repeated_by_anybody_after_the_end() {
    at_both_levels(async |host, level| {
        let id = host.submit(json!({"command": ["sh", "-c", host.around.ticks("tick")]})).await;
        host.around.written("tick").await;
        let evidence = host.stop(&id, Duration::ZERO).await;
        assert_eq!(evidence["level"], level);
        host.shutdown().await;
    })
    .await;
    for cgroup in [true, false] {
        let (host, handle) = begun(cgroup, |host| host.around.ticks("tick")).await;
        let request = request(&handle, Duration::ZERO);
        let first = confirmed(&host.executor, &handle, &request).await;
        host.around.assert_nothing_lives().await;
        let again = confirmed(&host.executor, &handle, &request).await;
        assert_eq!(first, again);
        let stranger = confirmed(&host.stranger(), &handle, &request).await;
        assert_eq!(first["level"], stranger["level"], "{stranger}");
        host.abandon();
    }
}

/// A handle whose numbers are those of a process of ours.
fn handle_of(pid: u32, shift: i64) -> Handle {
    let mut identity = serde_json::to_value(beacon_jobs::host::ProcessIdentity::of(pid)).unwrap();
    let start_time = identity["start_time"].as_i64().unwrap() + shift;
    identity["start_time"] = json!(start_time);
    Handle::new(json!({
        "attempt": "00000000-0000-4000-8000-000000000001",
        "process": identity,
        "supervised": false,
        "command": { "pid": pid, "start_time": start_time },
    }))
}

#[tokio::test]
async fn a_process_that_has_got_the_number_of_an_older_one_is_let_alone() {
    use std::os::unix::process::CommandExt;
    let stranger = ProcessExecutor::new();
    let mut innocent = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
    for grace in [Duration::from_secs(1), Duration::ZERO] {
        let handle = handle_of(innocent.id(), -1);
        let status = stranger.stop(&handle, &request(&handle, grace)).await.unwrap();
        assert!(matches!(status, StopStatus::Unconfirmable { .. }), "{status:?}");
        assert!(innocent.try_wait().unwrap().is_none(), "it was killed");
    }
    // With its own start time it is the one that is meant.
    let handle = handle_of(innocent.id(), 0);
    stranger.stop(&handle, &request(&handle, Duration::ZERO)).await.unwrap();
    assert!(!innocent.wait().unwrap().success());
}

#[tokio::test]
async fn a_handle_of_another_host_is_not_judged_here() {
    let executor = ProcessExecutor::new();
    for (field, value) in [("boot", "another"), ("pid_namespace", "pid:[1]"), ("machine", "another")] {
        let mut handle = handle_of(std::process::id(), 0).as_value().clone();
        handle["process"][field] = json!(value);
        if field == "boot" {
            // In a container even the machine's name proves nothing.
            handle["process"]["pid_namespace"] = json!("pid:[4026539999]");
        }
        let handle = Handle::new(handle);
        let error = executor.stop(&handle, &request(&handle, Duration::ZERO)).await.unwrap_err();
        assert!(error.to_string().contains("another host"), "{error}");
    }
}

#[tokio::test]
async fn a_handle_that_names_somebody_elses_cgroup_or_file_is_refused() {
    let executor = ProcessExecutor::new();
    for (field, value) in [
        ("cgroup", json!({"path": "/sys/fs/cgroup/system.slice", "mount": "/sys/fs/cgroup"})),
        ("mark", json!("/etc/passwd")),
    ] {
        let mut handle = handle_of(std::process::id(), -1).as_value().clone();
        handle[field] = value;
        let handle = Handle::new(handle);
        let error = executor.stop(&handle, &request(&handle, Duration::ZERO)).await.unwrap_err();
        assert!(error.to_string().contains("something else"), "{error}");
    }
}
