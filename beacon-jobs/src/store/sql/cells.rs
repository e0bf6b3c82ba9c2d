use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::{Column, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Fault, codec};
use crate::error::Error;
use crate::id::{AttemptId, IncarnationId, JobId};
use crate::job::ExecutionStatus;
use crate::store::Fence;

/// The columns of a row, by number.
pub(crate) trait Cells: Row {
    /// An integer, however wide its column is.
    fn optional_long(&self, column: usize) -> Result<Option<i64>, Fault>;

    fn optional_text(&self, column: usize) -> Result<Option<&str>, Fault>;

    fn optional_time(&self, column: usize) -> Result<Option<OffsetDateTime>, Fault>;

    fn optional_uuid(&self, column: usize) -> Result<Option<Uuid>, Fault>;

    fn flag(&self, column: usize) -> Result<bool, Fault>;

    /// A list of names.
    fn names(&self, column: usize) -> Result<Vec<String>, Fault>;

    fn long(&self, column: usize) -> Result<i64, Fault> {
        self.present(column, self.optional_long(column)?)
    }

    /// A count, which is never negative.
    fn count<T: TryFrom<i64>>(&self, column: usize) -> Result<T, Fault> {
        self.parsed(column, self.long(column)?, |long| {
            T::try_from(long).map_err(|_| "must not be negative or too large")
        })
    }

    fn text(&self, column: usize) -> Result<&str, Fault> {
        self.present(column, self.optional_text(column)?)
    }

    fn string(&self, column: usize) -> Result<String, Fault> {
        self.text(column).map(str::to_owned)
    }

    fn optional_string(&self, column: usize) -> Result<Option<String>, Fault> {
        Ok(self.optional_text(column)?.map(str::to_owned))
    }

    fn time(&self, column: usize) -> Result<OffsetDateTime, Fault> {
        self.present(column, self.optional_time(column)?)
    }

    fn word<T: FromStr<Err = Error>>(&self, column: usize) -> Result<T, Fault> {
        self.parsed(column, self.text(column)?, str::parse)
    }

    fn optional_word<T: FromStr<Err = Error>>(&self, column: usize) -> Result<Option<T>, Fault> {
        self.optional_text(column)?.map(|word| self.parsed(column, word, str::parse)).transpose()
    }

    fn json<T: DeserializeOwned>(&self, column: usize) -> Result<T, Fault> {
        self.parsed(column, self.text(column)?, serde_json::from_str)
    }

    fn optional_json<T: DeserializeOwned>(&self, column: usize) -> Result<Option<T>, Fault> {
        self.optional_text(column)?.map(|text| self.parsed(column, text, serde_json::from_str)).transpose()
    }

    fn status(&self, column: usize) -> Result<ExecutionStatus, Fault> {
        self.long(column).and_then(codec::status)
    }

    fn job(&self, column: usize) -> Result<JobId, Fault> {
        self.parsed(column, self.text(column)?, JobId::new)
    }

    fn attempt(&self, column: usize) -> Result<AttemptId, Fault> {
        self.present(column, self.optional_uuid(column)?).map(AttemptId::from_uuid)
    }

    fn incarnation(&self, column: usize) -> Result<IncarnationId, Fault> {
        self.present(column, self.optional_uuid(column)?).map(IncarnationId::from_uuid)
    }

    /// Who holds a job, from the columns of the incarnation and, next to it, the epoch.
    fn fence(&self, column: usize) -> Result<Option<Fence>, Fault> {
        let Some(incarnation) = self.optional_uuid(column)? else { return Ok(None) };
        let incarnation = IncarnationId::from_uuid(incarnation);
        Ok(Some(Fence { incarnation, epoch: self.count(column + 1)? }))
    }

    fn present<T>(&self, column: usize, value: Option<T>) -> Result<T, Fault> {
        self.parsed(column, value, |value| value.ok_or("it is empty"))
    }

    fn parsed<V, T, E: Display>(
        &self,
        column: usize,
        value: V,
        parse: impl FnOnce(V) -> Result<T, E>,
    ) -> Result<T, Fault> {
        parse(value).map_err(|error| {
            let name = self.columns().get(column).map_or("?", Column::name);
            Fault::corrupt(format!("column {name} cannot be read: {error}"))
        })
    }
}
