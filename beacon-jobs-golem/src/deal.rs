//! A deal: what an attempt has at the daemon and at a provider, and the handle by which it is found again.

use beacon_jobs::AttemptId;
use beacon_jobs::executor::ExecuteError;
use beacon_jobs::stop::Handle;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

/// How far the deal has come, as far as it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Money may be put aside, and a demand published. There is no agreement that a provider knows of.
    Planned,
    /// There is an agreement. It may be on its way to the provider; no activity was asked for.
    Agreed,
    /// An activity was asked for, perhaps.
    Creating,
    /// The activity is known. Its script may be on its way.
    Active,
}

/// How a deal is found again, from wherever its daemon can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deal {
    /// The `appSessionId` of everything here, made of the attempt's id.
    pub(crate) session: String,
    /// The node id whose daemon has all this: the same ids mean nothing elsewhere.
    pub(crate) identity: String,
    pub(crate) phase: Phase,
    /// In GLM.
    pub(crate) budget: Decimal,
    pub(crate) platform: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) made_at: OffsetDateTime,
    /// When the provider ends the work by itself, at the latest.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) expires_at: OffsetDateTime,
    /// When the daemon gives the money back by itself. To the microsecond it belongs to this attempt
    /// alone, so that an allocation whose id was never heard of is found by it.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) allocation_ends_at: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) allocation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) demand: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agreement: Option<String>,
    /// The provider's node id and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) activity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) batch: Option<String>,
    /// How often the provider sends a debit note, and for how long it works on without its
    /// acceptance: after both it ends the work. In seconds.
    pub(crate) note_interval: u64,
    pub(crate) accept_timeout: u64,
}

impl Deal {
    pub(crate) fn handle(&self) -> Result<Handle, ExecuteError> {
        Handle::of(self).map_err(|error| ExecuteError::failed(error.to_string()))
    }

    /// When the provider ends the work by itself if nobody has accepted its notes since a time.
    pub(crate) fn ends_unpaid(&self, since: OffsetDateTime) -> OffsetDateTime {
        let seconds = self.note_interval.saturating_add(self.accept_timeout);
        let patience = Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
        since.checked_add(patience).map_or(self.expires_at, |end| end.min(self.expires_at))
    }
}

/// The session id of an attempt.
pub(crate) fn session_of(attempt: AttemptId) -> String {
    format!("beacon-{attempt}")
}

/// A time no later than a second after `at`, whose microseconds come from the attempt's id.
pub(crate) fn marked(at: OffsetDateTime, attempt: AttemptId) -> OffsetDateTime {
    let bytes = attempt.as_uuid().into_bytes();
    let mark = bytes.iter().fold(0_u32, |mark, byte| mark.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    at.replace_microsecond(mark % 1_000_000).unwrap_or(at)
}

/// Whether two times are the same as far as a daemon keeps them.
pub(crate) fn same_microsecond(one: OffsetDateTime, other: OffsetDateTime) -> bool {
    one.unix_timestamp_nanos() / 1000 == other.unix_timestamp_nanos() / 1000
}
