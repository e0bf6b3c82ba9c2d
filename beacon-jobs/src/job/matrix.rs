use std::collections::{BTreeMap, HashMap};
use std::mem::size_of;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::check::{self, MOST_EXECUTIONS, MOST_LABELS, within};
use super::file::read;
use super::spec::ExecutionSpec;
use crate::error::{Error, Result};

/// The most memory that the inputs of one matrix may take: a body of 1 MiB that is mostly template
/// would otherwise grow to 100 GiB.
const MOST_INPUT_BYTES: usize = 256 << 20;

/// The labels that the matrix sets.
const OWN_LABELS: [&str; 3] = ["region", "question", "model"];

/// The axes of the matrix form of a job file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Matrix {
    models: Vec<String>,
    regions: Vec<String>,
    questions: Vec<String>,
}

/// One execution of the matrix form, before its place in the matrix is known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Template {
    executor: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    timeout_seconds: Option<u64>,
    #[serde(default)]
    input: Value,
}

/// One place in the matrix.
#[derive(Clone, Copy)]
struct Cell<'a> {
    region: &'a str,
    question: &'a str,
    model: &'a str,
}

impl Matrix {
    /// One execution per cell, made from the template: by region, then question, then model.
    pub(super) fn expand(&self, template: Value) -> Result<Vec<ExecutionSpec>> {
        let cells = self.check().map_err(|error| within("matrix", &error))?;
        let template = Template::from_json(template).map_err(|error| within("template", &error))?;
        let mut executions = Vec::with_capacity(cells);
        let mut bytes = 0;
        for region in &self.regions {
            for question in &self.questions {
                for model in &self.models {
                    let execution = template
                        .fill(Cell { region, question, model })
                        .map_err(|error| within("template", &error))?;
                    bytes += weight(&execution.input);
                    if bytes > MOST_INPUT_BYTES {
                        return Err(Error::invalid(
                            "template.input",
                            format!(
                                "must be smaller for {cells} executions: together the inputs may take {} MiB",
                                MOST_INPUT_BYTES >> 20
                            ),
                        ));
                    }
                    executions.push(execution);
                }
            }
        }
        Ok(executions)
    }

    /// The number of cells.
    fn check(&self) -> Result<usize> {
        let mut cells = 1_usize;
        for (name, axis) in
            [("models", &self.models), ("regions", &self.regions), ("questions", &self.questions)]
        {
            if axis.is_empty() {
                return Err(Error::invalid(name, "must hold 1 or more strings, holds none"));
            }
            cells = cells.saturating_mul(axis.len());
            let mut seen = HashMap::new();
            for (index, value) in axis.iter().enumerate() {
                check::text(value).map_err(|error| within(format_args!("{name}[{index}]"), &error))?;
                if let Some(first) = seen.insert(value, index) {
                    return Err(Error::invalid(
                        format!("{name}[{index}]"),
                        format!("must differ from all others of its list, is the same as {name}[{first}]"),
                    ));
                }
            }
        }
        if cells > MOST_EXECUTIONS {
            return Err(Error::invalid(
                "",
                format!(
                    "must make at most {MOST_EXECUTIONS} executions (models x regions x questions), makes {cells}"
                ),
            ));
        }
        Ok(cells)
    }
}

impl Template {
    /// The field of an error is relative to the template.
    fn from_json(json: Value) -> Result<Self> {
        for name in ["lane", "step"] {
            if json.get(name).is_some() {
                return Err(Error::invalid(name, "must be left out: the matrix sets it"));
            }
        }
        let template: Self = read(json, &[])?;
        for name in OWN_LABELS {
            if template.labels.contains_key(name) {
                return Err(Error::invalid(format!("labels.{name}"), "must be left out: the matrix sets it"));
            }
        }
        let most = MOST_LABELS - OWN_LABELS.len();
        if template.labels.len() > most {
            return Err(Error::invalid(
                "labels",
                format!(
                    "must hold at most {most} labels beside the three that the matrix sets, holds {}",
                    template.labels.len()
                ),
            ));
        }
        Ok(template)
    }

    /// The execution of this cell, checked, so that an error is about the template that the file
    /// holds and not about the list that it does not.
    fn fill(&self, cell: Cell<'_>) -> Result<ExecutionSpec> {
        let mut execution = ExecutionSpec::new(self.executor.clone(), cell.fill(&self.input))
            .with_lane(cell.region)
            .with_step(cell.question);
        execution.timeout_seconds = self.timeout_seconds;
        execution.labels =
            self.labels.iter().map(|(key, value)| (key.clone(), cell.fill_text(value))).collect();
        for (key, value) in OWN_LABELS.into_iter().zip([cell.region, cell.question, cell.model]) {
            execution.labels.insert(key.to_owned(), value.to_owned());
        }
        execution.check()?;
        Ok(execution)
    }
}

impl Cell<'_> {
    fn fill(self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.fill_text(text)),
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(members) => Value::Object(
                members.iter().map(|(name, member)| (name.clone(), self.fill(member))).collect::<Map<_, _>>(),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// Goes through the text once: what was put in is not looked at again.
    fn fill_text(self, text: &str) -> String {
        let places =
            [("{{region}}", self.region), ("{{question}}", self.question), ("{{model}}", self.model)];
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("{{") {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let place = places.iter().find_map(|(place, value)| Some((rest.strip_prefix(place)?, *value)));
            let (after, value) = place.unwrap_or((&rest[1..], "{"));
            filled.push_str(value);
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
}

/// About how much memory a value takes.
fn weight(value: &Value) -> usize {
    let own = size_of::<Value>();
    match value {
        Value::String(text) => own + text.len(),
        Value::Array(items) => own + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => {
            own + members
                .iter()
                .map(|(name, member)| size_of::<String>() + name.len() + weight(member))
                .sum::<usize>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => own,
    }
}
