//! How values stand in columns of Postgres, and how they are read back.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::postgres::types::PgInterval;
use time::OffsetDateTime;
use uuid::Uuid;

use super::error::fault;
use crate::error::{Error, Result};
use crate::store::sql::{Cells, Fault};

/// The longest time that is added to another, or taken from it: about 2 800 years.
const LONGEST_MICROS: i64 = 90_000_000_000_000_000;

pub(super) fn interval(time: Duration) -> PgInterval {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX).min(LONGEST_MICROS);
    PgInterval { months: 0, days: 0, microseconds: micros }
}

/// A number as it stands in an integer column.
pub(super) fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Refuses a name that could not be told from another one without its NUL.
pub(super) fn check_nul(field: &str, name: &str) -> Result<()> {
    if name.contains('\0') { Err(Error::invalid(field, "must not hold a NUL character")) } else { Ok(()) }
}

impl Cells for PgRow {
    fn optional_long(&self, column: usize) -> Result<Option<i64>, Fault> {
        self.try_get_unchecked(column).map_err(fault)
    }

    fn optional_text(&self, column: usize) -> Result<Option<&str>, Fault> {
        self.try_get_unchecked(column).map_err(fault)
    }

    fn optional_time(&self, column: usize) -> Result<Option<OffsetDateTime>, Fault> {
        self.try_get_unchecked(column).map_err(fault)
    }

    fn optional_uuid(&self, column: usize) -> Result<Option<Uuid>, Fault> {
        self.try_get_unchecked(column).map_err(fault)
    }

    fn flag(&self, column: usize) -> Result<bool, Fault> {
        self.try_get_unchecked(column).map_err(fault)
    }

    fn names(&self, column: usize) -> Result<Vec<String>, Fault> {
        self.try_get_unchecked(column).map_err(fault)
    }
}
