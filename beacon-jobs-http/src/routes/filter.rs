//! Which jobs a cancel of many means.

use std::collections::{BTreeMap, HashSet};

use beacon_jobs::JobId;
use beacon_jobs::cancel::Actor;
use beacon_jobs::job::{JobRecord, JobStatus};
use beacon_jobs::store::JobFilter;
use serde_json::{Map, Value};

use super::wish::{finish, take};
use crate::problem::Problem;

/// How many jobs may be named.
const MOST_IDS: usize = 1_000;

/// Where a job can be cancelled, in the order of life.
pub(super) const OPEN: [JobStatus; 2] = [JobStatus::Queued, JobStatus::Running];

/// Jobs that fit all that is given.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) status: Option<JobStatus>,
    labels: BTreeMap<String, String>,
    /// Each once.
    pub(super) ids: Option<Vec<JobId>>,
}

impl Filter {
    /// Whether a job that is named may still not be meant.
    pub(super) fn is_narrower_than_ids(&self) -> bool {
        self.status.is_some() || !self.labels.is_empty()
    }

    pub(super) fn fits(&self, job: &JobRecord) -> bool {
        self.status.is_none_or(|status| status == job.status)
            && self.labels.iter().all(|(key, value)| job.labels.get(key) == Some(value))
    }

    /// The first page of those in a status that this actor may cancel.
    pub(super) fn page(&self, by: &Actor, status: JobStatus, limit: u32) -> JobFilter {
        let owner = match by {
            Actor::Owner(name) => Some(name.clone()),
            Actor::Admin(_) => None,
        };
        JobFilter { owner, status: Some(status), labels: self.labels.clone(), limit, cursor: None }
    }
}

/// Takes out which jobs are meant.
pub(super) fn take_filter(members: &mut Map<String, Value>) -> Result<Filter, Problem> {
    const KNOWN: &str = "status, labels, ids";
    let mut filter = match take(members, "filter") {
        Some(Value::Object(filter)) => filter,
        Some(_) => return Err(Problem::invalid("filter", &format!("must be an object of {KNOWN}"))),
        None => return Err(Problem::invalid("filter", "is missing; it says which jobs to cancel")),
    };
    let status = take(&mut filter, "status").map(status).transpose()?;
    let labels = take(&mut filter, "labels").map(labels).transpose()?.unwrap_or_default();
    let ids = take(&mut filter, "ids").map(ids).transpose()?;
    finish(&filter, "filter.", KNOWN)?;
    if status.is_none() && labels.is_empty() && ids.is_none() {
        // A slip must not cancel everything.
        return Err(Problem::invalid("filter", &format!("must name at least one of {KNOWN}")));
    }
    Ok(Filter { status, labels, ids })
}

fn status(value: Value) -> Result<JobStatus, Problem> {
    let status = value.as_str().and_then(|word| word.parse().ok()).filter(|status| OPEN.contains(status));
    status
        .ok_or_else(|| Problem::invalid("filter.status", "must be queued or running; all others have ended"))
}

fn labels(value: Value) -> Result<BTreeMap<String, String>, Problem> {
    let Value::Object(labels) = value else {
        return Err(Problem::invalid("filter.labels", "must be an object of strings"));
    };
    labels
        .into_iter()
        .map(|(key, value)| match value {
            Value::String(value) => Ok((key, value)),
            _ => Err(Problem::invalid("filter.labels", "must be an object of strings")),
        })
        .collect()
}

fn ids(value: Value) -> Result<Vec<JobId>, Problem> {
    let Value::Array(ids) = value else {
        return Err(Problem::invalid("filter.ids", "must be an array of strings"));
    };
    if ids.len() > MOST_IDS {
        let message = format!("must be at most {MOST_IDS}, are {}; send several requests", ids.len());
        return Err(Problem::invalid("filter.ids", &message));
    }
    let mut seen = HashSet::new();
    let mut named = Vec::with_capacity(ids.len());
    for (place, id) in ids.into_iter().enumerate() {
        let id = id.as_str().and_then(|id| JobId::new(id).ok()).ok_or_else(|| {
            Problem::invalid(
                format!("filter.ids[{place}]"),
                "must be 1 to 128 characters of A-Z a-z 0-9 . _ : -",
            )
        })?;
        if seen.insert(id.clone()) {
            named.push(id);
        }
    }
    Ok(named)
}
