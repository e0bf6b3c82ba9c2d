//! Watching a job: one reader a job and process, however many watch.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::settle::{news_of, wait_for};
use super::{Inner, Jobs};
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::job::JobOutline;

/// The readers of this process, by job: each is here as long as somebody watches.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<HashMap<JobId, Feed>>);

/// What a reader and those who watch through it share.
#[derive(Debug)]
struct Feed {
    sender: watch::Sender<Seen>,
    /// How many reads were begun.
    begun: u64,
    /// Whether somebody waits for the next read, whatever it brings.
    is_awaited: bool,
    /// Asks for a read.
    ask: Arc<Notify>,
}

/// What a read brought.
#[derive(Clone, Debug)]
struct Seen {
    /// Counts the reads of the reader, from 1.
    read: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Nothing,
    Job(Arc<JobOutline>),
    Gone,
    Failed(ErrorKind, String),
}

/// A view of a job that follows it.
///
/// Each job that is watched has one task in this process that reads it: when the store hints at a
/// change, and at the poll interval of [`JobsBuilder::poll`](super::JobsBuilder::poll), so that what
/// other processes do is seen too. The task ends with the last watcher, and when the job is over.
pub struct JobWatch {
    jobs: Jobs,
    id: JobId,
    receiver: watch::Receiver<Seen>,
    /// The last read that began before this joined. What it brought may be older than what the
    /// caller was told elsewhere.
    before: u64,
    last: Option<Arc<JobOutline>>,
}

impl Jobs {
    /// Watches a job from now on. Reads nothing yet. Outside of a tokio runtime,
    /// [`JobWatch::next`] fails with `Misconfigured`.
    #[must_use]
    pub fn watch(&self, id: &JobId) -> JobWatch {
        let (receiver, before) = self.join(id);
        JobWatch { jobs: self.clone(), id: id.clone(), receiver, before, last: None }
    }

    /// How many jobs have watchers in this process.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.inner.readers.lock().len()
    }

    /// Joins the reader of a job, or begins one.
    fn join(&self, id: &JobId) -> (watch::Receiver<Seen>, u64) {
        let mut readers = self.inner.readers.lock();
        match readers.entry(id.clone()) {
            Entry::Occupied(mut entry) => {
                let feed = entry.get_mut();
                feed.is_awaited = true;
                if feed.begun > 0 {
                    feed.ask.notify_one();
                }
                (feed.sender.subscribe(), feed.begun)
            }
            Entry::Vacant(entry) => {
                let Ok(runtime) = Handle::try_current() else {
                    return (nowhere(), 0);
                };
                let (sender, receiver) = watch::channel(Seen { read: 0, what: What::Nothing });
                let ask = Arc::new(Notify::new());
                let reader = Reader {
                    of: Arc::downgrade(&self.inner),
                    id: id.clone(),
                    sender: sender.clone(),
                    ask: Arc::clone(&ask),
                };
                entry.insert(Feed { sender, begun: 0, is_awaited: true, ask });
                runtime.spawn(reader.run());
                (receiver, 0)
            }
        }
    }
}

/// What is seen where no reader can run.
fn nowhere() -> watch::Receiver<Seen> {
    let why = "a job can be watched inside of a tokio runtime only";
    let what = What::Failed(ErrorKind::Misconfigured, why.to_owned());
    let (_, mut receiver) = watch::channel(Seen { read: 1, what });
    receiver.mark_changed();
    receiver
}

impl JobWatch {
    /// The job as it is now, the first time; then each time that it has changed, as it is by then:
    /// of many changes in between only the last is seen. `None` once the job is over (it has its
    /// outcome, and every stop is settled) and was seen so, or when there is no such job any more.
    ///
    /// # Errors
    /// Those of reading the store that asking again does not heal. While the store is out of reach
    /// this waits.
    ///
    /// # Cancellation safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Arc<JobOutline>>> {
        loop {
            if self.last.as_ref().is_some_and(|last| last.is_over()) {
                return Ok(None);
            }
            if self.receiver.changed().await.is_err() {
                // The reader is gone: with its runtime, or it had done its last read before this joined.
                (self.receiver, self.before) = self.jobs.join(&self.id);
                continue;
            }
            let seen = self.receiver.borrow_and_update().clone();
            match seen.what {
                _ if seen.read <= self.before => {}
                What::Nothing => {}
                What::Job(outline) if self.last.as_ref() == Some(&outline) => {}
                What::Job(outline) => {
                    self.last = Some(Arc::clone(&outline));
                    return Ok(Some(outline));
                }
                What::Gone => return Ok(None),
                What::Failed(kind, why) => return Err(Error::new(kind, why)),
            }
        }
    }
}

