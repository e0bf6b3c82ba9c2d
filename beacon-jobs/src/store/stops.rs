use std::time::Duration;

use serde_json::Value;

use crate::id::{AttemptId, IncarnationId};
use crate::stop::{SealedBy, StopState};

/// A wish to drive open stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeStops {
    /// Who.
    pub incarnation: IncarnationId,
    /// The executors that it has.
    pub executors: Vec<String>,
    /// Those of them whose work can be ended only from [the host](crate::host::ProcessIdentity::host)
    /// on which it was begun. Of these a stop is taken only on that host; or by anybody, once, when
    /// it has been open for [`HostBound::missing_after`] and is not shown as unconfirmed: so that somebody
    /// says it.
    pub host_bound: HostBound,
    /// For how long others leave them alone.
    pub hold: Duration,
    /// How many at most.
    pub limit: u32,
}

/// What a node does about work that can be ended only from its own host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostBound {
    /// The executors of such work.
    pub executors: Vec<String>,
    /// The host of the node that asks.
    pub here: String,
    /// After how long another host counts as missing.
    pub missing_after: Duration,
}

/// What a stop call brought.
#[derive(Clone, Debug, PartialEq)]
pub struct StopUpdate {
    /// The attempt.
    pub attempt: AttemptId,
    /// The seal of the attempt as it was read *before* the call that brought this.
    pub seen_seal: Option<SealedBy>,
    /// Whether the stop had been confirmed *before* that call: then an acknowledgement is a sight of
    /// work that lives after all, and opens the stop again.
    pub seen_confirmed: bool,
    /// How many answers had been recorded *before* that call, by [`StopItem::tries`](crate::stop::StopItem::tries).
    /// Where another has come meanwhile, this one knows nothing of what that one showed: it does not overwrite
    /// its evidence, confirms nothing and is not counted, and the stop is due at once. `None` for an answer that rests on nothing
    /// an earlier one showed.
    pub seen_tries: Option<u32>,
    /// What it brought.
    pub answer: StopAnswer,
    /// When the stop is due again, if it stays open or is watched.
    pub due_in: Duration,
    /// Whether a stop whose confirmation rests on a [seal by time](SealedBy::Time) is asked again:
    /// a frozen process may yet thaw and begin the work.
    pub watch: bool,
}

/// The answers that move a stop forward.
#[derive(Clone, Debug, PartialEq)]
pub enum StopAnswer {
    /// No answer; `why` says what happened, in one line.
    Nothing {
        /// What happened.
        why: String,
    },
    /// The provider has heard.
    Acknowledged {
        /// What is known so far.
        evidence: Value,
    },
    /// The provider shows that the work has ended.
    Ended {
        /// What shows it.
        evidence: Value,
        /// Whether the provider refuses to begin the attempt after this, so that this seals it.
        seals: bool,
    },
    /// The end could not be shown.
    Unconfirmed {
        /// Why, in one line.
        why: String,
        /// What is known so far. `None` leaves what was recorded before.
        evidence: Option<Value>,
        /// Whether that settles the stop: it counts as over, though it may be asked again.
        settled: bool,
        /// Whether it is asked again at all.
        again: bool,
    },
}

/// Stops in one state and of one age, counted over all jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrivenStops {
    /// How far they have come.
    pub state: StopState,
    /// How long ago they were asked for.
    pub age: StopAge,
    /// How many.
    pub count: u64,
}

/// How long ago a stop was asked for, in classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopAge {
    /// Under 10 seconds.
    Seconds,
    /// From 10 seconds to a minute.
    UnderMinute,
    /// From one minute to 10.
    Minutes,
    /// From 10 minutes to an hour.
    UnderHour,
    /// From an hour to a day.
    Hours,
    /// A day or more.
    Days,
}

impl StopAge {
    /// All of them, the youngest first.
    pub const ALL: [Self; 6] =
        [Self::Seconds, Self::UnderMinute, Self::Minutes, Self::UnderHour, Self::Hours, Self::Days];
    /// From how many seconds on each class but the first begins.
    pub const BOUNDS: [u32; 5] = [10, 60, 600, 3600, 86_400];

    /// The class of this age.
    #[must_use]
    pub fn of(age: Duration) -> Self {
        Self::ALL[Self::BOUNDS.iter().filter(|bound| age.as_secs() >= u64::from(**bound)).count()]
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "under_10s",
            Self::UnderMinute => "10s_to_1m",
            Self::Minutes => "1m_to_10m",
            Self::UnderHour => "10m_to_1h",
            Self::Hours => "1h_to_1d",
            Self::Days => "over_1d",
        }
    }
}

/// An administrator's word that a stop is closed though it is not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseStop {
    /// The attempt.
    pub attempt: AttemptId,
    /// The administrator.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseStopOutcome {
    /// The stop is unconfirmed and settled, never asked again.
    Closed,
    /// It was settled before; nothing was changed.
    AlreadySettled,
    /// There is no such attempt.
    NotFound,
}
