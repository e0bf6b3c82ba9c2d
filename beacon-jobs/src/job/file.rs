use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::check::{self, MOST_EXECUTIONS, shown, within};
use super::matrix::Matrix;
use super::spec::{ExecutionSpec, JobSpec};
use crate::error::{Error, ErrorKind, Result};

/// Reads a job file: JSON text in the list form or in the matrix form.
///
/// The list form is what a [`JobSpec`] serializes to; all but `executions` and each execution's
/// `executor` may be left out. The matrix form has `matrix` and `template` where the list form has
/// `executions`:
///
/// ```
/// use beacon_jobs::job::parse_job_file;
///
/// let spec = parse_job_file(br#"{
///     "matrix": {"models": ["llama", "qwen"], "regions": ["us", "eu"], "questions": ["q1", "q2", "q3"]},
///     "template": {"executor": "process", "input": {"command": ["ask", "{{model}}", "{{question}}"]}}
/// }"#)?;
/// assert_eq!(spec.executions.len(), 12);
/// assert_eq!(spec.executions[1].lane.as_deref(), Some("us"));
/// assert_eq!(spec.executions[1].input["command"][1], "qwen");
/// # Ok::<(), beacon_jobs::Error>(())
/// ```
///
/// It becomes one lane per region, in the order of the file; in a lane one step per question; in a
/// step one execution per model, side by side. Each gets the labels `region`, `model` and
/// `question`. In every string value of the template's `input` and `labels`, however deep,
/// `{{model}}`, `{{region}}` and `{{question}}` are replaced; all else in braces stays, and so do the
/// names of members. An axis holds 1 or more different strings of 1 to 256 bytes, and all three
/// together make at most 100 000 executions, whose inputs may take 256 MiB of memory.
///
/// If a member stands twice in an object, the last one counts.
///
/// # Errors
/// `InvalidInput`. Text that is not JSON gives an error **without** a [`field`](Error::field) and
/// with the line and column in the message; JSON that is not a legal job gives one with the field
/// that is wrong, for example `executions[3].timeout_seconds`, and says what is allowed there. An
/// error about the whole has the field `job`.
pub fn parse_job_file(text: &[u8]) -> Result<JobSpec> {
    let json = serde_json::from_slice(text).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, format!("not readable as JSON: {error}")).with_source(error)
    })?;
    JobSpec::from_json(json)
}

impl JobSpec {
    /// Reads a job from JSON that is parsed already; else as [`parse_job_file`].
    ///
    /// # Errors
    /// `InvalidInput` for the first field that is wrong, as for [`parse_job_file`].
    pub fn from_json(json: Value) -> Result<Self> {
        let Value::Object(mut job) = json else {
            return Err(Error::invalid(
                "job",
                "must be an object with executions, or with matrix and template",
            ));
        };
        let executions = take_executions(&mut job)?;
        job.insert("executions".to_owned(), Value::Array(Vec::new()));
        let mut spec: Self = read(Value::Object(job), &["matrix", "template"])?;
        spec.executions = executions;
        spec.check()?;
        Ok(spec)
    }
}

/// Takes the executions out of a job's members, in whichever form they are given.
fn take_executions(job: &mut Map<String, Value>) -> Result<Vec<ExecutionSpec>> {
    match (job.remove("executions"), job.remove("matrix"), job.remove("template")) {
        (Some(_), Some(_), _) => Err(Error::invalid("executions", "must be left out when there is a matrix")),
        (_, None, Some(_)) => Err(Error::invalid("template", "needs a matrix beside it")),
        (None, Some(_), None) => {
            Err(Error::invalid("template", "is missing: a matrix needs one execution without lane and step"))
        }
        (None, None, None) => Err(Error::invalid(
            "executions",
            format!("is missing: give 1 to {MOST_EXECUTIONS} executions, or matrix and template"),
        )),
        (None, Some(matrix), Some(template)) => {
            let matrix: Matrix = read(matrix, &[]).map_err(|error| within("matrix", &error))?;
            matrix.expand(template)
        }
        (Some(Value::Array(items)), None, None) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| {
                read(item, &[]).map_err(|error| within(format_args!("executions[{index}]"), &error))
            })
            .collect(),
        (Some(_), None, None) => Err(Error::invalid("executions", "must be a list of executions")),
    }
}

/// Reads an object; `more` names members that are legal beside those of `T`, for the message. The
/// field of an error is relative to the object.
pub(super) fn read<T: DeserializeOwned>(json: Value, more: &[&str]) -> Result<T> {
    // A derived reader takes a list of the fields' values as well.
    if !json.is_object() {
        return Err(Error::invalid("", "must be an object"));
    }
    serde_path_to_error::deserialize(json).map_err(|error| explain(&error, more))
}

fn explain(error: &serde_path_to_error::Error<serde_json::Error>, more: &[&str]) -> Error {
    let mut field = String::new();
    for segment in error.path() {
        match segment {
            Segment::Map { key } if field.is_empty() => field = shown(key),
            Segment::Map { key } => field = format!("{field}.{}", shown(key)),
            Segment::Seq { index } => field = format!("{field}[{index}]"),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let words = error.inner().to_string();
    if let Some(name) = words.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        // No object that is read here has a required member further down.
        let message = allowed(name).map_or("is missing".to_owned(), |rule| format!("is missing: {rule}"));
        return Error::invalid(name, message);
    }
    if words.starts_with("unknown field ") {
        let known = words.rsplit_once(", expected ").map_or("", |(_, known)| known);
        let known = known.trim_start_matches("one of ").replace('`', "");
        let all = [known.as_str()].into_iter().chain(more.iter().copied()).collect::<Vec<_>>().join(", ");
        return Error::invalid(field, format!("is not known here; allowed: {all}"));
    }
    let message = allowed(&field).unwrap_or_else(|| "is not of the right type".to_owned());
    Error::invalid(field, message)
}

/// The rule for a field of a job, an execution or a matrix, by its path in that object.
fn allowed(field: &str) -> Option<String> {
    let range = match field {
        "timeout_seconds" => check::TIMEOUT,
        "max_attempts" => check::ATTEMPTS,
        "backoff_seconds" => check::BACKOFF,
        "max_backoff_seconds" => check::MAX_BACKOFF,
        "stop_wait_seconds" => check::STOP_WAIT,
        "max_parallel" => check::PARALLEL,
        _ => return allowed_words(field).map(str::to_owned),
    };
    Some(check::whole(&range))
}

fn allowed_words(field: &str) -> Option<&'static str> {
    Some(match field {
        "id" => "must be a string of 1 to 128 characters of A-Z a-z 0-9 . _ : -",
        "labels" => "must be an object whose values are strings",
        "min_success_rate" => check::SUCCESS_RATE,
        "on_interrupt" => "must be retry or fail",
        "allow_overlap" => "must be true or false",
        "executor" => check::EXECUTOR,
        "models" | "regions" | "questions" => "must be a list of 1 or more different strings",
        _ if field.starts_with("labels.") => "must be a string of at most 256 bytes",
        _ if field == "lane" || field == "step" || field.ends_with(']') => check::TEXT,
        _ => return None,
    })
}
