//! A node is killed with SIGKILL at each step that it saves, and a genuine daemon has to do with what it was about. The
//! next node finds everything: no process lives, no agreement goes on, no money stays aside, nothing runs twice.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelRequest};
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::job::{ExecutionSpec, JobDetail, JobSpec, JobStatus};
use beacon_jobs::stop::StopState;
use beacon_jobs::store::ExecutionPage;
use beacon_jobs::store::sqlite::SqliteStore;
use beacon_jobs::{JobId, Jobs};
use serde_json::json;

use crate::network::Network;
use crate::node::{self, Server};
use crate::point::{Point, Side, When};
use crate::scenarios::{Books, Trouble, World};
use crate::world::START_DEADLINE;

/// Longer than anything here takes; only what hangs sees it.
const LONG: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(50);

/// What is done after a node's death, or before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It died while work began. The next one runs it to its outcome.
    Completed,
    /// It died while work began, which is cancelled then.
    Cancelled,
    /// It dies while it stops what runs.
    Stopping,
}

/// Each save of the way from a start to running work, and of the way of a stop.
pub(crate) fn ways() -> Vec<(&'static str, Point, Way)> {
    let point = |call, nth| Point { side: Side::Store, call, nth, when: When::After };
    let begins = [
        ("started", point("start", 1)),
        ("planned", point("save_handles", 1)),
        ("agreed", point("save_handles", 2)),
        ("creating", point("save_handles", 3)),
        ("active", point("save_handles", 4)),
        ("scripted", point("save_handles", 5)),
    ];
    // What the first stop call brings may be the end.
    let stops = [("stop_taken", point("take_stops", 1)), ("stop_recorded", point("record_stops", 1))];
    // Its provider has what nobody else will ever hear of.
    let create = Point { side: Side::Provider, call: "CreateActivity", nth: 1, when: When::After };
    let begin = |way| begins.into_iter().map(move |(name, point)| (name, point, way));
    let stop = stops.into_iter().map(|(name, point)| (name, point, Way::Stopping));
    begin(Way::Completed)
        .filter(|(name, ..)| *name != "creating")
        .chain(begin(Way::Cancelled))
        .chain([("orphaned", create, Way::Cancelled)])
        .chain(stop)
        .collect()
}

struct Bed {
    network: Arc<Network>,
    jobs: Jobs,
    file: PathBuf,
    id: JobId,
    before: usize,
    _folder: tempfile::TempDir,
}

/// A node dies at a point.
pub(crate) async fn dies(network: &Arc<Network>, point: Point, way: Way) {
    let bed = Bed::new(network).await;
    let scripts_before = network.provider.scripts();
    println!("killed {point}, {way:?}");
    if point.side == Side::Provider {
        network.make(Trouble::CreateIsLate(true)).await;
    }
    let mut node = node::start(&bed.file, &bed.server(), point);
    if point.side == Side::Provider {
        bed.until("it lives", async || network.alive() == 1).await;
        node.kill().await.unwrap();
    }
    if way == Way::Stopping {
        bed.until("it computes", async || network.computing() == 1).await;
        bed.cancel().await;
    }
    let status = tokio::time::timeout(LONG, node.wait()).await.expect("it dies").unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{point}");
    match way {
        Way::Completed => network.let_complete(true),
        Way::Cancelled => bed.cancel().await,
        Way::Stopping => {}
    }
    let _next = node::runner(&bed.jobs, &bed.server()).await;
    bed.until("it is settled", async || bed.is_settled(point, way).await).await;
    let mut left = (usize::MAX, Books::default());
    let clean = async || {
        left = (network.alive(), network.books().await);
        let (alive, Books { agreements, allocations, demands, .. }) = left;
        (alive, agreements, allocations, demands) == (0, 0, 0, 0)
    };
    let is_clean = comes_true(clean).await;
    assert!(is_clean, "what is alive, and what is on record: {left:?}");
    for (agreement, scripts) in network.provider.scripts() {
        let is_new = !scripts_before.contains_key(&agreement);
        assert!(!is_new || (scripts.len() <= 1 && scripts.iter().all(|it| *it <= 1)), "{scripts:?}");
    }
    if way != Way::Completed {
        assert!(network.begun() - bed.before <= 1);
    }
}

impl Bed {
    async fn new(network: &Arc<Network>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobs.db");
        let store = SqliteStore::open(file.to_str().unwrap()).await.unwrap();
        store.migrate().await.unwrap();
        let jobs = Jobs::new(store);
        let input = json!({
            "runtime": { "name": "vm" }, "budget": "1", "commands": [{ "run": { "entry_point": "go_on" } }],
        });
        let id = jobs.submit("alice", JobSpec::new([ExecutionSpec::new("golem", input)])).await.unwrap().id;
        let before = network.begun();
        Self { network: Arc::clone(network), jobs, file, id, before, _folder: folder }
    }

    fn server(&self) -> Server {
        let api = &self.network.requestor.api;
        Server { url: api.base.clone(), key: api.key.clone(), start_deadline: START_DEADLINE }
    }

    async fn cancel(&self) {
        let request = CancelRequest::new(Actor::Owner("alice".to_owned())).immediate();
        self.jobs.cancel(&self.id, &request).await.unwrap();
    }

    async fn get(&self) -> JobDetail {
        self.jobs.get(&self.id, ExecutionPage::ALL).await.unwrap().unwrap()
    }

    /// Whether the job is over and all stops are as they are to be. What is confirmed is dead.
    async fn is_settled(&self, point: Point, way: Way) -> bool {
        let job = self.get().await;
        let stops: Vec<_> = job.executions.iter().filter_map(|it| it.stop.as_ref()).collect();
        let confirmed =
            stops.iter().all(|stop| matches!(stop.state, StopState::Confirmed | StopState::NotNeeded));
        if !job.job.status.is_terminal() {
            return false;
        }
        let is_cancelled = job.job.status == JobStatus::Cancelled;
        assert_eq!(is_cancelled, way != Way::Completed, "{job:?}");
        assert!(is_cancelled || job.job.status == JobStatus::Completed, "{job:?}");
        assert!(!confirmed || self.network.alive() == 0, "confirmed, and it lives");
        // Nobody can tell an activity that was never asked for from one that only its provider knows.
        let is_ambiguous = matches!((point.call, point.nth), ("save_handles", 3) | ("CreateActivity", _));
        confirmed || (is_ambiguous && stops.iter().all(|stop| stop.state == StopState::Unconfirmed))
    }

    async fn until(&self, what: &str, look: impl AsyncFnMut() -> bool) {
        let came = comes_true(look).await;
        assert!(came, "it does not come to this: {what}: {:?}", self.get().await);
    }
}

async fn comes_true(mut look: impl AsyncFnMut() -> bool) -> bool {
    let give_up = SystemClock.uptime() + LONG;
    while SystemClock.uptime() < give_up {
        if look().await {
            return true;
        }
        SystemClock.sleep(LOOK).await;
    }
    false
}
