//! A control plane whose inputs run in real containers, and jobs on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::conformance::{HookedStore, StoreAnswer, StoreCall, StoreHooks};
use beacon_jobs::job::{ExecutionRecord, ExecutionSpec, JobDetail, JobSpec, OnInterrupt, StopRecord};
use beacon_jobs::runner::{JobRunner, RunnerOptions};
use beacon_jobs::stop::StopState;
use beacon_jobs::store::{ExecutionPage, MemoryStore};
use beacon_jobs::{Error, JobId, Jobs};
use beacon_jobs_modal::ModalExecutor;
use beacon_jobs_modal::fake::{Behaviour, ControlPlane, Work};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::worker::{Manners, Seen, Worker};

/// Longer than anything here takes; only a test that hangs sees it.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);
const APP: &str = "app";

/// Remembers how many containers the handle names that was saved last.
#[derive(Default)]
struct Known(watch::Sender<usize>);

impl StoreHooks for Known {
    async fn after(&self, call: &StoreCall<'_>, _: Result<StoreAnswer<'_>, &Error>) -> Result<(), Error> {
        if let StoreCall::SaveHandles([.., save]) = call {
            self.0.send_replace(save.handle.as_value()["tasks"].as_array().map_or(0, Vec::len));
        }
        Ok(())
    }
}

pub(crate) struct Bed {
    pub(crate) plane: ControlPlane,
    pub(crate) worker: Arc<Worker>,
    pub(crate) jobs: Jobs,
    pub(crate) folder: TempDir,
    known: Arc<Known>,
    _runner: JobRunner,
}

impl Bed {
    /// One with a function. Its container is sent SIGINT a second after a cancel that is to end it.
    pub(crate) async fn new(python: &Path, function: &str) -> Self {
        let plane = ControlPlane::start().await.unwrap();
        plane.deploy(APP, function, Work::Contained);
        plane.behave(|behaviour| {
            behaviour.idle_for = LONG;
            behaviour.terminate_after = Some(Duration::from_secs(1));
        });
        let folder = tempfile::tempdir().unwrap();
        let manners = Manners { kill_after: Duration::from_secs(2) };
        let worker = Arc::new(Worker::new(python.to_owned(), folder.path().to_owned(), manners));
        plane.employ(Arc::clone(&worker) as _);
        let known = Arc::new(Known::default());
        let jobs = Jobs::new(HookedStore::new(MemoryStore::new(), Arc::clone(&known)));
        let mut options = RunnerOptions::default();
        options.poll = Duration::from_millis(100);
        options.max_stop_pause = Duration::from_millis(300);
        let executor = ModalExecutor::builder(&plane.config())
            .with_start_deadline(Duration::from_secs(1))
            .with_container_stop_after(Some(Duration::from_secs(2)))
            .build()
            .unwrap();
        let runner = JobRunner::builder(&jobs).options(options).executor(executor).start().await.unwrap();
        Self { plane, worker, jobs, folder, known, _runner: runner }
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        self.plane.behave(change);
    }

    /// Submits a call of one attempt, with these arguments.
    pub(crate) async fn submit(&self, function: &str, args: Value, kwargs: Value) -> JobId {
        let input = json!({ "app": APP, "function": function, "args": args, "kwargs": kwargs });
        let spec = JobSpec::new([ExecutionSpec::new("modal", input)]).with_on_interrupt(OnInterrupt::Fail);
        self.jobs.submit("alice", spec).await.unwrap().id
    }

    /// Runs a call to its outcome.
    pub(crate) async fn run(&self, function: &str, args: Value) -> ExecutionRecord {
        let id = self.submit(function, args, json!({})).await;
        self.outcome(&id).await
    }

    pub(crate) async fn outcome(&self, id: &JobId) -> ExecutionRecord {
        self.jobs.finished(id, LONG).await.unwrap();
        let job = self.get(id).await;
        assert!(job.job.status.is_terminal(), "{job:?}");
        job.executions.into_iter().next().unwrap()
    }

    pub(crate) async fn get(&self, id: &JobId) -> JobDetail {
        self.jobs.get(id, ExecutionPage::ALL).await.unwrap().unwrap()
    }

    pub(crate) async fn cancel(&self, id: &JobId, grace: Duration) {
        let request = CancelRequest::new(Actor::Owner("alice".to_owned()));
        let request = if grace.is_zero() { request.immediate() } else { request.with_grace(grace) };
        self.jobs.cancel(id, &request).await.unwrap();
    }

    /// Waits until the stop of a job is confirmed.
    pub(crate) async fn confirmed(&self, id: &JobId) -> StopRecord {
        until("confirmed", async || {
            let stop = self.get(id).await.executions[0].stop.clone()?;
            (stop.state == StopState::Confirmed).then_some(stop)
        })
        .await
    }

    /// Waits until a handle is saved that names so many containers.
    pub(crate) async fn containers_known(&self, count: usize) {
        self.known.0.subscribe().wait_for(|known| *known == count).await.unwrap();
    }

    /// The containers that were started, of which there must be so many.
    pub(crate) fn containers<const N: usize>(&self) -> [Arc<Seen>; N] {
        let seen = self.worker.seen();
        let count = seen.len();
        seen.try_into().unwrap_or_else(|_| panic!("{count} containers, not {N}"))
    }

    /// Waits until a function ticks.
    pub(crate) async fn begins(&self, ticks: &Ticks) {
        let begun = until("it ticks", async || {
            let over = self.worker.seen().into_iter().find(|it| it.reported.borrow().is_some());
            (ticks.count() >= 3).then_some(Ok(())).or_else(|| Some(Err(over?)))
        });
        begun.await.unwrap_or_else(|over| panic!("it does not begin: {over:?}"));
    }

    pub(crate) fn ticks(&self, name: &str) -> Ticks {
        Ticks(self.folder.path().join(name))
    }
}

/// Looks until something is there.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = SystemClock.uptime() + LONG;
    while SystemClock.uptime() < give_up {
        if let Some(found) = look().await {
            return found;
        }
        SystemClock.sleep(LOOK).await;
    }
    panic!("it does not come to this: {what}");
}

/// The file in which work shows that it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Ticks(PathBuf);

impl Ticks {
    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    pub(crate) fn count(&self) -> u64 {
        std::fs::metadata(&self.0).map_or(0, |file| file.len())
    }

    /// When the last one was.
    pub(crate) fn last(&self) -> Option<OffsetDateTime> {
        std::fs::metadata(&self.0).ok().map(|file| file.modified().unwrap().into())
    }

    /// Waits for so many more.
    pub(crate) async fn more(&self, count: u64) {
        let enough = self.count() + count;
        until("it ticks", async || (self.count() >= enough).then_some(())).await;
    }

    /// Sees that there are no more, for the time of ten.
    pub(crate) async fn have_ended(&self) -> Result<(), String> {
        let before = self.count();
        SystemClock.sleep(Duration::from_millis(200)).await;
        let more = self.count() - before;
        if more == 0 { Ok(()) } else { Err(format!("{more} more ticks")) }
    }
}
