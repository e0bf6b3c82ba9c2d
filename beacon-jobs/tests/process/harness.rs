//! A runner with a process executor, and a cgroup of the test's own around all that it starts.

use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::executor::Executor;
use beacon_jobs::job::{ExecutionRecord, ExecutionSpec, JobSpec, OnInterrupt, StopCounts};
use beacon_jobs::process::ProcessExecutor;
use beacon_jobs::runner::JobRunner;
use beacon_jobs::store::{ExecutionPage, MemoryStore};
use beacon_jobs::{IdSource, JobId, Jobs, RandomIds, Settled};
use serde_json::Value;
use tempfile::TempDir;

/// Far beyond what anything here takes; a test that waits for it has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);
/// Many times the pause between two ticks of a child.
const QUIET: Duration = Duration::from_millis(200);

/// A folder for what the children write, and a cgroup around them.
pub(crate) struct Around {
    folder: TempDir,
    cgroup: Option<PathBuf>,
}

impl Around {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cgroup = cgroup_root().map(|root| root.join(format!("beacon-test-{}", RandomIds.uuid())));
        let cgroup = cgroup.filter(|cgroup| fs::create_dir(cgroup).is_ok());
        println!(
            "judged by {}",
            if cgroup.is_some() { "cgroup.events and tick files" } else { "tick files" }
        );
        Self { folder, cgroup }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The cgroup, where there is one.
    pub(crate) fn cgroup(&self) -> Option<&Path> {
        self.cgroup.as_deref()
    }

    /// The shell command that writes to a file of this name without end.
    pub(crate) fn ticks(&self, name: &str) -> String {
        format!("while :; do echo x >> {}; sleep 0.01; done", self.path(name).display())
    }

    /// A supervisor program that enters the cgroup first, after `before`.
    pub(crate) fn supervisor(&self, before: &str) -> PathBuf {
        let path = self.path("supervisor");
        let enter = match &self.cgroup {
            Some(cgroup) => format!("echo $$ > {}/cgroup.procs", cgroup.display()),
            None => String::new(),
        };
        let program = env!("CARGO_BIN_EXE_beacon-jobs-supervisor");
        fs::write(&path, format!("#!/bin/sh\n{before}\n{enter}\nexec {program}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Whether anything lives in the cgroup; `None` where there is none.
    pub(crate) fn is_populated(&self) -> Option<bool> {
        let cgroup = self.cgroup.as_ref()?;
        let events = fs::read_to_string(cgroup.join("cgroup.events")).unwrap();
        Some(events.lines().any(|line| line == "populated 1"))
    }

    /// Who lives in the cgroup, and in those below it.
    fn living(&self) -> Vec<String> {
        let mut living = Vec::new();
        let mut folders: Vec<PathBuf> = self.cgroup.iter().cloned().collect();
        while let Some(folder) = folders.pop() {
            // One that is gone had nobody left.
            let procs = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            living.extend(procs.lines().map(str::to_owned));
            let inner = fs::read_dir(&folder).into_iter().flatten().flatten();
            folders.extend(inner.map(|entry| entry.path()).filter(|path| path.is_dir()));
        }
        living
    }

    /// Waits until something has been written to the file.
    pub(crate) async fn written(&self, name: &str) {
        wait_for(|| self.size(name) > 0).await;
    }

    pub(crate) fn size(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).map_or(0, |file| file.len())
    }

    fn sizes(&self) -> Vec<(PathBuf, u64)> {
        let files = fs::read_dir(self.folder.path()).unwrap();
        files.map(|file| file.unwrap()).map(|file| (file.path(), file.metadata().unwrap().len())).collect()
    }

    /// Fails if the file still grows.
    pub(crate) async fn assert_is_quiet(&self, name: &str) {
        let before = self.size(name);
        SystemClock.sleep(QUIET).await;
        assert_eq!(before, self.size(name), "{name} still grows");
    }

    /// Fails unless nothing lives any more, at this very moment.
    pub(crate) async fn assert_nothing_lives(&self) {
        assert_ne!(self.is_populated(), Some(true), "the cgroup around everything is populated");
        let before = self.sizes();
        SystemClock.sleep(QUIET).await;
        assert_eq!(before, self.sizes(), "somebody still writes");
    }

    /// As above, but a supervisor that has said its last may not be through with its exit.
    pub(crate) async fn assert_nothing_lives_but(&self, supervisor: i64) {
        let supervisor = supervisor.to_string();
        assert!(self.living().iter().all(|pid| *pid == supervisor), "{:?} live", self.living());
        self.nothing_lives().await;
    }

    /// Waits until nothing lives any more.
    pub(crate) async fn nothing_lives(&self) {
        wait_for(|| self.is_populated() != Some(true)).await;
        self.assert_nothing_lives().await;
    }
}

impl Drop for Around {
    fn drop(&mut self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = fs::write(cgroup.join("cgroup.kill"), "1");
            for _ in 0..200 {
                for inner in fs::read_dir(cgroup).into_iter().flatten().flatten() {
                    let _ = fs::remove_dir(inner.path());
                }
                if fs::remove_dir(cgroup).is_ok() {
                    return;
                }
                std::thread::yield_now();
            }
        }
    }
}

/// The folder of this process's own cgroup.
pub(crate) fn cgroup_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?;
        (fields.next()? == "cgroup2").then_some(point)
    })?;
    Some(Path::new(mount).join(own))
}

