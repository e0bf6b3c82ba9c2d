//! Runs jobs: claims them, brings their executions through the start barrier to the executors,
//! and drives stops until they are settled.

mod attempt;
mod claim;
mod execution;
mod job;
mod lease;
mod limits;
mod node;
mod options;
mod progress;
mod shutdown;
mod stops;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

pub use options::RunnerOptions;
pub use shutdown::ShutdownReport;

use self::node::Node;
use self::stops::StopDriver;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::id::IncarnationId;
use crate::jobs::Jobs;

/// A node: one running process that takes jobs.
///
/// Dropping it ends its loops and its work without a word to the store, as a crash would: what it
/// ran is taken up by the next runner. [`shutdown`](Self::shutdown) is the way to end it.
pub struct JobRunner {
    node: Arc<Node>,
    stops: Arc<StopDriver>,
    loops: TaskTracker,
}

impl JobRunner {
    /// A runner of this door's jobs.
    #[must_use]
    pub fn builder(jobs: &Jobs) -> RunnerBuilder {
        RunnerBuilder { jobs: jobs.clone(), options: RunnerOptions::default(), executors: Vec::new() }
    }

    /// This life of the node; `None` while a lost one settles.
    #[must_use]
    pub fn incarnation(&self) -> Option<IncarnationId> {
        *self.node.incarnation.borrow()
    }

    /// How many jobs run here.
    #[must_use]
    pub fn running_jobs(&self) -> usize {
        self.node.running.len()
    }

    /// How many attempts run or settle here.
    #[must_use]
    pub fn running_attempts(&self) -> usize {
        self.node.attempts.len()
    }
}

impl Drop for JobRunner {
    fn drop(&mut self) {
        self.node.draining.cancel();
        self.node.closed.cancel();
        self.node.give_up_all();
    }
}

impl fmt::Debug for JobRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobRunner").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Puts a [`JobRunner`] together.
#[derive(Debug)]
pub struct RunnerBuilder {
    jobs: Jobs,
    options: RunnerOptions,
    executors: Vec<Arc<dyn Executor>>,
}

impl RunnerBuilder {
    /// Adds an executor. A job is claimed only by a runner that has all its executors.
    #[must_use]
    pub fn executor(self, executor: impl Executor) -> Self {
        self.shared_executor(Arc::new(executor))
    }

    /// Adds an executor that others hold too.
    #[must_use]
    pub fn shared_executor(mut self, executor: Arc<dyn Executor>) -> Self {
        self.executors.push(executor);
        self
    }

    /// Sets how the runner behaves.
    #[must_use]
    pub fn options(mut self, options: RunnerOptions) -> Self {
        self.options = options;
        self
    }

    /// Enters the store as a new node and begins to take jobs.
    ///
    /// # Errors
    /// `InvalidInput` names the option. `Misconfigured` when two executors have one name or there
    /// is none. `Occupied` when the store allows one node and another lives.
    ///
    /// # Cancellation safety
    /// When dropped, the node may be entered; it is found dead later.
    pub async fn start(self) -> Result<JobRunner> {
        self.options.check()?;
        let mut executors: BTreeMap<String, Arc<dyn Executor>> = BTreeMap::new();
        for executor in &self.executors {
            let name = executor.name().to_owned();
            if executors.insert(name.clone(), Arc::clone(executor)).is_some() {
                return Err(Error::new(
                    crate::ErrorKind::Misconfigured,
                    format!("two executors are named {name}; give one of them another name"),
                ));
            }
        }
        if executors.is_empty() {
            return Err(Error::new(
                crate::ErrorKind::Misconfigured,
                "a runner needs at least one executor; add one with RunnerBuilder::executor",
            ));
        }
        let node = Arc::new(Node::new(self.jobs, self.options, executors));
        let incarnation = lease::join(&node).await?;
        tracing::info!(node = %node.options.node_name, %incarnation, store = %node.store(), "runner started");
        node.incarnation.send_replace(Some(incarnation));
        let local = node.jobs.attach(self.executors);
        let stops = StopDriver::new(Arc::clone(&node));
        let loops = TaskTracker::new();
        loops.spawn(watch::listen(Arc::clone(&node)));
        loops.spawn(watch::run(Arc::clone(&node)));
        loops.spawn(lease::keep(Arc::clone(&node)));
        loops.spawn(claim::run(Arc::clone(&node)));
        loops.spawn(shutdown::prune(Arc::clone(&node)));
        loops.spawn(Arc::clone(&stops).run_local(local));
        loops.spawn(Arc::clone(&stops).run());
        Ok(JobRunner { node, stops, loops })
    }
}
