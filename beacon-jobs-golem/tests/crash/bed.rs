use std::path::PathBuf;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::job::{ExecutionSpec, JobDetail, JobSpec};
use beacon_jobs::runner::JobRunner;
use beacon_jobs::stop::StopState;
use beacon_jobs::store::ExecutionPage;
use beacon_jobs::store::sqlite::SqliteStore;
use beacon_jobs::{JobId, Jobs, Settled};
use beacon_jobs_golem::fake::{APPKEY, Fault, Work, Yagna};
use serde_json::json;

use crate::node::{self, Server};
use crate::point::{Point, Side, When};

const LOOK: Duration = Duration::from_millis(5);

/// A daemon, and a store that several processes use.
pub(crate) struct Bed {
    pub(crate) yagna: Yagna,
    jobs: Jobs,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        let yagna = Yagna::start().await.unwrap();
        yagna.install("work", Work::GoesOn);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobs.db");
        let store = SqliteStore::open(file.to_str().unwrap()).await.unwrap();
        store.migrate().await.unwrap();
        Self { yagna, jobs: Jobs::new(store), file, _folder: folder }
    }

    pub(crate) async fn submit(&self) -> JobId {
        let input = json!({
            "runtime": { "name": "vm" }, "budget": "1", "commands": [{ "run": { "entry_point": "work" } }],
        });
        let spec = JobSpec::new([ExecutionSpec::new("golem", input)]);
        self.jobs.submit("alice", spec).await.unwrap().id
    }

    pub(crate) async fn cancel(&self, id: &JobId) {
        let request = CancelRequest::new(Actor::Owner("alice".to_owned())).immediate();
        self.jobs.cancel(id, &request).await.unwrap();
    }

    fn server(&self) -> Server {
        let second = Duration::from_secs(1);
        Server { url: self.yagna.url(), key: APPKEY.to_owned(), start_deadline: second }
    }

    pub(crate) async fn runner(&self) -> JobRunner {
        node::runner(&self.jobs, &self.server()).await
    }

    /// Makes a point of the daemon the place where the next call stays.
    pub(crate) fn arm(&self, point: Point) {
        if point.side == Side::Provider {
            let fault = if point.when == When::Before { Fault::Stalls } else { Fault::Hangs };
            self.yagna.inject(point.call, 1, fault);
        }
    }

    /// Runs a node until it is dead by this point; meanwhile something else is done.
    pub(crate) async fn run_and_kill(&self, point: Point, meanwhile: impl Future<Output = ()>) {
        let mut node = node::start(&self.file, &self.server(), point);
        meanwhile.await;
        if point.side == Side::Provider {
            self.yagna.until(|yagna| yagna.stuck() > 0).await;
            node.kill().await.unwrap();
        }
        let status = node.wait().await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{point}");
    }

    pub(crate) async fn get(&self, id: &JobId) -> JobDetail {
        self.jobs.get(id, ExecutionPage::ALL).await.unwrap().unwrap()
    }

    /// Lets whatever goes on complete until the job has its outcome.
    pub(crate) async fn completed(&self, id: &JobId) -> JobDetail {
        while !self.get(id).await.job.status.is_terminal() {
            self.yagna.complete();
            SystemClock.sleep(LOOK).await;
        }
        self.get(id).await
    }

    /// Waits until the stops have come to this state, and looks at each step that what is confirmed is over.
    pub(crate) async fn stopped(&self, id: &JobId, states: &[StopState]) {
        loop {
            let job = self.get(id).await;
            let stops: Vec<_> = job.executions.iter().filter_map(|it| it.stop.as_ref()).collect();
            if job.job.status.is_terminal() && stops.iter().all(|stop| stop.state == StopState::Confirmed) {
                assert_eq!(self.yagna.alive(), 0, "confirmed, and it lives");
            }
            if job.job.status.is_terminal() && stops.iter().all(|stop| states.contains(&stop.state)) {
                return;
            }
            let _: Settled = self.jobs.settled(id, LOOK).await.unwrap();
        }
    }

    /// Waits until nothing is left at the daemon.
    pub(crate) async fn clean(&self) {
        let clean = |yagna: &Yagna| {
            let agreed = yagna.agreements().iter().any(|it| matches!(&*it.state, "Approved" | "Pending"));
            yagna.alive() == 0 && !agreed && yagna.allocations() == 0 && yagna.demands() == 0
        };
        self.yagna.until(clean).await;
    }

    pub(crate) fn assert_begun_once(&self) {
        for agreement in self.yagna.agreements() {
            assert!(agreement.activities.len() <= 1, "{agreement:?}");
            assert!(agreement.activities.iter().all(|(_, _, scripts)| *scripts <= 1), "{agreement:?}");
        }
    }
}
