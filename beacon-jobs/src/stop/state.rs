use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::job::words;

/// How far a stop has come.
///
/// ```text
/// not_needed   or   requested ─→ acknowledged ─→ confirmed      or unconfirmed (with why)
/// ```
/// It only moves forward; only a later handle or seal of the incarnation that minted the attempt,
/// or a later sight of its work alive, reopens a confirmed stop, and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum StopState {
    /// Nothing had begun, or the work ended by itself.
    NotNeeded,
    /// The provider has not answered yet.
    Requested,
    /// The provider has heard; the end is not shown yet.
    Acknowledged,
    /// The end is shown by evidence.
    Confirmed,
    /// The end could not be shown, or not in the time that the executor sets for it.
    Unconfirmed,
}

words!(StopState, "stop", {
    NotNeeded = "not_needed", Requested = "requested", Acknowledged = "acknowledged",
    Confirmed = "confirmed", Unconfirmed = "unconfirmed",
});

impl StopState {
    /// The order in which an execution's attempts are shown: the least settled first.
    #[must_use]
    pub const fn unsettledness(self) -> u8 {
        match self {
            Self::NotNeeded => 0,
            Self::Confirmed => 1,
            Self::Unconfirmed => 2,
            Self::Acknowledged => 3,
            Self::Requested => 4,
        }
    }
}
