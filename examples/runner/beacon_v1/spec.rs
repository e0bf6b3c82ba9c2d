//! What a portal's spec asks for.

use std::collections::BTreeSet;

use beacon_jobs::job::JobSpec;
use beacon_jobs::{IdSource, JobId, RandomIds};
use serde_json::{Map, Value, json};

use super::questions::text_of;
use super::redact::redacted;
use super::regions::Region;
use super::template::{Cell, Template};
use super::words::{MOST_EXECUTIONS, ROWS, WIRE, rows_of};

type Members = Map<String, Value>;

/// The model of a spec that names none.
const DEFAULT_MODEL: &str = "llama3.2-1b";
/// The question of a spec that has none: its prompt.
const PROMPT: &str = "prompt";
const DEFAULT_RATE: f64 = 0.67;
const DEFAULT_TIMEOUT: u64 = 600;
const DEFAULT_PROVIDER_TIMEOUT: u64 = 300;
const LONGEST: u64 = 31_536_000;
/// How many executions of one job are under way at once.
const SIDE_BY_SIDE: u32 = 10;

/// What was asked for, checked.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) id: JobId,
    pub(super) regions: Vec<Region>,
    pub(super) min_regions: u64,
    /// For the whole job.
    pub(super) seconds: u64,
    models: Vec<Model>,
    questions: Vec<String>,
    prompt: String,
    min_success_rate: f64,
    provider_seconds: u64,
    /// Whether rows name regions as the portal's page does.
    page_names: bool,
    /// The spec as it is shown.
    shown: Members,
}

/// A model, and where it runs: everywhere when that is not told.
#[derive(Debug, PartialEq, Eq)]
struct Model {
    id: String,
    regions: Option<Vec<Region>>,
}

impl Wish {
    /// Reads a spec. The wrapper is what stands around it where it was sent to `cross-region`.
    pub(super) fn read(spec: &Members, wrapper: Option<&Members>, is_signed: bool) -> Result<Self, String> {
        let benchmark = member(spec, "benchmark")?;
        let name = needed(benchmark.get("name"), "benchmark.name")?;
        needed(
            benchmark.get("container").and_then(|container| container.get("image")),
            "benchmark.container.image",
        )?;
        let input = benchmark.get("input");
        needed(input.and_then(|input| input.get("hash")), "benchmark.input.hash")?;
        let none = Members::new();
        let constraints = match spec.get("constraints") {
            None | Some(Value::Null) => &none,
            Some(_) => member(spec, "constraints")?,
        };
        let named = regions(constraints.get("regions"), "constraints.regions")?;
        let wrapped = wrapper.and_then(|wrapper| wrapper.get("target_regions"));
        let regions = match regions(wrapped, "target_regions")? {
            // The signature does not cover the wrapper.
            wrapped if is_signed && !wrapped.iter().all(|region| named.contains(region)) => {
                return Err(
                    "target_regions names a region that the signed constraints.regions does not".to_owned()
                );
            }
            wrapped if wrapped.is_empty() => named,
            wrapped => wrapped,
        };
        if regions.is_empty() {
            return Err(format!("constraints.regions must name at least one of: {}", Region::KNOWN));
        }
        let version =
            spec.get("version").and_then(Value::as_str).or_else(|| benchmark.get("version")?.as_str());
        let questions = names(spec.get("questions"), "questions")?;
        if questions.is_empty() && version == Some("v1") && name.contains("bias") {
            return Err("questions must name at least one question".to_owned());
        }
        let rules = wrapper.unwrap_or(constraints);
        let wish = Self {
            id: id(spec, name)?,
            regions,
            min_regions: min_regions(rules, wrapper.is_some())?,
            seconds: seconds(constraints, "timeout", DEFAULT_TIMEOUT)?,
            models: models(spec)?,
            questions: if questions.is_empty() { vec![PROMPT.to_owned()] } else { questions },
            prompt: prompt(input),
            min_success_rate: min_success_rate(rules)?,
            provider_seconds: seconds(constraints, "provider_timeout", DEFAULT_PROVIDER_TIMEOUT)?,
            page_names: wrapper.is_some(),
            shown: redacted(spec),
        };
        match wish.cells().count() {
            0 => Err("models: none of them runs in a region of this job".to_owned()),
            1..=MOST_EXECUTIONS => Ok(wish),
            count => Err(format!(
                "regions, models and questions make {count} executions; at most {MOST_EXECUTIONS} are taken"
            )),
        }
    }

