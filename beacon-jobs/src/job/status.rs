use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Gives a field-less enum its words: `as_str`, `FromStr`, `Display` and a list of all.
macro_rules! words {
    ($name:ident, $field:literal, { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $name {
            /// All values, in the order of life.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word for it, as it stands in stores and on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(word: &str) -> Result<Self> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Error::invalid($field, concat!("must be one of:", $(" ", $word),+))),
                }
            }
        }
    };
}
pub(crate) use words;

/// Where a job is in its life. The last three are terminal: no later write changes them.
///
/// ```text
/// queued ─claim→ running ─→ completed | failed | cancelled      cancel from queued or running
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobStatus {
    /// Accepted, not yet taken by a node.
    Queued,
    /// Taken by a node.
    Running,
    /// Enough executions completed.
    Completed,
    /// Too few executions completed, or the job's time was up.
    Failed,
    /// A cancel won.
    Cancelled,
}

words!(JobStatus, "status", {
    Queued = "queued", Running = "running", Completed = "completed", Failed = "failed", Cancelled = "cancelled",
});

impl JobStatus {
    /// Whether this is an outcome.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// Where an execution is in its life. The last three are terminal.
///
/// ```text
/// queued ─start barrier→ starting ─handle saved→ running ─→ completed | failed | cancelled
/// ```
/// An interrupted or retried execution returns to `queued` until its next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ExecutionStatus {
    /// No attempt of it is under way.
    Queued,
    /// An attempt passed the start barrier and has no saved handle yet.
    Starting,
    /// An attempt's handle is saved and its compute may run.
    Running,
    /// An attempt brought an output.
    Completed,
    /// The last attempt failed, or time was up.
    Failed,
    /// Its job was cancelled first.
    Cancelled,
}

words!(ExecutionStatus, "status", {
    Queued = "queued", Starting = "starting", Running = "running",
    Completed = "completed", Failed = "failed", Cancelled = "cancelled",
});

impl ExecutionStatus {
    /// Whether this is an outcome.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether an attempt of it is under way.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }
}
