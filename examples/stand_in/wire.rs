//! What is said between the server and those who ask it.

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::{AttemptId, JobId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The input of an execution. The default goes on until it is ended, at once when it is told to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// How long the work takes, in milliseconds; until it is ended when absent.
    pub milliseconds: Option<u64>,
    /// Whether it then fails.
    pub fails: bool,
    /// What it does when it is told to end.
    pub when_told: WhenTold,
    /// How the server misbehaves about this execution, whichever attempt it is.
    pub faults: Faults,
}

/// What work does when it is told to end, while it is not forced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenTold {
    /// It ends.
    #[default]
    Ends,
    /// It ends, and leaves an output.
    SavesItself,
    /// It goes on.
    Ignores,
}

/// How the server misbehaves: about one execution, or about all. A number of calls counts down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// How long a create takes, in milliseconds. It has its effect though its sender is gone.
    pub create_takes_ms: u64,
    /// How long a begin takes, in milliseconds. It has its effect though its sender is gone.
    pub begin_takes_ms: u64,
    /// For how many milliseconds work that must end goes on; until then its end is not shown.
    pub works_on_ms: u64,
    /// Stops are heard and nothing ends, until this is taken back.
    pub never_confirms: bool,
    /// So many creates have their effect, and their replies are lost.
    pub lost_creates: u32,
    /// So many begins have their effect, and their replies are lost.
    pub lost_begins: u32,
    /// So many creates are answered by a 503, and have no effect.
    pub failing_creates: u32,
    /// So many looks at work are answered by a 503.
    pub failing_looks: u32,
    /// So many stops are answered by a 503, and have no effect.
    pub failing_stops: u32,
    /// So many calls of any sort are answered by a 503, and have no effect.
    pub failing_calls: u32,
    /// So many calls of any sort get no answer at all, and have no effect.
    pub hanging_calls: u32,
}

/// An order for work.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// The attempt that it is for.
    pub attempt: AttemptId,
    /// The job that it is for.
    pub job: JobId,
    /// The execution's place in the job.
    pub index: u32,
    /// Whether it begins at once.
    pub begin: bool,
    /// Whether it never begins once it was told to end. Without, nothing is refused.
    pub refuses_start_after_stop: bool,
    /// After how many milliseconds the server ends it, whatever happens; never when absent.
    pub lifetime_ms: Option<u64>,
    /// What it does.
    pub input: Input,
}

/// Which work at which server: by this it is found again, from any process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// The server's name, new at each start: it forgets all when it ends.
    pub stand_in: String,
    /// The work's number there.
    pub work: u64,
}

/// Where work is in its life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It exists, and nothing runs.
    Created,
    /// It computes.
    Alive,
    /// It came to its end by itself.
    Completed {
        /// What it brought.
        output: Value,
    },
    /// It failed by itself.
    Failed,
    /// It was told to end, and saved itself.
    Saved {
        /// What it saved.
        output: Value,
    },
    /// It was ended.
    Ended,
    /// It was told to end before it began, and never begins.
    Void,
}

impl State {
    /// Whether it computes no more, and never will.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        !matches!(self, Self::Created | Self::Alive)
    }
}

/// How work stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Which.
    #[serde(flatten)]
    pub work: Work,
    /// How it stands.
    #[serde(flatten)]
    pub state: State,
    /// Since when, in microseconds since 1970 UTC.
    pub since: i64,
}

/// What happened to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was made.
    Created,
    /// It computes from here on.
    Begun,
    /// It was asked to begin though it had begun before; nothing changed.
    BegunAgain,
    /// It was asked to begin after it was told to end, and does not.
    RefusedToBegin,
    /// It was told to end.
    Told,
    /// It computes no more: it came to its end by itself.
    Completed,
    /// It computes no more: it failed by itself.
    Failed,
    /// It computes no more: it was told to end, and saved itself.
    Saved,
    /// It computes no more: it was ended.
    Ended,
    /// It will never compute.
    Void,
    /// Somebody looked at it.
    Looked,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in microseconds since 1970 UTC.
    pub at: i64,
    /// What.
    pub event: Event,
    /// To which work.
    pub work: u64,
    /// Its attempt.
    pub attempt: AttemptId,
    /// Its job.
    pub job: JobId,
    /// Its execution's place in the job.
    pub index: u32,
    /// Who asked for it: a node and its process, or `itself`.
    pub from: String,
    /// When they began to ask, by their own clock, in microseconds since 1970 UTC. A process that is
    /// frozen right then has its call arrive much later.
    pub asked: Option<i64>,
}

/// Who asks for something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) asked: Option<i64>,
}

/// The time, in microseconds since 1970 UTC.
pub(crate) fn micros() -> i64 {
    i64::try_from(SystemClock.now().unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}
