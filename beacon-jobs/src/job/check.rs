use std::collections::BTreeMap;

use super::spec::{ExecutionSpec, JobSpec};
use crate::error::{Error, Result};

const YEAR: u64 = 31_536_000;
const MOST_EXECUTIONS: usize = 100_000;
const MOST_LABELS: usize = 32;

impl JobSpec {
    /// Tells whether the spec is legal.
    ///
    /// # Errors
    /// `InvalidInput` for the first field that is not, named by its path
    /// (`executions[3].timeout_seconds`), with what is allowed there.
    pub fn check(&self) -> Result<()> {
        labels("labels", &self.labels)?;
        if !(0.0..=1.0).contains(&self.min_success_rate) {
            return Err(Error::invalid("min_success_rate", "must be from 0.0 to 1.0"));
        }
        optional_range("timeout_seconds", self.timeout_seconds, 1, YEAR)?;
        range("max_attempts", u64::from(self.max_attempts), 1, 100)?;
        range("backoff_seconds", self.backoff_seconds, 0, 3_600)?;
        range("max_backoff_seconds", self.max_backoff_seconds, 0, 86_400)?;
        range("stop_wait_seconds", self.stop_wait_seconds, 1, 86_400)?;
        optional_range("max_parallel", self.max_parallel.map(u64::from), 1, 100_000)?;
        if self.executions.is_empty() || self.executions.len() > MOST_EXECUTIONS {
            return Err(Error::invalid(
                "executions",
                format!("must hold 1 to {MOST_EXECUTIONS} executions, holds {}", self.executions.len()),
            ));
        }
        for (index, execution) in self.executions.iter().enumerate() {
            execution.check(&format!("executions[{index}]"))?;
        }
        Ok(())
    }
}

impl ExecutionSpec {
    fn check(&self, at: &str) -> Result<()> {
        name(&format!("{at}.executor"), &self.executor, 64)?;
        if let Some(lane) = &self.lane {
            text(&format!("{at}.lane"), lane, 256)?;
        }
        if let Some(step) = &self.step {
            text(&format!("{at}.step"), step, 256)?;
            if self.lane.is_none() {
                return Err(Error::invalid(format!("{at}.step"), "needs a lane beside it"));
            }
        }
        labels(&format!("{at}.labels"), &self.labels)?;
        optional_range(&format!("{at}.timeout_seconds"), self.timeout_seconds, 1, YEAR)
    }
}

fn labels(at: &str, labels: &BTreeMap<String, String>) -> Result<()> {
    if labels.len() > MOST_LABELS {
        return Err(Error::invalid(
            at,
            format!("must hold at most {MOST_LABELS} labels, holds {}", labels.len()),
        ));
    }
    for (key, value) in labels {
        if key.is_empty() || key.len() > 64 || key.contains(':') {
            return Err(Error::invalid(format!("{at}.{key}"), "a key must be 1 to 64 bytes without a colon"));
        }
        if value.len() > 256 {
            return Err(Error::invalid(format!("{at}.{key}"), "a value must be at most 256 bytes"));
        }
    }
    Ok(())
}

fn name(at: &str, value: &str, most: usize) -> Result<()> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if value.is_empty() || value.len() > most || !value.bytes().all(legal) {
        return Err(Error::invalid(at, format!("must be 1 to {most} characters of A-Z a-z 0-9 . _ -")));
    }
    Ok(())
}

fn text(at: &str, value: &str, most: usize) -> Result<()> {
    if value.is_empty() || value.len() > most {
        return Err(Error::invalid(at, format!("must be 1 to {most} bytes")));
    }
    Ok(())
}

fn range(at: &str, value: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(Error::invalid(at, format!("must be from {least} to {most}, is {value}")))
    }
}

fn optional_range(at: &str, value: Option<u64>, least: u64, most: u64) -> Result<()> {
    value.map_or(Ok(()), |value| range(at, value, least, most))
}
