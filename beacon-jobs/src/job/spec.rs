use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::id::JobId;

/// What happens to an execution whose attempt was interrupted and cannot be resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OnInterrupt {
    /// A new attempt, not counted in `max_attempts`.
    #[default]
    Retry,
    /// The execution fails with kind `interrupted`.
    Fail,
}

/// What a user asks for: executions, and the rules under which they run.
///
/// The serialized form is the list form of a job file; [`parse_job_file`](super::parse_job_file)
/// reads that and the matrix form. [`check`](Self::check) tells whether a spec is legal, and
/// every submission calls it.
///
/// ```
/// use beacon_jobs::job::{ExecutionSpec, JobSpec};
///
/// let spec = JobSpec::new([ExecutionSpec::new("process", serde_json::json!({"command": ["true"]}))])
///     .with_label("suite", "bias");
/// assert!(spec.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobSpec {
    /// The job's name; minted at submission when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// Free words to find the job by: at most 32, keys up to 64 and values up to 256 bytes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The share of executions that must complete for the job to complete, 0.0 to 1.0.
    #[serde(default = "default_success_rate")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0.0, maximum = 1.0))]
    pub min_success_rate: f64,
    /// How long the job may take from its first claim, in seconds (1 to 31 536 000).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 31_536_000))]
    pub timeout_seconds: Option<u64>,
    /// How often an execution may be tried, 1 to 100. Interruptions do not count.
    #[serde(default = "default_attempts")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub max_attempts: u32,
    /// The pause before the second attempt, in seconds (0 to 3 600); it doubles with each further one.
    #[serde(default = "default_backoff")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 3_600))]
    pub backoff_seconds: u64,
    /// The longest pause between attempts, in seconds (0 to 86 400).
    #[serde(default = "default_max_backoff")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 86_400))]
    pub max_backoff_seconds: u64,
    /// What follows an interruption.
    #[serde(default)]
    pub on_interrupt: OnInterrupt,
    /// How long a retry waits for the stop of the older attempt, in seconds (1 to 86 400).
    #[serde(default = "default_stop_wait")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 86_400))]
    pub stop_wait_seconds: u64,
    /// Whether a retry may begin beside an older attempt whose stop is not settled.
    #[serde(default)]
    pub allow_overlap: bool,
    /// A JSON value that comes back with the job's rules as it was given, for example the request of
    /// another interface that the job was made from. Nothing here reads it. At most 64 KiB as JSON
    /// text, 100 levels deep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Value>,
    /// How many executions of this job may be under way at once, 1 to 100 000; unlimited when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100_000))]
    pub max_parallel: Option<u32>,
    /// The work: 1 to 100 000 executions.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 100_000))]
    pub executions: Vec<ExecutionSpec>,
}

fn default_success_rate() -> f64 {
    1.0
}
fn default_attempts() -> u32 {
    1
}
fn default_backoff() -> u64 {
    1
}
fn default_max_backoff() -> u64 {
    60
}
fn default_stop_wait() -> u64 {
    600
}

/// One unit of work of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExecutionSpec {
    /// The name of the executor that runs it, for example `process`: 1 to 64 characters of
    /// `A-Z a-z 0-9 . _ -`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9._-]{1,64}$"))]
    pub executor: String,
    /// Executions of one lane run one after another, in the order of the list; lanes run side by
    /// side. Without a lane an execution is its own. 1 to 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256))]
    pub lane: Option<String>,
    /// Neighbours in a lane that carry the same step run side by side. The same word after another
    /// step is a new step. Needs a lane beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256))]
    pub step: Option<String>,
    /// Free words shown with the execution, limits as for the job's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How long one attempt may take from its start barrier, in seconds (1 to 31 536 000).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 31_536_000))]
    pub timeout_seconds: Option<u64>,
    /// What the executor is given. Its form belongs to the executor; it may nest 100 levels deep.
    #[serde(default)]
    pub input: Value,
}

impl JobSpec {
    /// A job of these executions with every rule at its default.
    pub fn new(executions: impl IntoIterator<Item = ExecutionSpec>) -> Self {
        Self {
            id: None,
            labels: BTreeMap::new(),
            min_success_rate: default_success_rate(),
            timeout_seconds: None,
            max_attempts: default_attempts(),
            backoff_seconds: default_backoff(),
            max_backoff_seconds: default_max_backoff(),
            on_interrupt: OnInterrupt::default(),
            stop_wait_seconds: default_stop_wait(),
            allow_overlap: false,
            attachment: None,
            max_parallel: None,
            executions: executions.into_iter().collect(),
        }
    }

