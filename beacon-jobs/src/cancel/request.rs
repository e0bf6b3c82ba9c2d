use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::job::words;
use std::fmt;
use std::str::FromStr;

/// Who acts on a job. The store compares an [`Owner`](Self::Owner) with the job's owner in the
/// same transaction as the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// May act on the jobs of this owner.
    Owner(String),
    /// May act on all jobs; the name goes on record.
    Admin(String),
}

impl Actor {
    /// The name that goes on record.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Owner(name) | Self::Admin(name) => name,
        }
    }

    /// Whether this actor may act on a job of `owner`.
    #[must_use]
    pub fn may_act_for(&self, owner: &str) -> bool {
        match self {
            Self::Owner(name) => name == owner,
            Self::Admin(_) => true,
        }
    }
}

/// How hard a stop is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum StopMode {
    /// The work may save itself for as long as the grace lasts, then force.
    #[default]
    Graceful,
    /// Force at once.
    Immediate,
}

words!(StopMode, "mode", { Graceful = "graceful", Immediate = "immediate" });

/// A wish to cancel a job.
///
/// ```
/// use beacon_jobs::cancel::{Actor, CancelRequest};
///
/// let request = CancelRequest::new(Actor::Owner("alice".into())).with_reason("wrong model");
/// assert!(request.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CancelRequest {
    /// Who asks.
    pub by: Actor,
    /// Why, at most 500 characters.
    pub reason: Option<String>,
    /// How hard.
    pub mode: StopMode,
    /// How long the work may save itself in [`StopMode::Graceful`]: whole milliseconds, at most 600 s.
    pub grace: Duration,
}

impl CancelRequest {
    /// The grace of a request that names none.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);
    /// The longest grace.
    pub const MAX_GRACE: Duration = Duration::from_secs(600);
    /// The longest reason, in characters.
    pub const MAX_REASON: usize = 500;

    /// A graceful cancel with the default grace and no words.
    #[must_use]
    pub fn new(by: Actor) -> Self {
        Self { by, reason: None, mode: StopMode::Graceful, grace: Self::DEFAULT_GRACE }
    }

    /// Says why.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Forces at once.
    #[must_use]
    pub fn immediate(mut self) -> Self {
        self.mode = StopMode::Immediate;
        self
    }

    /// Sets the grace.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The grace that the mode leaves: zero when immediate.
    #[must_use]
    pub fn effective_grace(&self) -> Duration {
        match self.mode {
            StopMode::Graceful => self.grace,
            StopMode::Immediate => Duration::ZERO,
        }
    }

    /// Tells whether the request is legal.
    ///
    /// # Errors
    /// `InvalidInput` on `reason` or `grace_seconds`.
    pub fn check(&self) -> Result<()> {
        if self.reason.as_ref().is_some_and(|reason| reason.chars().count() > Self::MAX_REASON) {
            return Err(Error::invalid("reason", "must be at most 500 characters"));
        }
        if self.grace > Self::MAX_GRACE {
            return Err(Error::invalid("grace_seconds", "must be from 0 to 600"));
        }
        Ok(())
    }
}