    /// By region, then question, then model.
    fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        self.regions.iter().flat_map(move |region| {
            self.questions.iter().flat_map(move |question| {
                let here = self.models.iter().filter(|model| model.runs_in(*region));
                here.map(move |model| self.cell(*region, question, &model.id))
            })
        })
    }

    fn cell<'a>(&'a self, region: Region, question: &'a str, model: &'a str) -> Cell<'a> {
        Cell {
            model,
            region: region.router(),
            area: region.area(),
            shown_region: if self.page_names { region.code() } else { region.router() },
            question,
            prompt: if question == PROMPT && !self.prompt.is_empty() {
                &self.prompt
            } else {
                text_of(question)
            },
            seconds: self.provider_seconds,
        }
    }

    /// The job that it becomes.
    pub(super) fn into_job(self, template: &Template) -> JobSpec {
        let mut job = JobSpec::new(self.cells().map(|cell| template.fill(cell)))
            .with_label(WIRE.0, WIRE.1)
            .with_label(ROWS, rows_of(&self.id).to_string())
            .with_min_success_rate(self.min_success_rate)
            .with_timeout_seconds(self.seconds)
            .with_max_parallel(SIDE_BY_SIDE);
        let mut shown = self.shown;
        if self.page_names {
            let constraints = shown.entry("constraints").or_insert_with(|| json!({}));
            constraints["regions"] = self.regions.iter().map(|region| region.code()).collect();
            constraints["min_regions"] = self.min_regions.into();
            constraints["min_success_rate"] = self.min_success_rate.into();
        }
        shown.insert("id".to_owned(), self.id.as_str().into());
        job.id = Some(self.id);
        job.with_attachment(Value::Object(shown))
    }
}

impl Model {
    fn runs_in(&self, region: Region) -> bool {
        self.regions.as_ref().is_none_or(|regions| regions.contains(&region))
    }
}

fn member<'a>(of: &'a Members, name: &str) -> Result<&'a Members, String> {
    of.get(name).and_then(Value::as_object).ok_or_else(|| format!("{name} must be an object"))
}

fn needed<'a>(value: Option<&'a Value>, name: &str) -> Result<&'a str, String> {
    let text = value.and_then(Value::as_str).filter(|text| !text.is_empty());
    text.ok_or_else(|| format!("{name} is required"))
}

fn id(spec: &Members, name: &str) -> Result<JobId, String> {
    let given = ["id", "jobspec_id"].iter().find_map(|member| spec.get(*member));
    let id = match given.filter(|id| !id.is_null() && id.as_str() != Some("")) {
        Some(Value::String(id)) => id.clone(),
        Some(_) => return Err("id must be a string".to_owned()),
        None => {
            let legal = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
            let name: String = name.chars().take(64).map(legal).collect();
            format!("{name}-{}", RandomIds.uuid())
        }
    };
    JobId::new(id).map_err(|error| error.to_string())
}

fn list<'a>(value: Option<&'a Value>, name: &str) -> Result<&'a [Value], String> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("{name} must be a list")),
    }
}

/// Different texts that can be labels, in the order given.
fn names(value: Option<&Value>, name: &str) -> Result<Vec<String>, String> {
    let texts = list(value, name)?.iter().map(|item| label(item, name));
    different(texts.collect::<Result<_, _>>()?)
}

fn label(value: &Value, name: &str) -> Result<String, String> {
    let text = value.as_str().filter(|text| (1..=256).contains(&text.len()) && !text.contains('\0'));
    text.map(str::to_owned).ok_or_else(|| format!("{name} must hold strings of 1 to 256 bytes without a NUL"))
}

fn different(texts: Vec<String>) -> Result<Vec<String>, String> {
    let mut seen = BTreeSet::new();
    Ok(texts.into_iter().filter(|text| seen.insert(text.clone())).collect())
}

