use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ATTEMPT_VARIABLE;
use crate::error::{Error, Result};
use crate::id::AttemptId;

/// What a command is given of the runner's environment. Everything else stays with the runner.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];
/// Variables of this name belong to the library.
const RESERVED: &str = "BEACON_JOBS_";

/// The input of an execution.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    command: Vec<String>,
    #[serde(default)]
    stdin: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    cwd: Option<String>,
}

/// A command, with its whole environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Launch {
    pub(super) program: String,
    pub(super) args: Vec<String>,
    pub(super) stdin: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: Option<String>,
}

impl Input {
    /// Reads and checks an input.
    pub(super) fn read(value: &Value) -> Result<Self> {
        let input: Self = serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." { "input".to_owned() } else { format!("input.{path}") };
            Error::invalid(field, error.inner().to_string())
        })?;
        input.check()?;
        Ok(input)
    }

    fn check(&self) -> Result<()> {
        if self.command.first().is_none_or(String::is_empty) {
            return Err(Error::invalid("input.command", "must begin with the program to run"));
        }
        for (index, word) in self.command.iter().enumerate() {
            no_nul(|| format!("input.command[{index}]"), word)?;
        }
        for (name, value) in &self.env {
            let field = || format!("input.env.{name}");
            if name.is_empty() || name.contains('=') {
                return Err(Error::invalid(field(), "a name must not be empty or hold ="));
            }
            if name.starts_with(RESERVED) {
                return Err(Error::invalid(field(), format!("names that begin with {RESERVED} are taken")));
            }
            no_nul(field, name)?;
            no_nul(field, value)?;
        }
        match &self.cwd {
            Some(cwd) if cwd.is_empty() => {
                Err(Error::invalid("input.cwd", "must be a folder, or null for the runner's own"))
            }
            Some(cwd) => no_nul(|| "input.cwd".to_owned(), cwd),
            None => Ok(()),
        }
    }

    /// Adds what the command is given besides.
    pub(super) fn into_launch(self, attempt: AttemptId) -> Launch {
        let mut env = inherited();
        env.extend(self.env);
        env.insert(ATTEMPT_VARIABLE.to_owned(), attempt.to_string());
        let mut words = self.command.into_iter();
        Launch {
            program: words.next().unwrap_or_default(),
            args: words.collect(),
            stdin: self.stdin,
            env,
            cwd: self.cwd,
        }
    }
}

/// The variables of this process that a command is given too.
pub(super) fn inherited() -> BTreeMap<String, String> {
    INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
}

fn no_nul(field: impl Fn() -> String, text: &str) -> Result<()> {
    if text.contains('\0') { Err(Error::invalid(field(), "must not hold a NUL")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(input: Value) -> (String, String) {
        let error = Input::read(&input).unwrap_err();
        (error.field().unwrap().to_owned(), error.message().to_owned())
    }

    #[test]
    fn an_input_that_cannot_run_is_refused_with_the_fields_path() {
        for (input, field) in [
            (json!({}), "input"),
            (json!({"command": ["true"], "shell": true}), "input.shell"),
            (json!({"command": "true"}), "input.command"),
            (json!({"command": [1]}), "input.command[0]"),
            (json!({"command": []}), "input.command"),
            (json!({"command": [""]}), "input.command"),
            (json!({"command": ["echo", "a\0b"]}), "input.command[1]"),
            (json!({"command": ["true"], "stdin": 3}), "input.stdin"),
            (json!({"command": ["true"], "env": {"": "x"}}), "input.env."),
            (json!({"command": ["true"], "env": {"A=B": "x"}}), "input.env.A=B"),
            (json!({"command": ["true"], "env": {"A": "x\0"}}), "input.env.A"),
            (
                json!({"command": ["true"], "env": {"BEACON_JOBS_ATTEMPT": "x"}}),
                "input.env.BEACON_JOBS_ATTEMPT",
            ),
            (json!({"command": ["true"], "cwd": ""}), "input.cwd"),
            (json!({"command": ["true"], "cwd": "a\0"}), "input.cwd"),
        ] {
            assert_eq!(refused(input.clone()).0, field, "{input}");
        }
    }

    #[test]
    fn a_command_is_given_four_variables_of_the_runner_its_own_and_the_marker() {
        let attempt = AttemptId::from_uuid(uuid::Uuid::from_u128(7));
        let input = json!({"command": ["a", "b"], "env": {"LANG": "C", "KEY": "v"}});
        let launch = Input::read(&input).unwrap().into_launch(attempt);
        assert_eq!((launch.program.as_str(), launch.args.as_slice()), ("a", &["b".to_owned()][..]));
        assert_eq!(launch.env["LANG"], "C");
        assert_eq!(launch.env["KEY"], "v");
        assert_eq!(launch.env[ATTEMPT_VARIABLE], attempt.to_string());
        let known = ["PATH", "HOME", "LANG", "TMPDIR", "KEY", ATTEMPT_VARIABLE];
        assert!(launch.env.keys().all(|name| known.contains(&name.as_str())), "{:?}", launch.env);
    }
}
