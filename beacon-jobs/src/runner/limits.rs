use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much may be under way at once.
#[derive(Debug)]
pub(super) struct Limits {
    node: Arc<Semaphore>,
    executors: BTreeMap<String, Arc<Semaphore>>,
}

/// Room for one execution, given back when dropped.
#[derive(Debug)]
pub(super) struct Room {
    _permits: [Option<OwnedSemaphorePermit>; 3],
}

impl Limits {
    pub(super) fn new(node: usize, executors: &BTreeMap<String, usize>) -> Self {
        Self {
            node: semaphore(node),
            executors: executors.iter().map(|(name, most)| (name.clone(), semaphore(*most))).collect(),
        }
    }

    /// The limit of one job.
    pub(super) fn of_job(most: Option<u32>) -> Option<Arc<Semaphore>> {
        most.map(|most| semaphore(most as usize))
    }

    /// Waits for room, always in the order job, executor, node, so that nobody waits in a circle.
    ///
    /// # Cancellation safety
    /// Dropping the future takes no room.
    pub(super) async fn room(&self, job: Option<&Arc<Semaphore>>, executor: &str) -> Room {
        let job = acquire(job).await;
        let executor = acquire(self.executors.get(executor)).await;
        let node = acquire(Some(&self.node)).await;
        Room { _permits: [job, executor, node] }
    }
}

fn semaphore(most: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))
}

async fn acquire(semaphore: Option<&Arc<Semaphore>>) -> Option<OwnedSemaphorePermit> {
    // These semaphores are never closed, so there is always a permit in the end.
    Arc::clone(semaphore?).acquire_owned().await.ok()
}
