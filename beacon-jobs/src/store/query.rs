use std::collections::BTreeMap;

use crate::job::{JobRecord, JobStatus};

/// Which executions of a job to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutionPage {
    /// The first one's place in the list.
    pub offset: u32,
    /// How many at most.
    pub limit: u32,
}

impl ExecutionPage {
    /// All of them.
    pub const ALL: Self = Self { offset: 0, limit: u32::MAX };
    /// None of them: the job alone.
    pub const NONE: Self = Self { offset: 0, limit: 0 };
}

/// Which jobs to read. The default is the 50 newest of everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFilter {
    /// Only of this owner.
    pub owner: Option<String>,
    /// Only in this status.
    pub status: Option<JobStatus>,
    /// Only with all of these labels.
    pub labels: BTreeMap<String, String>,
    /// How many at most.
    pub limit: u32,
    /// Where an earlier answer ended.
    pub cursor: Option<String>,
}

impl Default for JobFilter {
    fn default() -> Self {
        Self { owner: None, status: None, labels: BTreeMap::new(), limit: 50, cursor: None }
    }
}

/// A page of jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct JobList {
    /// The jobs, newest first.
    pub jobs: Vec<JobRecord>,
    /// Where the next page begins, if there is one.
    pub next_cursor: Option<String>,
}