fn regions(value: Option<&Value>, name: &str) -> Result<Vec<Region>, String> {
    let mut regions = Vec::new();
    for item in list(value, name)? {
        let region = item.as_str().and_then(Region::read);
        let region =
            region.ok_or_else(|| format!("{name}: {item} is not a region here; known: {}", Region::KNOWN))?;
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    Ok(regions)
}

/// From `models`, else from `metadata.models`, else from `metadata.model`; as ids, or as objects with one.
fn models(spec: &Members) -> Result<Vec<Model>, String> {
    let metadata = spec.get("metadata");
    let of_metadata = |name: &str| metadata.and_then(|metadata| metadata.get(name));
    for (given, name) in [(spec.get("models"), "models"), (of_metadata("models"), "metadata.models")] {
        let mut models: Vec<Model> = Vec::new();
        for item in list(given, name)? {
            let model = model(item, name)?;
            if models.iter().all(|other| other.id != model.id) {
                models.push(model);
            }
        }
        if !models.is_empty() {
            return Ok(models);
        }
    }
    let one = of_metadata("model").filter(|model| model.as_str().is_some_and(|model| !model.is_empty()));
    let id = one.map_or_else(|| Ok(DEFAULT_MODEL.to_owned()), |model| label(model, "metadata.model"))?;
    Ok(vec![Model { id, regions: None }])
}

fn model(item: &Value, name: &str) -> Result<Model, String> {
    let Value::Object(members) = item else { return Ok(Model { id: label(item, name)?, regions: None }) };
    let id = label(members.get("id").unwrap_or(&Value::Null), &format!("{name}[].id"))?;
    let places = regions(members.get("regions"), &format!("{name}[].regions"))?;
    Ok(Model { id, regions: (!places.is_empty()).then_some(places) })
}

fn prompt(input: Option<&Value>) -> String {
    let prompt = input.and_then(|input| input.get("data")?.get("prompt")?.as_str());
    prompt.unwrap_or_default().to_owned()
}

fn number<'a>(of: &'a Members, name: &str) -> Option<&'a Value> {
    of.get(name).filter(|value| !value.is_null() && value.as_f64() != Some(0.0))
}

fn min_regions(rules: &Members, is_wrapper: bool) -> Result<u64, String> {
    let Some(value) = number(rules, "min_regions") else { return Ok(if is_wrapper { 3 } else { 1 }) };
    value.as_u64().ok_or_else(|| "min_regions must be a whole number".to_owned())
}

fn min_success_rate(rules: &Members) -> Result<f64, String> {
    let Some(value) = number(rules, "min_success_rate") else { return Ok(DEFAULT_RATE) };
    let rate = value.as_f64().filter(|rate| (0.0..=1.0).contains(rate));
    rate.ok_or_else(|| "min_success_rate must be a number from 0 to 1".to_owned())
}

/// A time in whole nanoseconds, as seconds rounded up.
fn seconds(constraints: &Members, name: &str, default: u64) -> Result<u64, String> {
    const SECOND: u64 = 1_000_000_000;
    let Some(value) = number(constraints, name) else { return Ok(default) };
    let nanoseconds = value.as_u64().filter(|time| *time <= LONGEST * SECOND);
    nanoseconds.map(|time| time.div_ceil(SECOND)).ok_or_else(|| {
        format!("constraints.{name} must be a whole number of nanoseconds, at most {LONGEST} seconds")
    })
}

