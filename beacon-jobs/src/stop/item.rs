use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Handle, StopState};
use crate::cancel::StopMode;
use crate::error::{Error, Result};
use crate::id::{AttemptId, IncarnationId, JobId};
use crate::job::words;

/// What the seal of an attempt rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SealedBy {
    /// The incarnation that minted the attempt: its task is over and no request of it is under way.
    Minter,
    /// The stop itself: the provider refuses a start after it.
    Stop,
    /// The minting incarnation is known to have ended, and one call deadline has passed.
    Ended,
    /// The minting incarnation's lease ended, and one call deadline has passed. The weakest: a
    /// frozen process may still thaw.
    Time,
}

words!(SealedBy, "sealed_by", { Minter = "minter", Stop = "stop", Ended = "ended", Time = "time" });

/// What the store knows of the incarnation that minted an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minter {
    /// Its lease runs.
    Alive,
    /// Its lease ran out at this time; nothing more is known.
    Expired(OffsetDateTime),
    /// It is known to have ended at this time.
    Ended(OffsetDateTime),
}

/// An open stop, as a work item.
#[derive(Clone, Debug, PartialEq)]
pub struct StopItem {
    /// The attempt to end.
    pub attempt: AttemptId,
    /// Its job.
    pub job: JobId,
    /// Its execution's place in the job's list.
    pub index: u32,
    /// The executor that runs it.
    pub executor: String,
    /// The incarnation that minted it.
    pub incarnation: IncarnationId,
    /// What is known of that incarnation.
    pub minter: Minter,
    /// Its handle, if one was saved.
    pub handle: Option<Handle>,
    /// What its seal rests on, if it is sealed.
    pub sealed: Option<SealedBy>,
    /// How far the stop has come.
    pub state: StopState,
    /// How hard it is.
    pub mode: StopMode,
    /// From when on force is used.
    pub force_at: OffsetDateTime,
    /// When it was asked for.
    pub requested_at: OffsetDateTime,
    /// How many answers were recorded so far.
    pub tries: u32,
}
