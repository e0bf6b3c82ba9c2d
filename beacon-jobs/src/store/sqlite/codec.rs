//! How values stand in columns of SQLite, and how they are read back.

use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::error::fault;
use crate::store::sql::{Cells, Fault, KEYS};

/// The key of an execution.
pub(super) const fn key(seq: i64, index: u32) -> i64 {
    seq * KEYS + index as i64
}

/// The first and last key of a job's executions.
pub(super) const fn keys(seq: i64) -> (i64, i64) {
    (seq * KEYS, seq * KEYS + KEYS - 1)
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

/// An id in a JSON batch.
pub(super) fn blob_hex(id: Uuid) -> String {
    id.simple().to_string()
}

pub(super) fn blob(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

impl Cells for SqliteRow {
    fn optional_long(&self, column: usize) -> Result<Option<i64>, Fault> {
        self.try_get_unchecked(column).map_err(fault)
    }

    fn optional_text(&self, column: usize) -> Result<Option<&str>, Fault> {
        self.try_get_unchecked(column).map_err(fault)
    }

    fn optional_time(&self, column: usize) -> Result<Option<OffsetDateTime>, Fault> {
        Ok(self.optional_long(column)?.map(time))
    }

    fn optional_uuid(&self, column: usize) -> Result<Option<Uuid>, Fault> {
        let bytes: Option<&[u8]> = self.try_get_unchecked(column).map_err(fault)?;
        bytes.map(|bytes| self.parsed(column, bytes, Uuid::from_slice)).transpose()
    }

    fn flag(&self, column: usize) -> Result<bool, Fault> {
        Ok(self.long(column)? != 0)
    }

    fn names(&self, column: usize) -> Result<Vec<String>, Fault> {
        self.json(column)
    }
}
