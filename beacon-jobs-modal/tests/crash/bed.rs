use std::path::PathBuf;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::job::{ExecutionSpec, ExecutionStatus, JobDetail, JobSpec};
use beacon_jobs::runner::JobRunner;
use beacon_jobs::stop::StopState;
use beacon_jobs::store::ExecutionPage;
use beacon_jobs::store::sqlite::SqliteStore;
use beacon_jobs::{JobId, Jobs, Settled};
use beacon_jobs_modal::fake::{ControlPlane, Fault, Work};
use serde_json::json;

use crate::node;
use crate::point::{Point, Side, When};

const LOOK: Duration = Duration::from_millis(5);

/// A control plane, and a store that several processes use.
pub(crate) struct Bed {
    pub(crate) plane: ControlPlane,
    jobs: Jobs,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn new(work: Work) -> Self {
        let plane = ControlPlane::start().await.unwrap();
        plane.deploy("app", "work", work);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobs.db");
        let store = SqliteStore::open(file.to_str().unwrap()).await.unwrap();
        store.migrate().await.unwrap();
        Self { plane, jobs: Jobs::new(store), file, _folder: folder }
    }

    pub(crate) async fn submit(&self) -> JobId {
        let input = json!({ "app": "app", "function": "work" });
        let spec = JobSpec::new([ExecutionSpec::new("modal", input)]);
        self.jobs.submit("alice", spec).await.unwrap().id
    }

    pub(crate) async fn cancel(&self, id: &JobId) {
        let request = CancelRequest::new(Actor::Owner("alice".to_owned())).immediate();
        self.jobs.cancel(id, &request).await.unwrap();
    }

    pub(crate) async fn runner(&self) -> JobRunner {
        node::runner(&self.jobs, &self.plane.config()).await
    }

    /// Makes a point of the provider the place where the next call stays.
    pub(crate) fn arm(&self, point: Point) {
        if point.side == Side::Provider {
            let fault = if point.when == When::Before { Fault::Stalls } else { Fault::Hangs };
            self.plane.inject(point.call, 1, fault);
        }
    }

    /// Runs a node until it is dead by this point; meanwhile something else is done.
    pub(crate) async fn run_and_kill(&self, point: Point, meanwhile: impl Future<Output = ()>) {
        let mut node = node::start(&self.file, &self.plane.url(), point);
        meanwhile.await;
        if point.side == Side::Provider {
            self.plane.until(|plane| plane.stuck() > 0).await;
            node.kill().await.unwrap();
        }
        let status = node.wait().await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{point}");
    }

    pub(crate) async fn get(&self, id: &JobId) -> JobDetail {
        self.jobs.get(id, ExecutionPage::ALL).await.unwrap().unwrap()
    }

    pub(crate) async fn finished(&self, id: &JobId) -> JobDetail {
        while !self.get(id).await.job.status.is_terminal() {
            SystemClock.sleep(LOOK).await;
        }
        self.get(id).await
    }

    pub(crate) async fn until_running(&self, id: &JobId) {
        while self.get(id).await.executions[0].status != ExecutionStatus::Running {
            SystemClock.sleep(LOOK).await;
        }
    }

    /// Waits until all stops are settled, and looks at each step that what is confirmed is over.
    pub(crate) async fn settled(&self, id: &JobId) {
        loop {
            let job = self.get(id).await;
            let confirmed = |execution: &beacon_jobs::job::ExecutionRecord| {
                execution.stop.as_ref().is_some_and(|stop| stop.state == StopState::Confirmed)
            };
            if job.job.status.is_terminal() && job.executions.iter().all(confirmed) {
                assert_eq!(self.plane.alive(), 0, "confirmed, and it computes");
            }
            if let Settled::Yes(_) = self.jobs.settled(id, LOOK).await.unwrap() {
                return;
            }
        }
    }

    pub(crate) async fn alive(&self, count: usize) {
        self.plane.until(|plane| plane.alive() == count).await;
    }

    pub(crate) fn assert_fed_once(&self) {
        for call in self.plane.calls() {
            assert!(call.inputs <= 1, "fed twice: {call:?}");
        }
    }
}
