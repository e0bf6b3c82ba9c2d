//! What a live context keeps in memory, without its task.

#[path = "support/measure.rs"]
mod measure;

use std::alloc::System;

use beacon_jobs::context::{JobContext, JobContextManager};
use beacon_jobs::{JobId, RandomIds};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use measure::{Mode, Result, Table};

/// Counts what is asked of the allocator.
#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes for each live context.
const BUDGET: f64 = 400.0;
/// From here on the whole process's memory tells something: pages are few beside the contexts.
const LEAST_RESIDENT: usize = 100_000;

fn asked() -> usize {
    let stats = MEMORY.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// Bytes of the process in memory: with what the allocator adds to each piece, and its gaps.
fn resident() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes =
        line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS in /proc/self/status")?;
    Ok(kibibytes.parse::<usize>()? * 1024)
}

/// Live contexts and everything that they hold: the manager, its map, the ids.
struct Live {
    _manager: JobContextManager,
    contexts: Vec<JobContext>,
}

impl Live {
    fn new(count: usize) -> Result<Self> {
        let manager = JobContextManager::new();
        let mut contexts = Vec::with_capacity(count);
        for _ in 0..count {
            contexts.push(manager.register(JobId::mint(&RandomIds))?);
        }
        Ok(Self { _manager: manager, contexts })
    }
}

fn each(before: usize, after: usize, count: usize) -> f64 {
    after.saturating_sub(before) as f64 / count as f64
}

fn main() -> Result<()> {
    let mode = Mode::of_process();
    if mode == Mode::List {
        return Ok(());
    }
    let mut table = Table::new("Contexts: memory, in bytes for each live context");
    for full in [1, 1_000, 100_000, 1_000_000] {
        let count = mode.pick(full, full.min(1_000));
        let (asked_before, resident_before) = (asked(), resident()?);
        let live = Live::new(count)?;
        let (asked_after, resident_after) = (asked(), resident()?);
        let budget = (full >= 1_000).then_some(BUDGET);
        table.figure(
            &format!("{full} live, asked of the allocator"),
            each(asked_before, asked_after, count),
            1,
            budget,
        );
        if count >= LEAST_RESIDENT {
            let figure = each(resident_before, resident_after, count);
            table.figure(&format!("{full} live, growth of the process"), figure, 1, budget);
        }
        let tokens: Vec<_> = live.contexts.iter().map(JobContext::token).collect();
        let figure = each(asked_before, asked(), count);
        table.figure(&format!("{full} live, each with one child token given out"), figure, 1, None);
        drop((tokens, live));
    }
    table.print(mode);
    Ok(())
}