/// What a retry of this cell asks for, from the spec of its job as it is kept.
pub(super) fn one_cell(kept: &Members, cell: (&str, &str, &str), id: JobId) -> Result<Wish, String> {
    let (region, model, question) = cell;
    let mut spec = kept.clone();
    spec.remove("models");
    spec.insert("id".to_owned(), id.as_str().into());
    spec.insert("questions".to_owned(), if question == PROMPT { json!([]) } else { json!([question]) });
    for (part, member, value) in
        [("metadata", "models", json!([model])), ("constraints", "regions", json!([region]))]
    {
        let part = spec.entry(part).or_insert_with(|| json!({}));
        if !part.is_object() {
            *part = json!({});
        }
        part[member] = value;
    }
    let mut wish = Wish::read(&spec, None, false)?;
    wish.page_names = Region::read(region).is_some_and(|known| known.code() == region);
    Ok(wish)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Value {
        json!({
            "id": "bias-detection-1", "version": "v1",
            "benchmark": {"name": "bias-detection", "container": {"image": "i"}, "input": {"hash": "h"}},
            "constraints": {"regions": ["US", "EU"], "timeout": 600_000_000_000_u64},
            "questions": ["math_basic", "my own"], "metadata": {"models": ["a", {"id": "b", "name": "B"}, "a"]}
        })
    }

    fn read(spec: &Value, wrapper: Option<&Value>, is_signed: bool) -> Result<Wish, String> {
        Wish::read(spec.as_object().unwrap(), wrapper.map(|wrapper| wrapper.as_object().unwrap()), is_signed)
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut spec = spec();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[name] = value;
        spec
    }

    #[test]
    fn regions_questions_and_models_become_executions() {
        let job = read(&spec(), None, false).unwrap().into_job(&Template::built_in());
        let cells: Vec<_> = job
            .executions
            .iter()
            .map(|execution| {
                ["region", "question", "model"].map(|label| execution.labels[label].as_str()).join(" ")
            })
            .collect();
        assert_eq!(
            cells[..4],
            ["us-east math_basic a", "us-east math_basic b", "us-east my own a", "us-east my own b"]
        );
        assert_eq!((cells.len(), cells[4].as_str()), (8, "eu-west math_basic a"));
        assert_eq!(job.executions[0].input["command"][6], "What is 2+2?");
        assert_eq!(job.executions[2].input["command"][6], "my own");
        assert_eq!((job.timeout_seconds, job.executions[0].timeout_seconds), (Some(600), Some(300)));
        assert_eq!((job.min_success_rate, job.max_parallel), (0.67, Some(10)));
    }

    #[test]
    fn a_model_runs_only_where_it_is_said_to() {
        let models = json!([{"id": "a", "regions": ["EU"]}, {"id": "b", "regions": ["us-east", "EU"]}]);
        let job = read(&with("/models", models), None, false).unwrap().into_job(&Template::built_in());
        assert_eq!(job.executions.len(), 6);
        let nowhere = with("/models", json!([{"id": "a", "regions": ["ASIA"]}]));
        assert!(read(&nowhere, None, false).unwrap_err().contains("models"));
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_the_member() {
        for (pointer, value, named) in [
            ("/benchmark/name", json!(""), "benchmark.name"),
            ("/benchmark/container", json!(null), "benchmark.container.image"),
            ("/benchmark/input", json!({}), "benchmark.input.hash"),
            ("/constraints/regions", json!([]), "constraints.regions"),
            ("/constraints/regions", json!(["mars"]), "mars"),
            ("/constraints/timeout", json!("10m"), "constraints.timeout"),
            ("/constraints/timeout", json!(-1), "constraints.timeout"),
            ("/constraints/provider_timeout", json!(1.5), "constraints.provider_timeout"),
            ("/constraints/min_success_rate", json!(2), "min_success_rate"),
            ("/questions", json!([]), "questions"),
            ("/questions", json!([7]), "questions"),
            ("/questions", json!((0..4096).map(|n| n.to_string()).collect::<Vec<_>>()), "at most 4096"),
            ("/id", json!("a b"), "id"),
            ("/id", json!(7), "id"),
        ] {
            let why = read(&with(pointer, value.clone()), None, false).unwrap_err();
            assert!(why.contains(named), "{pointer} {value}: {why}");
        }
    }

    #[test]
    fn the_wrapper_may_narrow_what_was_signed_but_not_widen_it() {
        let wrapper = json!({"target_regions": ["EU"], "min_success_rate": 0.5});
        let wish = read(&spec(), Some(&wrapper), true).unwrap();
        assert_eq!((wish.regions.as_slice(), wish.min_success_rate), (&[Region::EuWest][..], 0.5));
        let wide = json!({"target_regions": ["EU", "ASIA"]});
        assert!(read(&spec(), Some(&wide), true).unwrap_err().contains("target_regions"));
        assert_eq!(read(&spec(), Some(&wide), false).unwrap().regions.len(), 2);
    }
}