/// A runner on a store in memory.
pub(crate) struct Host {
    pub(crate) jobs: Jobs,
    pub(crate) around: Around,
    pub(crate) executor: Arc<ProcessExecutor>,
    runner: JobRunner,
}

impl Host {
    pub(crate) async fn start() -> Self {
        Self::with_cgroup(true).await
    }

    pub(crate) async fn with_cgroup(cgroup: bool) -> Self {
        Self::build(cgroup, "", |executor| executor).await
    }

    /// With a supervisor program that does something `before`, and an executor around the real one.
    pub(crate) async fn build(
        cgroup: bool,
        before: &str,
        wrap: impl FnOnce(Arc<dyn Executor>) -> Arc<dyn Executor>,
    ) -> Self {
        let around = Around::new();
        let builder = ProcessExecutor::builder().supervisor_program(around.supervisor(before));
        let executor = Arc::new(builder.with_cgroup(cgroup).build());
        let jobs = Jobs::new(MemoryStore::new());
        let shared: Arc<dyn Executor> = Arc::clone(&executor) as _;
        let runner = JobRunner::builder(&jobs).shared_executor(wrap(shared)).start().await.unwrap();
        Self { jobs, around, executor, runner }
    }

    /// An executor that knows nothing of what this one began, as another process has it.
    pub(crate) fn stranger(&self) -> ProcessExecutor {
        ProcessExecutor::builder().supervisor_program(self.around.path("supervisor")).build()
    }

    pub(crate) async fn submit(&self, input: Value) -> JobId {
        let mut spec = JobSpec::new([ExecutionSpec::new("process", input)]);
        spec.on_interrupt = OnInterrupt::Fail;
        self.jobs.submit("alice", spec).await.unwrap().id
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, input: Value) -> ExecutionRecord {
        let id = self.submit(input).await;
        self.finished(&id).await
    }

    pub(crate) async fn finished(&self, id: &JobId) -> ExecutionRecord {
        let detail = self.jobs.finished(id, LIMIT).await.unwrap().unwrap();
        assert!(detail.job.status.is_terminal(), "{detail:?}");
        self.execution(id).await
    }

    pub(crate) async fn execution(&self, id: &JobId) -> ExecutionRecord {
        let detail = self.jobs.get(id, ExecutionPage::ALL).await.unwrap().unwrap();
        detail.executions.into_iter().next().unwrap()
    }

    pub(crate) async fn cancel(&self, id: &JobId, grace: Duration) -> CancelOutcome {
        let mut request = CancelRequest::new(Actor::Owner("alice".into())).with_grace(grace);
        if grace.is_zero() {
            request = request.immediate();
        }
        self.jobs.cancel(id, &request).await.unwrap().outcome
    }

    /// Waits until all stops are settled.
    pub(crate) async fn settled(&self, id: &JobId) -> (ExecutionRecord, StopCounts) {
        match self.jobs.settled(id, LIMIT).await.unwrap() {
            Settled::Yes(stops) => (self.execution(id).await, stops),
            other => panic!("{other:?}: {:?}", self.execution(id).await),
        }
    }

    /// Cancels with this grace, waits until the stop is confirmed, and returns the evidence.
    pub(crate) async fn stop(&self, id: &JobId, grace: Duration) -> Value {
        self.cancel(id, grace).await;
        let (execution, stops) = self.settled(id).await;
        assert_eq!(stops.confirmed, 1, "{execution:?}");
        execution.stop.unwrap().evidence.unwrap()
    }

    pub(crate) async fn shutdown(self) -> Around {
        self.runner.shutdown(LIMIT).await;
        assert_eq!(self.executor.running(), 0);
        self.around
    }

    /// Ends without a word.
    pub(crate) fn abandon(self) -> Around {
        drop(self.runner);
        self.around
    }
}

/// Waits until it is so.
pub(crate) async fn wait_for(mut is_so: impl FnMut() -> bool) {
    let deadline = SystemClock.now() + LIMIT;
    while !is_so() {
        assert!(SystemClock.now() < deadline, "waited in vain");
        SystemClock.sleep(LOOK).await;
    }
}

/// Runs the same for an executor that may make private cgroups and one that may not. The level of
/// evidence to expect goes with it.
pub(crate) async fn at_both_levels<F: Future<Output = ()>>(test: impl Fn(Host, &'static str) -> F) {
    let host = Host::with_cgroup(true).await;
    let level = if host.around.is_populated().is_some() { "cgroup" } else { "supervisor" };
    test(host, level).await;
    test(Host::with_cgroup(false).await, "supervisor").await;
}
