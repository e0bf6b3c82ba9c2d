//! How values stand in columns, and how they are read back.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite};
use time::OffsetDateTime;
use uuid::Uuid;

use super::error::Fault;
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::job::ExecutionStatus;
use crate::store::Fence;
use crate::{AttemptId, IncarnationId};

/// How many keys a job's executions have; more than a legal job has executions.
pub(super) const KEYS: i64 = 131_072;

/// JSON nested deeper than this could be written but not read back.
const DEEPEST: usize = 120;

/// The key of an execution.
pub(super) const fn key(seq: i64, index: u32) -> i64 {
    seq * KEYS + index as i64
}

/// The first and last key of a job's executions.
pub(super) const fn keys(seq: i64) -> (i64, i64) {
    (seq * KEYS, seq * KEYS + KEYS - 1)
}

/// An execution's place in its job's list.
pub(super) fn index(key: i64) -> u32 {
    u32::try_from(key.rem_euclid(KEYS)).unwrap_or(u32::MAX)
}

/// A time as it stands in a column. Outside of the years 1677 to 2262 it is the nearest such time.
pub(super) fn nanos(at: OffsetDateTime) -> i64 {
    let nanos = at.unix_timestamp_nanos();
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// A time so much later.
pub(super) fn nanos_after(at: OffsetDateTime, wait: Duration) -> i64 {
    nanos(at).saturating_add(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX))
}

/// A time so much earlier.
pub(super) fn nanos_before(at: OffsetDateTime, wait: Duration) -> i64 {
    nanos(at).saturating_sub(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX))
}

pub(super) fn time(nanos: i64) -> OffsetDateTime {
    // Every i64 is a time that OffsetDateTime can hold.
    OffsetDateTime::from_unix_timestamp_nanos(nanos.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

pub(super) fn json(value: &impl Serialize) -> String {
    // What is written here has only string keys, so it always has a JSON form.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// An epoch as it stands in a column; one that no row can have is -1.
pub(super) fn epoch(fence: Fence) -> i64 {
    i64::try_from(fence.epoch).unwrap_or(-1)
}

/// An id in a JSON batch.
pub(super) fn blob_hex(id: Uuid) -> String {
    id.simple().to_string()
}

pub(super) fn blob(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

/// An execution's status as it stands in its column: from 20 on it is an outcome.
pub(super) const fn status_code(status: ExecutionStatus) -> i64 {
    match status {
        ExecutionStatus::Queued => 10,
        ExecutionStatus::Starting => 11,
        ExecutionStatus::Running => 12,
        ExecutionStatus::Completed => 20,
        ExecutionStatus::Failed => 21,
        ExecutionStatus::Cancelled => 22,
    }
}

/// Free text for a JSON batch: SQLite ends a JSON string at a NUL.
pub(super) fn text(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{2400}").into() } else { text.into() }
}

/// Refuses JSON that is nested too deep to be read back.
pub(super) fn check_depth(field: &str, value: &Value) -> Result<()> {
    fn fits(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => left > 0 && items.iter().all(|item| fits(item, left - 1)),
            Value::Object(members) => left > 0 && members.values().all(|member| fits(member, left - 1)),
            _ => true,
        }
    }
    if fits(value, DEEPEST) {
        Ok(())
    } else {
        Err(Error::invalid(field, format!("must not be nested deeper than {DEEPEST} levels")))
    }
}

/// The columns of a row, by number.
pub(super) struct Cells<'r>(pub(super) &'r SqliteRow);

impl<'r> Cells<'r> {
    pub(super) fn get<T: Decode<'r, Sqlite>>(&self, column: usize) -> Result<T, Fault> {
        self.0.try_get_unchecked(column).map_err(Fault::from)
    }

    pub(super) fn int(&self, column: usize) -> Result<i64, Fault> {
        self.get(column)
    }

    /// A count, which is never negative.
    pub(super) fn count<T: TryFrom<i64>>(&self, column: usize) -> Result<T, Fault> {
        self.parsed(column, self.int(column)?, |int| {
            T::try_from(int).map_err(|_| "must not be negative or too large")
        })
    }

    pub(super) fn time(&self, column: usize) -> Result<OffsetDateTime, Fault> {
        self.int(column).map(time)
    }

    pub(super) fn optional_time(&self, column: usize) -> Result<Option<OffsetDateTime>, Fault> {
        Ok(self.get::<Option<i64>>(column)?.map(time))
    }

    pub(super) fn word<T: FromStr<Err = Error>>(&self, column: usize) -> Result<T, Fault> {
        self.parsed(column, self.get::<&str>(column)?, str::parse)
    }

    pub(super) fn optional_word<T: FromStr<Err = Error>>(&self, column: usize) -> Result<Option<T>, Fault> {
        self.get::<Option<&str>>(column)?.map(|word| self.parsed(column, word, str::parse)).transpose()
    }

    pub(super) fn status(&self, column: usize) -> Result<ExecutionStatus, Fault> {
        let code = self.int(column)?;
        let status = ExecutionStatus::ALL.iter().find(|status| status_code(**status) == code);
        self.parsed(column, status, |status| status.copied().ok_or("is not a status"))
    }

    pub(super) fn job(&self, column: usize) -> Result<JobId, Fault> {
        self.parsed(column, self.get::<&str>(column)?, JobId::new)
    }

    fn uuid(&self, column: usize) -> Result<Uuid, Fault> {
        self.parsed(column, self.get::<&[u8]>(column)?, Uuid::from_slice)
    }

    pub(super) fn attempt(&self, column: usize) -> Result<AttemptId, Fault> {
        self.uuid(column).map(AttemptId::from_uuid)
    }

    pub(super) fn incarnation(&self, column: usize) -> Result<IncarnationId, Fault> {
        self.uuid(column).map(IncarnationId::from_uuid)
    }

    /// Who holds a job, from the columns of the incarnation and, next to it, the epoch.
    pub(super) fn fence(&self, column: usize) -> Result<Option<Fence>, Fault> {
        if self.get::<Option<&[u8]>>(column)?.is_none() {
            return Ok(None);
        }
        Ok(Some(Fence { incarnation: self.incarnation(column)?, epoch: self.count(column + 1)? }))
    }

    pub(super) fn json<T: DeserializeOwned>(&self, column: usize) -> Result<T, Fault> {
        self.parsed(column, self.get::<&str>(column)?, serde_json::from_str)
    }

    pub(super) fn optional_json<T: DeserializeOwned>(&self, column: usize) -> Result<Option<T>, Fault> {
        self.get::<Option<&str>>(column)?
            .map(|text| self.parsed(column, text, serde_json::from_str))
            .transpose()
    }

    fn parsed<V, T, E: Display>(
        &self,
        column: usize,
        value: V,
        parse: impl FnOnce(V) -> Result<T, E>,
    ) -> Result<T, Fault> {
        parse(value).map_err(|error| {
            let name = self.0.columns().get(column).map_or("?", |column| sqlx::Column::name(column));
            Fault::corrupt(format!("column {name} cannot be read: {error}"))
        })
    }
}