    /// Sets the job's name.
    #[must_use]
    pub fn with_id(mut self, id: JobId) -> Self {
        self.id = Some(id);
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn with_label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Sets the [share](Self::min_success_rate) of executions that must complete, 0.0 to 1.0.
    #[must_use]
    pub fn with_min_success_rate(mut self, share: f64) -> Self {
        self.min_success_rate = share;
        self
    }

    /// Limits the whole job, in seconds (1 to 31 536 000).
    #[must_use]
    pub fn with_timeout_seconds(mut self, seconds: u64) -> Self {
        self.timeout_seconds = Some(seconds);
        self
    }

    /// Sets how often an execution may be tried, 1 to 100.
    #[must_use]
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets the pause before the second attempt, in seconds (0 to 3 600).
    #[must_use]
    pub fn with_backoff_seconds(mut self, seconds: u64) -> Self {
        self.backoff_seconds = seconds;
        self
    }

    /// Sets the longest pause between attempts, in seconds (0 to 86 400).
    #[must_use]
    pub fn with_max_backoff_seconds(mut self, seconds: u64) -> Self {
        self.max_backoff_seconds = seconds;
        self
    }

    /// Sets what follows an interruption.
    #[must_use]
    pub fn with_on_interrupt(mut self, then: OnInterrupt) -> Self {
        self.on_interrupt = then;
        self
    }

    /// Sets how long a retry waits for the stop of the older attempt, in seconds (1 to 86 400).
    #[must_use]
    pub fn with_stop_wait_seconds(mut self, seconds: u64) -> Self {
        self.stop_wait_seconds = seconds;
        self
    }

    /// Sets whether a retry may begin beside an older attempt whose stop is not settled.
    #[must_use]
    pub fn with_allow_overlap(mut self, allowed: bool) -> Self {
        self.allow_overlap = allowed;
        self
    }

    /// Attaches a JSON value that comes back as it was given: at most 64 KiB as text, 100 levels deep.
    #[must_use]
    pub fn with_attachment(mut self, attachment: Value) -> Self {
        self.attachment = Some(attachment);
        self
    }

    /// Limits how many executions of this job may be under way at once, 1 to 100 000.
    #[must_use]
    pub fn with_max_parallel(mut self, executions: u32) -> Self {
        self.max_parallel = Some(executions);
        self
    }

    /// Adds an execution at the end of the list.
    #[must_use]
    pub fn with_execution(mut self, execution: ExecutionSpec) -> Self {
        self.executions.push(execution);
        self
    }

    /// The names of all executors that the job needs, sorted.
    #[must_use]
    pub fn executors(&self) -> BTreeSet<&str> {
        self.executions.iter().map(|execution| execution.executor.as_str()).collect()
    }

    /// The pause before attempt `number` (2 is the first retry).
    #[must_use]
    pub fn backoff_before(&self, number: u32) -> Duration {
        let doubled = self.backoff_seconds.saturating_mul(1 << number.saturating_sub(2).min(20));
        Duration::from_secs(doubled.min(self.max_backoff_seconds))
    }

    /// A digest that is equal for two legal specs exactly when they ask for the same: defaults are
    /// filled in, the id is left out, and the order of an object's members does not matter.
    ///
    /// # Errors
    /// `InvalidInput` when the spec cannot be written as JSON.
    pub fn digest(&self) -> crate::Result<[u8; 32]> {
        let mut anonymous =
            serde_json::to_value(self).map_err(|error| crate::Error::invalid("spec", error.to_string()))?;
        if let Some(object) = anonymous.as_object_mut() {
            object.remove("id");
        }
        let mut hasher = Sha256::new();
        hash_value(&mut hasher, &anonymous);
        Ok(hasher.finalize().into())
    }
}

/// Feeds a JSON value to the hasher, each part with its kind and length, members in sorted order
/// whatever order the map keeps.
fn hash_value(hasher: &mut Sha256, value: &Value) {
    let mut part = |kind: u8, bytes: &[u8]| {
        hasher.update([kind]);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    match value {
        Value::Null => part(b'0', b""),
        Value::Bool(bool) => part(b'b', &[u8::from(*bool)]),
        Value::Number(number) => part(b'n', number.to_string().as_bytes()),
        Value::String(text) => part(b's', text.as_bytes()),
        Value::Array(items) => {
            part(b'a', &(items.len() as u64).to_le_bytes());
            for item in items {
                hash_value(hasher, item);
            }
        }
        Value::Object(members) => {
            part(b'o', &(members.len() as u64).to_le_bytes());
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            for (key, member) in sorted {
                hasher.update((key.len() as u64).to_le_bytes());
                hasher.update(key.as_bytes());
                hash_value(hasher, member);
            }
        }
    }
}

impl ExecutionSpec {
    /// An execution on this executor with this input.
    pub fn new(executor: impl Into<String>, input: Value) -> Self {
        Self {
            executor: executor.into(),
            lane: None,
            step: None,
            labels: BTreeMap::new(),
            timeout_seconds: None,
            input,
        }
    }

    /// Puts the execution in a lane.
    #[must_use]
    pub fn with_lane(mut self, lane: impl Into<String>) -> Self {
        self.lane = Some(lane.into());
        self
    }

    /// Sets the step, for an execution that has a lane.
    #[must_use]
    pub fn with_step(mut self, step: impl Into<String>) -> Self {
        self.step = Some(step.into());
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn with_label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Limits each attempt, in seconds (1 to 31 536 000).
    #[must_use]
    pub fn with_timeout_seconds(mut self, seconds: u64) -> Self {
        self.timeout_seconds = Some(seconds);
        self
    }
}
