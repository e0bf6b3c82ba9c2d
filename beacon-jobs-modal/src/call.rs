//! A call: what it is asked, and the handle by which it is found again.

use beacon_jobs::executor::ExecuteError;
use beacon_jobs::stop::Handle;
use beacon_jobs::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The `input` of an execution.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The app, as deployed.
    pub(crate) app: String,
    /// The function's name in it.
    pub(crate) function: String,
    /// The environment; the configured one if it is left out.
    pub(crate) environment: Option<String>,
    /// Positional arguments.
    #[serde(default)]
    pub(crate) args: Vec<Value>,
    /// Named arguments.
    #[serde(default)]
    pub(crate) kwargs: Map<String, Value>,
}

impl Input {
    pub(crate) fn read(input: &Value) -> Result<Self> {
        let input: Self = serde_path_to_error::deserialize(input).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." { "input".to_owned() } else { format!("input.{path}") };
            Error::invalid(field, error.inner().to_string())
        })?;
        for (field, value) in [("input.app", &input.app), ("input.function", &input.function)] {
            if value.trim().is_empty() {
                return Err(Error::invalid(field, "must name what is deployed at Modal"));
            }
        }
        Ok(input)
    }
}

/// How far the call has come, as far as it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It exists without an input. The input may be on its way.
    Created,
    /// Modal has its input. Without outputs they have expired: Modal keeps them for seven days.
    Fed,
}

/// How a call is found again, from anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) call_id: String,
    pub(crate) function_id: String,
    pub(crate) app: String,
    pub(crate) function: String,
    pub(crate) environment: String,
    /// Where, and whose: the same ids mean nothing elsewhere.
    pub(crate) server: String,
    pub(crate) workspace: String,
    pub(crate) phase: Phase,
    /// The containers that were seen to hold the input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tasks: Vec<String>,
}

impl Call {
    pub(crate) fn handle(&self) -> Result<Handle, ExecuteError> {
        Handle::of(self).map_err(|error| ExecuteError::failed(error.to_string()))
    }

    /// Takes in containers; tells whether one of them was new.
    pub(crate) fn add_tasks<'a>(&mut self, tasks: impl IntoIterator<Item = &'a str>) -> bool {
        let known = self.tasks.len();
        for task in tasks {
            if !task.is_empty() && !self.tasks.iter().any(|known| known == task) {
                self.tasks.push(task.to_owned());
            }
        }
        self.tasks.len() > known
    }
}
