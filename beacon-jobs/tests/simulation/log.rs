//! What happened, in order, and the figures of many runs.

use std::fmt;
use std::sync::Mutex;

use super::world::World;

/// The event log of one run. Kept only when somebody is going to read it.
#[derive(Debug, Default)]
pub struct Log {
    lines: Option<Mutex<Vec<String>>>,
}

impl Log {
    pub fn new(keep: bool) -> Self {
        Self { lines: keep.then(Mutex::default) }
    }

    pub fn take(&self) -> Vec<String> {
        self.lines.as_ref().map(|lines| std::mem::take(&mut *lines.lock().unwrap())).unwrap_or_default()
    }
}

impl World {
    /// Adds a line. The words are put together only if the log is kept.
    pub fn log(&self, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.log.lines {
            let line = format!("{:>8.3} {}", self.clock.elapsed().as_secs_f64(), line());
            lines.lock().unwrap().push(line);
        }
    }
}

/// What many runs came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub seeds: u64,
    pub cancels: u64,
    pub crashes: u64,
    pub freezes: u64,
    pub drains: u64,
    pub faults: u64,
    pub lost_leases: u64,
    pub begun: u64,
    pub progress_recorded: u64,
    pub stops_confirmed: u64,
    pub orphans: u64,
    pub let_off: u64,
}

impl Figures {
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.cancels += other.cancels;
        self.crashes += other.crashes;
        self.freezes += other.freezes;
        self.drains += other.drains;
        self.faults += other.faults;
        self.lost_leases += other.lost_leases;
        self.begun += other.begun;
        self.progress_recorded += other.progress_recorded;
        self.stops_confirmed += other.stops_confirmed;
        self.orphans += other.orphans;
        self.let_off += other.let_off;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds: {} cancels, {} crashes, {} freezes, {} drains, {} leases lost, {} faults of store and \
             provider, {} works begun, {} reports of progress recorded, {} stops confirmed, {} alive for a while \
             after a confirmation that rests on time, orphans = {}",
            self.seeds,
            self.cancels,
            self.crashes,
            self.freezes,
            self.drains,
            self.lost_leases,
            self.faults,
            self.begun,
            self.progress_recorded,
            self.stops_confirmed,
            self.let_off,
            self.orphans,
        )
    }
}
