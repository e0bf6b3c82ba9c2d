//! How values stand in columns, and how they are read back.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::postgres::types::PgInterval;
use sqlx::{Decode, Postgres, Row};
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

/// The longest time that is added to another, or taken from it: about 2 800 years.
const LONGEST_MICROS: i64 = 90_000_000_000_000_000;

/// An execution's place in its job's list.
pub(super) fn index(key: i64) -> u32 {
    u32::try_from(key.rem_euclid(KEYS)).unwrap_or(u32::MAX)
}

pub(super) fn interval(time: Duration) -> PgInterval {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX).min(LONGEST_MICROS);
    PgInterval { months: 0, days: 0, microseconds: micros }
}

pub(super) fn json(value: &impl Serialize) -> String {
    // What is written here has only string keys, so it always has a JSON form.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// An epoch as it stands in a column; one that no row can have is -1.
pub(super) fn epoch(fence: Fence) -> i64 {
    i64::try_from(fence.epoch).unwrap_or(-1)
}

/// A number as it stands in an integer column.
pub(super) fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Free text: Postgres takes no NUL in it.
pub(super) fn text(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

/// Refuses a name that could not be told from another one without its NUL.
pub(super) fn check_nul(field: &str, name: &str) -> Result<()> {
    if name.contains('\0') { Err(Error::invalid(field, "must not hold a NUL character")) } else { Ok(()) }
}

/// An execution's status as it stands in its column: from 20 on it is an outcome.
const fn status_code(status: ExecutionStatus) -> i64 {
    match status {
        ExecutionStatus::Queued => 10,
        ExecutionStatus::Starting => 11,
        ExecutionStatus::Running => 12,
        ExecutionStatus::Completed => 20,
        ExecutionStatus::Failed => 21,
        ExecutionStatus::Cancelled => 22,
    }
}

pub(super) fn status(code: i64) -> Result<ExecutionStatus, Fault> {
    let status = ExecutionStatus::ALL.iter().find(|status| status_code(**status) == code);
    status.copied().ok_or_else(|| Fault::corrupt(format!("an execution's status {code} cannot be read")))
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
pub(super) struct Cells<'r>(pub(super) &'r PgRow);

impl<'r> Cells<'r> {
    pub(super) fn get<T: Decode<'r, Postgres>>(&self, column: usize) -> Result<T, Fault> {
        self.0.try_get_unchecked(column).map_err(Fault::from)
    }

    pub(super) fn long(&self, column: usize) -> Result<i64, Fault> {
        self.get(column)
    }

    /// A count in an integer column, which is never negative.
    pub(super) fn count<T: TryFrom<i32>>(&self, column: usize) -> Result<T, Fault> {
        self.parsed(column, self.get::<i32>(column)?, |int| {
            T::try_from(int).map_err(|_| "must not be negative or too large")
        })
    }

    /// A count in a bigint column.
    pub(super) fn long_count<T: TryFrom<i64>>(&self, column: usize) -> Result<T, Fault> {
        self.parsed(column, self.long(column)?, |int| {
            T::try_from(int).map_err(|_| "must not be negative or too large")
        })
    }

    pub(super) fn time(&self, column: usize) -> Result<OffsetDateTime, Fault> {
        self.get(column)
    }

    pub(super) fn word<T: FromStr<Err = Error>>(&self, column: usize) -> Result<T, Fault> {
        self.parsed(column, self.get::<&str>(column)?, str::parse)
    }

    pub(super) fn optional_word<T: FromStr<Err = Error>>(&self, column: usize) -> Result<Option<T>, Fault> {
        self.get::<Option<&str>>(column)?.map(|word| self.parsed(column, word, str::parse)).transpose()
    }

    pub(super) fn status(&self, column: usize) -> Result<ExecutionStatus, Fault> {
        status(self.get::<i16>(column)?.into())
    }

    pub(super) fn job(&self, column: usize) -> Result<JobId, Fault> {
        self.parsed(column, self.get::<&str>(column)?, JobId::new)
    }

    pub(super) fn attempt(&self, column: usize) -> Result<AttemptId, Fault> {
        self.get::<Uuid>(column).map(AttemptId::from_uuid)
    }

    pub(super) fn incarnation(&self, column: usize) -> Result<IncarnationId, Fault> {
        self.get::<Uuid>(column).map(IncarnationId::from_uuid)
    }

    /// Who holds a job, from the columns of the incarnation and, next to it, the epoch.
    pub(super) fn fence(&self, column: usize) -> Result<Option<Fence>, Fault> {
        let Some(incarnation) = self.get::<Option<Uuid>>(column)? else { return Ok(None) };
        let incarnation = IncarnationId::from_uuid(incarnation);
        Ok(Some(Fence { incarnation, epoch: self.long_count(column + 1)? }))
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
