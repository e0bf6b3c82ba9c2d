use super::spec::JobSpec;
use crate::error::{Error, Result};

/// Reads a job file.
pub fn parse_job_file(text: &[u8]) -> Result<JobSpec> {
    serde_json::from_slice(text).map_err(|error| Error::invalid("", error.to_string()))
}