impl fmt::Debug for JobWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobWatch").field("job", &self.id).finish_non_exhaustive()
    }
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Feed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that reads a job for all who watch it.
struct Reader {
    of: Weak<Inner>,
    id: JobId,
    sender: watch::Sender<Seen>,
    ask: Arc<Notify>,
}

impl Reader {
    async fn run(self) {
        tokio::select! {
            biased;
            () = self.abandoned() => {}
            () = self.read() => {}
        }
    }

    /// Returns once nobody watches, and then nobody begins to watch this reader.
    async fn abandoned(&self) {
        loop {
            self.sender.closed().await;
            let Some(inner) = self.of.upgrade() else { return };
            let mut readers = inner.readers.lock();
            if self.sender.receiver_count() == 0 {
                self.leave(&mut readers);
                return;
            }
        }
    }

    /// Reads the job until it is over.
    async fn read(&self) {
        let mut is_awaited = false;
        loop {
            let Some(inner) = self.of.upgrade() else { return };
            // Hints from before the read are of no use after it.
            let mut signals = inner.store.signals();
            let began = inner.clock.uptime();
            let (read, now_awaited) = self.begin(&inner);
            is_awaited |= now_awaited;
            let outcome = inner.store.outline(&self.id).await;
            let took = inner.clock.uptime().saturating_sub(began);
            let what = match outcome {
                Ok(Some(outline)) => Some(What::Job(Arc::new(outline))),
                Ok(None) => Some(What::Gone),
                Err(error) if error.is_retryable() => {
                    tracing::debug!(job.id = %self.id, %error, "a watched job cannot be read just now");
                    None
                }
                Err(error) => Some(What::Failed(error.kind(), error.to_string())),
            };
            if let Some(what) = what {
                let goes_on = matches!(&what, What::Job(outline) if !outline.is_over());
                self.show(read, what, std::mem::take(&mut is_awaited));
                if !goes_on {
                    return;
                }
            }
            let (clock, poll) = (Arc::clone(&inner.clock), inner.poll);
            drop(inner);
            let news = async {
                tokio::select! {
                    biased;
                    () = news_of(&self.id, &mut signals) => {}
                    () = self.ask.notified() => {}
                }
            };
            wait_for(&*clock, news, poll, took).await;
        }
    }

    /// Counts a read that begins now, and tells whether somebody waits for it.
    fn begin(&self, inner: &Inner) -> (u64, bool) {
        inner.readers.lock().get_mut(&self.id).map_or((1, true), |feed| {
            feed.begun += 1;
            (feed.begun, std::mem::take(&mut feed.is_awaited))
        })
    }

    /// Shows what a read brought, if that is news or somebody waits for it all the same.
    fn show(&self, read: u64, what: What, is_awaited: bool) {
        self.sender.send_if_modified(|seen| {
            seen.read = read;
            match (&seen.what, &what) {
                (What::Job(before), What::Job(now)) if before == now => is_awaited,
                _ => {
                    seen.what = what;
                    true
                }
            }
        });
    }

    /// Makes place for another reader of the job.
    fn leave(&self, readers: &mut HashMap<JobId, Feed>) {
        if readers.get(&self.id).is_some_and(|feed| feed.sender.same_channel(&self.sender)) {
            readers.remove(&self.id);
        }
    }
}

impl Drop for Reader {
    /// Also when the runtime ends: those who watch then find another reader.
    fn drop(&mut self) {
        if let Some(inner) = self.of.upgrade() {
            self.leave(&mut inner.readers.lock());
        }
    }
}
