//! What an execution of a portal's job does: a template that is filled in for each cell.

use std::collections::BTreeMap;
use std::path::Path;

use beacon_jobs::job::{ExecutionSpec, JobSpec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::words::{MODEL, QUESTION, REGION};

/// An execution before its place is known.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Template {
    executor: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    timeout_seconds: Option<u64>,
    #[serde(default)]
    input: Value,
}

/// One model in one region on one question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<'a> {
    pub(super) model: &'a str,
    /// As the providers call it.
    pub(super) region: &'a str,
    /// As addresses have it.
    pub(super) area: &'a str,
    /// As the rows call it.
    pub(super) shown_region: &'a str,
    pub(super) question: &'a str,
    pub(super) prompt: &'a str,
    /// How long it may take at most.
    pub(super) seconds: u64,
}

/// The programs that take a word of their command line for a program.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ksh", "busybox"];

impl Template {
    /// Says the prompt after a little while, for a first look.
    pub(super) fn built_in() -> Self {
        let script = "sleep 3; printf '%s in %s was asked: %s\\n' \"$1\" \"$2\" \"$3\"";
        let input = json!({ "command": ["sh", "-c", script, "sh", "{{model}}", "{{region}}", "{{prompt}}"] });
        Self { executor: "process".to_owned(), labels: BTreeMap::new(), timeout_seconds: None, input }
    }

    /// Reads one from a file, and tries it.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
        let template: Self = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        template.check()?;
        Ok(template)
    }

    fn check(&self) -> Result<(), String> {
        if let Some(label) = [REGION, MODEL, QUESTION].iter().find(|label| self.labels.contains_key(**label))
        {
            return Err(format!("labels.{label} must be left out: it is set here"));
        }
        let command = self.input["command"].as_array().map_or(&[][..], Vec::as_slice);
        let program = command.first().and_then(Value::as_str).and_then(|program| program.rsplit('/').next());
        // What a stranger writes must never become a part of a script.
        let script =
            command.iter().skip(1).find(|word| word.as_str().is_none_or(|word| !word.starts_with('-')));
        let is_open = script.and_then(Value::as_str).is_some_and(|script| script.contains("{{"));
        if self.executor == "process" && program.is_some_and(|program| SHELLS.contains(&program)) && is_open {
            return Err("input.command: a script must hold no {{…}}; give it as a word after the script, where it is $1".to_owned());
        }
        let cell = Cell {
            model: "m",
            region: "r",
            area: "r",
            shown_region: "r",
            question: "q",
            prompt: "p",
            seconds: 1,
        };
        let trial = JobSpec::new([self.fill(cell)]).check();
        trial.map_err(|error| error.to_string().trim_start_matches("executions[0].").to_owned())
    }

    /// The execution of this cell: one lane for each region, all models on one question side by side.
    pub(super) fn fill(&self, cell: Cell<'_>) -> ExecutionSpec {
        let mut execution = ExecutionSpec::new(self.executor.clone(), cell.fill(&self.input))
            .with_lane(cell.region)
            .with_step(cell.question)
            .with_timeout_seconds(self.timeout_seconds.unwrap_or(cell.seconds).min(cell.seconds));
        for (name, value) in &self.labels {
            execution = execution.with_label(name, cell.fill_text(value));
        }
        execution
            .with_label(REGION, cell.shown_region)
            .with_label(MODEL, cell.model)
            .with_label(QUESTION, cell.question)
    }
}

impl Cell<'_> {
    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.fill_text(text)),
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(members) => {
                let filled = members.iter().map(|(name, member)| (name.clone(), self.fill(member)));
                Value::Object(filled.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// Goes through the text once: what was put in is not looked at again.
    fn fill_text(&self, text: &str) -> String {
        let places = [
            ("{{region}}", self.region),
            ("{{area}}", self.area),
            ("{{question}}", self.question),
            ("{{model}}", self.model),
            ("{{prompt}}", self.prompt),
        ];
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("{{") {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            let place = places.iter().find_map(|(place, value)| Some((from.strip_prefix(place)?, *value)));
            let (after, value) = place.unwrap_or_else(|| (from.strip_prefix('{').unwrap_or_default(), "{"));
            filled.push_str(value);
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELL: Cell<'_> = Cell {
        model: "{{prompt}}",
        region: "us-east",
        area: "us",
        shown_region: "US",
        question: "q",
        prompt: "$(reboot)",
        seconds: 60,
    };

    fn template(json: Value) -> Template {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn every_string_is_filled_in_once() {
        let template = template(json!({
            "executor": "modal", "labels": {"at": "{{region}}"},
            "input": {"kwargs": {"{{model}}": ["{{model}}/{{prompt}}", 1, null]}, "odd": "{{{question}}} {{other}} {{"}
        }));
        template.check().unwrap();
        let filled = template.fill(CELL);
        assert_eq!(filled.input["kwargs"]["{{model}}"][0], "{{prompt}}/$(reboot)");
        assert_eq!(filled.input["odd"], "{q} {{other}} {{");
        assert_eq!((filled.labels["at"].as_str(), filled.labels["region"].as_str()), ("us-east", "US"));
        assert_eq!(filled.timeout_seconds, Some(60));
    }

    #[test]
    fn the_example_asks_the_endpoint_of_the_region() {
        let template: Template = serde_json::from_slice(include_bytes!("modal.json")).unwrap();
        template.check().unwrap();
        let input = template.fill(CELL).input;
        assert_eq!(input["url"], "https://me--project-beacon-hf-us-inference.modal.run");
        let modal = beacon_jobs_modal::WebExecutor::builder().build().unwrap();
        beacon_jobs::executor::Executor::check_input(&modal, &input).unwrap();
    }

    #[test]
    fn a_script_is_never_made_of_what_a_stranger_wrote() {
        for (command, is_refused) in [
            (json!(["sh", "-c", "echo {{prompt}}"]), true),
            (json!(["/bin/bash", "-e", "-c", "echo {{question}}"]), true),
            (json!(["sh", "-c", "echo \"$1\"", "sh", "{{prompt}}"]), false),
            (json!(["echo", "{{prompt}}"]), false),
        ] {
            let template = template(json!({"executor": "process", "input": {"command": command}}));
            assert_eq!(template.check().is_err(), is_refused, "{command}");
        }
        Template::built_in().check().unwrap();
    }

    #[test]
    fn a_template_that_cannot_become_an_execution_is_refused_with_the_field() {
        for (json, field) in [
            (json!({"executor": "a b"}), "executor"),
            (json!({"executor": "e", "labels": {"model": "m"}}), "labels.model"),
            (json!({"executor": "e", "labels": {"a:b": "m"}}), "labels.a:b"),
        ] {
            let why = template(json).check().unwrap_err();
            assert!(why.starts_with(field), "{why}");
        }
    }
}
