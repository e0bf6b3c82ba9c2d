//! Executions as a portal's page has them.

use std::collections::BTreeMap;

use beacon_jobs::job::{ExecutionRecord, ExecutionStatus, JobDetail, JobRecord};
use beacon_jobs::store::{ExecutionPage, JobFilter};
use beacon_jobs::{JobId, Jobs, Result};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::words::{MODEL, QUESTION, REGION, RETRY_OF, RETRY_ROW, labels, row_number, row_word};

/// How often a row may be tried again.
pub(super) const MAX_RETRIES: usize = 3;

/// A time as the page reads it.
pub(super) fn time_text(time: OffsetDateTime) -> Option<String> {
    time.format(&Rfc3339).ok()
}

/// The retries of a job's rows, newest first, by the index of the row.
pub(super) type Retries = BTreeMap<u32, Vec<JobRecord>>;

/// Finds the retries of a job.
///
/// # Cancellation safety
/// Changes nothing.
pub(super) async fn retries(jobs: &Jobs, job: &JobRecord) -> Result<Retries> {
    let mut retries = Retries::new();
    if job.progress.failed == 0 {
        return Ok(retries);
    }
    let owner = Some(job.owner.clone());
    let labels = labels([(RETRY_OF, job.id.to_string())]);
    let mut filter = JobFilter { owner, labels, limit: 200, ..JobFilter::default() };
    loop {
        let page = jobs.list(&filter).await?;
        for retry in page.jobs {
            if let Some(index) = retry.labels.get(RETRY_ROW).and_then(|index| index.parse().ok()) {
                retries.entry(index).or_default().push(retry);
            }
        }
        match page.next_cursor {
            Some(cursor) => filter.cursor = Some(cursor),
            None => return Ok(retries),
        }
    }
}

/// The id of a row's retry.
pub(super) fn retry_id(row: u64, number: usize) -> Result<JobId> {
    JobId::new(format!("retry-{row}-{number}"))
}

/// How much of an answer a row shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Texts {
    /// Its first characters: a page asks for many rows, and often.
    Short,
    /// All of it.
    Whole,
}

/// How many characters a short text has.
const SHORT: usize = 4096;

/// The rows of a page of executions, each with what its newest retry brought.
///
/// # Cancellation safety
/// Changes nothing.
pub(super) async fn of(jobs: &Jobs, detail: &JobDetail, texts: Texts) -> Result<Vec<Value>> {
    let retries = retries(jobs, &detail.job).await?;
    let mut rows = Vec::with_capacity(detail.executions.len());
    for record in &detail.executions {
        let tried = retries.get(&record.index).map_or(&[][..], Vec::as_slice);
        let newest = match tried.first() {
            Some(newest) => jobs.get(&newest.id, ExecutionPage { offset: 0, limit: 1 }).await?,
            None => None,
        };
        rows.push(row(&detail.job, record, tried.len(), newest.as_ref(), texts));
    }
    Ok(rows)
}

fn row(
    job: &JobRecord,
    record: &ExecutionRecord,
    retry_count: usize,
    newest: Option<&JobDetail>,
    texts: Texts,
) -> Value {
    let newest = newest.and_then(|newest| Some((&newest.job, newest.executions.first()?)));
    let status = match newest {
        Some((retry, _)) if !retry.status.is_terminal() => "retrying",
        Some((_, last)) => row_word(last.status),
        None => row_word(record.status),
    };
    let last = newest.map_or(record, |(_, last)| last);
    let label = |name: &str| record.labels.get(name).map_or("", String::as_str);
    let mut row = json!({
        "id": row_number(&job.id, record.index),
        "job_id": job.id,
        "region": label(REGION),
        "provider_id": record.executor,
        "status": status,
        "model_id": label(MODEL),
        "question_id": label(QUESTION),
        "response_classification": "unknown",
        "is_substantive": false,
        "is_content_refusal": false,
        "created_at": time_text(job.created_at),
        "retry_count": retry_count,
        "max_retries": MAX_RETRIES,
        "has_receipt": receipt(last).is_some(),
    });
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            row[name] = value;
        }
    };
    add("started_at", record.started_at.and_then(time_text).map(Value::from));
    add("completed_at", last.finished_at.and_then(time_text).map(Value::from));
    add("last_retry_at", newest.and_then(|(retry, _)| time_text(retry.created_at)).map(Value::from));
    add("receipt", receipt(last).cloned());
    add(
        "stop",
        record.stop.as_ref().map(
            |stop| json!({ "state": stop.state, "confirmed_at": stop.confirmed_at.and_then(time_text) }),
        ),
    );
    if last.status == ExecutionStatus::Completed {
        let text = last.output.as_ref().map(response);
        add("response_length", text.as_ref().map(|text| text.chars().count().into()));
        add("output", text.map(|text| json!({ "response": shown(text, texts) })));
    }
    if let Some(failure) = &last.error {
        add("error", Some(failure.message.clone().into()));
        add("failure_reason", Some(failure.message.clone().into()));
        add("failure", Some(json!({ "code": failure.kind, "message": failure.message })));
    }
    row
}

/// What was answered, as text: what the executor calls so, else all of its output.
fn response(output: &Value) -> String {
    let known = ["response", "stdout", "text"].iter().find_map(|name| output.get(*name)?.as_str());
    known.or(output.as_str()).map_or_else(|| output.to_string(), |text| text.trim_end().to_owned())
}

fn shown(text: String, texts: Texts) -> String {
    match text.char_indices().nth(SHORT) {
        Some((end, _)) if texts == Texts::Short => format!("{}…", text.get(..end).unwrap_or_default()),
        _ => text,
    }
}

/// The receipt that the executor's output has, if it has one.
pub(super) fn receipt(record: &ExecutionRecord) -> Option<&Value> {
    record.output.as_ref()?.get("receipt").filter(|receipt| receipt.is_object())
}
