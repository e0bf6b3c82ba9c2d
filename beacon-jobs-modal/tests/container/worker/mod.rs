//! The worker's part, which at Modal nobody outside can see: containers start, are handed cancels, and
//! end. What runs in them is Modal's own runtime.

mod process;
mod service;
mod start;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use beacon_jobs_modal::fake::{self, Container};
use time::OffsetDateTime;
use tokio::sync::watch;

pub(crate) use self::process::{Gone, running_in_group};
use crate::generated::generic_result::GenericStatus;

/// How the worker ends a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// From SIGINT to SIGKILL.
    pub(crate) kill_after: Duration,
}

/// Plays Modal's worker.
#[derive(Debug)]
pub(crate) struct Worker {
    python: PathBuf,
    folder: PathBuf,
    manners: Manners,
    seen: Mutex<BTreeMap<String, Arc<Seen>>>,
}

/// What is known of a container, from the worker's place.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) container: Container,
    /// What the runtime said of the input, and when.
    pub(crate) reported: watch::Sender<Option<(GenericStatus, OffsetDateTime)>>,
    /// How many cancels of its input there were.
    cancels: watch::Sender<u32>,
    /// How often it has asked for an input.
    asked: watch::Sender<u32>,
    stop: watch::Sender<bool>,
    /// Its process group, once it runs.
    pub(crate) group: watch::Sender<Option<i32>>,
    pub(crate) gone: watch::Sender<Option<Gone>>,
}

impl Worker {
    /// `folder` is for what containers read.
    pub(crate) fn new(python: PathBuf, folder: PathBuf, manners: Manners) -> Self {
        Self { python, folder, manners, seen: Mutex::default() }
    }

    /// All containers there ever were, in the order in which they were started.
    pub(crate) fn seen(&self) -> Vec<Arc<Seen>> {
        self.seen.lock().unwrap().values().cloned().collect()
    }

    fn find(&self, task: &str) -> Option<Arc<Seen>> {
        self.seen.lock().unwrap().get(task).cloned()
    }
}

impl Seen {
    /// Waits until it has asked for an input so often.
    pub(crate) async fn asks(&self, times: u32) {
        let mut asked = self.asked.subscribe();
        let mut gone = self.gone.subscribe();
        tokio::select! {
            biased;
            count = asked.wait_for(|count| *count >= times) => drop(count.unwrap()),
            gone = gone.wait_for(Option::is_some) => panic!("it has ended: {:?}", *gone.unwrap()),
        }
    }

    /// Waits until it has ended.
    pub(crate) async fn ends(&self) -> Gone {
        let mut gone = self.gone.subscribe();
        gone.wait_for(Option::is_some).await.unwrap().clone().unwrap()
    }
}

impl fake::Worker for Worker {
    fn start(&self, container: Container) {
        let seen = Arc::new(Seen {
            container,
            reported: watch::Sender::default(),
            cancels: watch::Sender::default(),
            asked: watch::Sender::default(),
            stop: watch::Sender::default(),
            group: watch::Sender::default(),
            gone: watch::Sender::default(),
        });
        self.seen.lock().unwrap().insert(seen.container.task_id().to_owned(), Arc::clone(&seen));
        tokio::spawn(process::run(seen, self.python.clone(), self.folder.clone(), self.manners));
    }

    fn cancel(&self, task: &str) {
        if let Some(seen) = self.find(task) {
            seen.cancels.send_modify(|count| *count += 1);
        }
    }

    fn stop(&self, task: &str) {
        if let Some(seen) = self.find(task) {
            seen.stop.send_replace(true);
        }
    }
}
