//! The node that dies: this test program, started again.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use beacon_jobs::conformance::{HookedStore, StoreAnswer, StoreCall, StoreHooks};
use beacon_jobs::runner::{JobRunner, RunnerOptions};
use beacon_jobs::store::JobStore;
use beacon_jobs::store::sqlite::SqliteStore;
use beacon_jobs::{Error, Jobs};
use beacon_jobs_golem::{Config, GolemExecutor};
use tokio::process::{Child, Command};

use crate::point::{Point, Side, When};

const STORE: &str = "BEACON_TEST_STORE";
const SERVER: &str = "BEACON_TEST_SERVER";
const KEY: &str = "BEACON_TEST_KEY";
const START: &str = "BEACON_TEST_START_MS";
const DIES: &str = "BEACON_TEST_DIES";

/// The daemon that a node uses.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) key: String,
    /// How long what begins something may be on its way there.
    pub(crate) start_deadline: Duration,
}

/// Starts a node that dies at a point of its store. A point of the provider kills it from outside.
pub(crate) fn start(store: &Path, server: &Server, point: Point) -> Child {
    let mut node = Command::new(std::env::current_exe().unwrap());
    node.args(["node::the_node_that_dies", "--exact", "--ignored", "--nocapture"])
        .env(STORE, store)
        .env(SERVER, &server.url)
        .env(KEY, &server.key)
        .env(START, server.start_deadline.as_millis().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if point.side == Side::Store {
        node.env(DIES, format!("{:?}:{}:{}", point.when, point.call, point.nth));
    }
    node.spawn().unwrap()
}

/// A runner with short limits.
pub(crate) async fn runner(jobs: &Jobs, server: &Server) -> JobRunner {
    let mut options = RunnerOptions::default();
    options.poll = Duration::from_millis(100);
    options.max_stop_pause = Duration::from_millis(300);
    let config = Config::new(server.key.clone()).with_api_url(server.url.clone());
    let executor = GolemExecutor::builder(&config)
        .with_start_deadline(server.start_deadline)
        .with_offers(Duration::from_secs(20), Duration::ZERO)
        .with_confirm_limit(Duration::from_secs(4))
        .with_destroy_limit(server.start_deadline / 2)
        .with_poll(Duration::from_millis(20))
        .with_invoices(Duration::from_secs(5), Duration::from_secs(5));
    let executor = executor.build().unwrap();
    // As a host does: what a dead process left unpaid is taken up. A daemon that says nothing now is no
    // reason not to start.
    let _ = executor.recover().await;
    JobRunner::builder(jobs).options(options).executor(executor).start().await.unwrap()
}

struct Dies {
    at: Option<(When, String, u32)>,
    calls: AtomicU32,
}

impl Dies {
    fn pass(&self, when: When, call: &StoreCall<'_>) {
        let Some((at, name, nth)) = &self.at else { return };
        // The stop driver looks again and again; what it takes nothing from does not count.
        if *at != when || name != call.name() {
            return;
        }
        if self.calls.fetch_add(1, Ordering::SeqCst) + 1 == *nth {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            std::thread::park();
        }
    }
}

impl StoreHooks for Dies {
    async fn before(&self, call: &StoreCall<'_>) -> Result<(), Error> {
        if !matches!(call, StoreCall::TakeStops(_)) {
            self.pass(When::Before, call);
        }
        Ok(())
    }

    async fn after(
        &self,
        call: &StoreCall<'_>,
        answer: Result<StoreAnswer<'_>, &Error>,
    ) -> Result<(), Error> {
        match answer {
            Ok(StoreAnswer::TakeStops(items)) if items.is_empty() => {}
            // What is taken is as lost before its answer as after it.
            Ok(StoreAnswer::TakeStops(_)) => {
                self.pass(When::Before, call);
                self.pass(When::After, call);
            }
            _ => self.pass(When::After, call),
        }
        Ok(())
    }
}

#[tokio::test]
#[ignore = "started and killed by the other tests"]
async fn the_node_that_dies() {
    let set = |name: &str| std::env::var(name).ok();
    let (Some(store), Some(url), Some(key), Some(start)) = (set(STORE), set(SERVER), set(KEY), set(START))
    else {
        return;
    };
    let server = Server { url, key, start_deadline: Duration::from_millis(start.parse().unwrap()) };
    let at = std::env::var(DIES).ok().map(|text| {
        let parts: Vec<_> = text.split(':').collect();
        let when = if parts[0] == "Before" { When::Before } else { When::After };
        (when, parts[1].to_owned(), parts[2].parse().unwrap())
    });
    let store: Arc<dyn JobStore> = Arc::new(SqliteStore::open(store).await.unwrap());
    let jobs = Jobs::new(HookedStore::new(store, Dies { at, calls: AtomicU32::new(0) }));
    let _runner = runner(&jobs, &server).await;
    std::future::pending::<()>().await;
}
