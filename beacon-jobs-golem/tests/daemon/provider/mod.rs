//! A provider of the tests' own on a genuine daemon: it offers, approves, runs real processes, and sends
//! bills. What a stock provider decides is not shown by it; what the daemons make of it is.

mod activity;
mod gsb;
mod market;
mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use serde_json::Value;
use tokio::task::JoinHandle;

use self::activity::Activity;
use crate::api::Api;

/// The pause after a call that was not answered as it should be.
const PAUSE: Duration = Duration::from_millis(100);

/// How the provider behaves.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// Whether it answers to an agreement.
    pub(crate) approves: bool,
    /// How long a new activity runs before its daemon hears that it is ready.
    pub(crate) create_after: Duration,
    /// How long an activity lives on that is to end.
    pub(crate) end_after: Duration,
    /// How long after the end of an agreement its invoice comes; `None`: never.
    pub(crate) invoice_after: Option<Duration>,
    /// How often a debit note comes while an activity lives; `None`: never.
    pub(crate) note_every: Option<Duration>,
    /// Whether it streams what happens to a script.
    pub(crate) streams: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            approves: true,
            create_after: Duration::ZERO,
            end_after: Duration::ZERO,
            invoice_after: Some(Duration::ZERO),
            note_every: None,
            streams: true,
        }
    }
}

/// It ends with whoever holds it, and so do its processes.
#[derive(Debug)]
pub(crate) struct Provider {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    api: Api,
    identity: String,
    programs: PathBuf,
    manners: Mutex<Manners>,
    activities: Mutex<BTreeMap<String, Arc<Activity>>>,
    /// What each agreement demands to be deployed.
    packages: Mutex<BTreeMap<String, String>>,
}

impl Shared {
    fn manners(&self) -> Manners {
        self.manners.lock().unwrap().clone()
    }

    fn activities(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Activity>>> {
        self.activities.lock().unwrap()
    }

    /// Calls the daemon until it answers as it should. It may be frozen.
    async fn surely<F: Future<Output = Result<Value, String>>>(&self, call: impl Fn() -> F) -> Value {
        let mut tries = 0;
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(why) => {
                    tries += 1;
                    if tries % 50 == 0 {
                        println!("the provider's daemon does not answer: {why}");
                    }
                }
            }
            SystemClock.sleep(PAUSE).await;
        }
    }

    /// Takes an image if it is the only one there is.
    fn deploy(&self, agreement: &str) -> Result<(), String> {
        let packages = self.packages.lock().unwrap();
        let Some(package) = packages.get(agreement) else { return Ok(()) };
        let hash = package.split(':').nth(2).unwrap_or_default();
        let known = "cd".repeat(28);
        if hash == known {
            return Ok(());
        }
        Err(format!(
            "Local service error: Transfer error: Incorrect hash: calculated {known}, expected {hash}"
        ))
    }
}

impl Provider {
    /// Makes an offer through this daemon. Commands are the programs of a folder.
    pub(crate) async fn start(api: Api, programs: &Path) -> Self {
        let me = api.get("/me").await.unwrap();
        let shared = Arc::new(Shared {
            identity: me["identity"].as_str().unwrap().to_owned(),
            api,
            programs: programs.to_owned(),
            manners: Mutex::default(),
            activities: Mutex::default(),
            packages: Mutex::default(),
        });
        let offer = shared.publish().await;
        let tasks = vec![
            tokio::spawn(Arc::clone(&shared).negotiate(offer)),
            tokio::spawn(Arc::clone(&shared).watch_agreements()),
            tokio::spawn(Arc::clone(&shared).watch_activities()),
        ];
        Self { shared, tasks }
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.shared.manners.lock().unwrap());
    }

    /// How many activities have a process that lives, as the system has it.
    pub(crate) fn alive(&self) -> usize {
        self.shared.activities().values().filter(|it| it.lives()).count()
    }

    /// How many activities have a command that runs.
    pub(crate) fn computing(&self) -> usize {
        self.shared.activities().values().filter(|it| it.computes()).count()
    }

    /// How many commands have ever begun.
    pub(crate) fn begun(&self) -> usize {
        self.shared.activities().values().map(|it| it.begun()).sum()
    }

    /// The activities of each agreement, each with the number of scripts that it was given.
    pub(crate) fn scripts(&self) -> BTreeMap<String, Vec<usize>> {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for activity in self.shared.activities().values() {
            all.entry(activity.agreement.clone()).or_default().push(activity.scripts());
        }
        all
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
