use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Result};

/// How a runner behaves. The default suits one process on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunnerOptions {
    /// The node's name for people; the machine's name by default.
    pub node_name: String,
    /// How long the node counts as alive after its last heartbeat: 1 s to 1 h, 15 s by default.
    /// A heartbeat goes out three times in this time.
    pub lease: Duration,
    /// How often the store is looked at when no hint comes: 10 ms to 60 s, 1 s by default. This is
    /// what a lost hint costs at most. While the store
    /// [hears all nodes](crate::store::JobStore::hears_all_nodes) it is looked at once in five times
    /// as long.
    pub poll: Duration,
    /// How many jobs may run at once: at least 1, 64 by default.
    pub max_jobs: usize,
    /// How many executions may be under way at once: at least 1, 256 by default.
    pub max_executions: usize,
    /// How many executions of one executor may be under way at once; unlimited where absent.
    pub max_per_executor: BTreeMap<String, usize>,
    /// How long an end waits for a provider call in flight before it goes on without waiting:
    /// 30 s by default. The call itself lives to its own deadline.
    pub settle_limit: Duration,
    /// The longest time that one stop call may take: 30 s by default.
    pub stop_call_limit: Duration,
    /// The longest pause between two calls of one stop: 30 s by default.
    pub max_stop_pause: Duration,
    /// How long finished jobs are kept: 30 days by default; for ever when `None`.
    pub keep: Option<Duration>,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            node_name: host_name(),
            lease: Duration::from_secs(15),
            poll: Duration::from_secs(1),
            max_jobs: 64,
            max_executions: 256,
            max_per_executor: BTreeMap::new(),
            settle_limit: Duration::from_secs(30),
            stop_call_limit: Duration::from_secs(30),
            max_stop_pause: Duration::from_secs(30),
            keep: Some(Duration::from_secs(30 * 24 * 3600)),
        }
    }
}

impl RunnerOptions {
    pub(super) fn check(&self) -> Result<()> {
        let within = |field: &str, value: Duration, least: Duration, most: Duration| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(Error::invalid(field, format!("must be from {least:?} to {most:?}, is {value:?}")))
            }
        };
        within("lease", self.lease, Duration::from_secs(1), Duration::from_secs(3600))?;
        within("poll", self.poll, Duration::from_millis(10), Duration::from_secs(60))?;
        if self.max_jobs == 0 {
            return Err(Error::invalid("max_jobs", "must be at least 1"));
        }
        if self.max_executions == 0 {
            return Err(Error::invalid("max_executions", "must be at least 1"));
        }
        if let Some((name, _)) = self.max_per_executor.iter().find(|(_, most)| **most == 0) {
            return Err(Error::invalid(format!("max_per_executor.{name}"), "must be at least 1"));
        }
        Ok(())
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "node".to_owned())
}
