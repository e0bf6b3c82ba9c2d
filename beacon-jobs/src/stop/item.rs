use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
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

/// A stop that is to be driven, as a work item: an open one, or a confirmed one that is watched.
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
    /// The [host](crate::host::ProcessIdentity::host) of that incarnation.
    pub host: String,
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
    /// How many answers were recorded so far, without those that another one had overtaken.
    pub tries: u32,
    /// The evidence of the last recorded answer that held some.
    pub evidence: Option<Value>,
    /// When the store read all this: the one time that says, on another clock, how long ago or how
    /// soon the others are.
    pub read_at: OffsetDateTime,
}

impl StopItem {
    /// Tells all its times on another clock, which shows `now` at this moment. Clocks of nodes and
    /// of the store differ.
    pub(crate) fn times_of(&mut self, now: OffsetDateTime) {
        let ahead = now - self.read_at;
        for time in [&mut self.force_at, &mut self.requested_at, &mut self.read_at] {
            *time += ahead;
        }
        if let Minter::Expired(at) | Minter::Ended(at) = &mut self.minter {
            *at += ahead;
        }
    }
}
