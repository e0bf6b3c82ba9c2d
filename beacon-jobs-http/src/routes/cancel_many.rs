use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use beacon_jobs::cancel::{CancelOutcome, CancelRequest};
use beacon_jobs::job::{JobRecord, JobStatus, StopCounts};
use beacon_jobs::store::ExecutionPage;
use beacon_jobs::{CancelAnswer, ErrorKind, JobId, Jobs};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::filter::{Filter, OPEN, take_filter};
use super::wish::{WORDS, finish, members, take, take_wish};
use super::{json, to_the_end};
use crate::api::Shared;
use crate::problem::{Code, Problem};
use crate::query::Query;
use crate::upload::Upload;

/// How many jobs share a commit.
const BATCH: u32 = 1_000;

/// How many jobs a request cancels at most.
const MOST: usize = 10_000;

/// How many jobs are read at a time.
const READS: usize = 16;

/// What became of the jobs that were meant.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CancelledMany))]
struct Answer {
    cancelled: usize,
    jobs: Vec<Cancelled>,
    skipped: Vec<Skipped>,
    /// Nothing was changed; this is what would have been.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// Further jobs fit the filter; the same request again goes on with them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

/// A job that was cancelled.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CancelledOfMany))]
struct Cancelled {
    id: JobId,
    previous_status: JobStatus,
    context_cancelled: bool,
    executions_cancelled: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stops: Option<StopCounts>,
}

/// A job that was not, and why.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct Skipped {
    id: JobId,
    why: Why,
    /// Its outcome, if that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<JobStatus>,
    /// It was cancelled before; this request has shortened the grace of its stops.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    escalated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = WhySkipped))]
enum Why {
    NotFound,
    Forbidden,
    AlreadyFinished,
    AlreadyCancelled,
    /// It was named, and is not in the status or has not the labels that were asked for.
    NoMatch,
}

#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/api/v1/jobs/cancel", operation_id = "cancelJobs", tag = "cancel",
    description = "Cancels the jobs that fit the filter and that the caller may cancel.",
    request_body(content = crate::openapi::CancelManyWish, content_type = "application/json"),
    responses((status = 200, description = "What was cancelled, and what was not and why", body = Answer)),
))]
pub(super) async fn cancel_many(State(api): State<Shared>, request: Request) -> Result<Response, Problem> {
    let upload = Upload::of(request);
    let principal = match api.uncounted(upload.head()).await {
        Ok(principal) => principal,
        Err(problem) => return Err(upload.refuse(problem).await),
    };
    let received = upload.read(api.max_body).await?;
    let mut members = members(&received)?;
    let filter = take_filter(&mut members)?;
    let dry_run = match take(&mut members, "dry_run") {
        None => false,
        Some(dry_run) => {
            dry_run.as_bool().ok_or_else(|| Problem::invalid("dry_run", "must be true or false"))?
        }
    };
    let request = take_wish(principal.actor(), &mut members)?;
    finish(&members, "", &format!("filter, dry_run, {WORDS}"))?;
    Query::of(&received.head.uri).finish("none")?;

    let bulk = Bulk { jobs: api.jobs.clone(), filter, request, dry_run, changed: false };
    json(StatusCode::OK, &to_the_end(bulk.run()).await??)
}

/// A cancel of many jobs at work.
struct Bulk {
    jobs: Jobs,
    filter: Filter,
    request: CancelRequest,
    dry_run: bool,
    /// Whether a batch was committed.
    changed: bool,
}

impl Bulk {
    async fn run(mut self) -> Result<Answer, Problem> {
        let mut answer = Answer { dry_run: self.dry_run, ..Answer::default() };
        let outcome = match self.filter.ids.take() {
            Some(ids) => self.named(ids, &mut answer).await,
            None => self.found(&mut answer).await,
        };
        match outcome {
            // What was committed before stays.
            Err(error) if self.changed && error.kind() == ErrorKind::Unavailable => {
                tracing::warn!(%error, cancelled = answer.jobs.len(), "the store went away between two batches");
                let detail =
                    "the store was lost when a part of the jobs was cancelled; send the same request again";
                Err(Problem::new(Code::OutcomeUnknown, detail))
            }
            Err(error) => Err(error.into()),
            Ok(()) => {
                answer.cancelled = answer.jobs.len();
                Ok(answer)
            }
        }
    }

    /// Cancels those of the jobs named that fit.
    async fn named(&mut self, mut ids: Vec<JobId>, answer: &mut Answer) -> beacon_jobs::Result<()> {
        if self.dry_run || self.filter.is_narrower_than_ids() {
            let jobs = self.jobs.clone();
            let reads = ids.into_iter().map(|id| read(jobs.clone(), id));
            let read: Vec<_> = stream::iter(reads).buffered(READS).try_collect().await?;
            let mut fit = Vec::new();
            for (id, record) in read {
                match self.why_not(record.as_ref()) {
                    Some((why, status)) => {
                        answer.skipped.push(Skipped { id, why, status, escalated: false });
                    }
                    None => fit.extend(record),
                }
            }
            return self.act(fit, answer).await;
        }
        // The commit itself tells of each what it is.
        let answers = self.commit(&std::mem::take(&mut ids)).await?;
        answer.take(answers);
        Ok(())
    }

    /// Why a job that was named is not cancelled.
    fn why_not(&self, record: Option<&JobRecord>) -> Option<(Why, Option<JobStatus>)> {
        let Some(record) = record else { return Some((Why::NotFound, None)) };
        if !self.request.by.may_act_for(&record.owner) {
            return Some((Why::Forbidden, None));
        }
        if !self.filter.fits(record) {
            return Some((Why::NoMatch, None));
        }
        match record.status {
            JobStatus::Cancelled if self.dry_run => Some((Why::AlreadyCancelled, None)),
            status if status.is_terminal() && self.dry_run => Some((Why::AlreadyFinished, Some(status))),
            _ => None,
        }
    }

    /// Cancels all jobs that fit. A job goes from queued to running, so none of them is missed.
    async fn found(&mut self, answer: &mut Answer) -> beacon_jobs::Result<()> {
        for status in OPEN {
            if self.filter.status.is_some_and(|wanted| wanted != status) {
                continue;
            }
            let mut page = self.filter.page(&self.request.by, status, BATCH);
            loop {
                let list = self.jobs.list(&page).await?;
                self.act(list.jobs, answer).await?;
                page.cursor = list.next_cursor;
                if page.cursor.is_none() {
                    break;
                }
                if answer.jobs.len() >= MOST {
                    answer.more = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Cancels these, or says that they would be.
    async fn act(&mut self, records: Vec<JobRecord>, answer: &mut Answer) -> beacon_jobs::Result<()> {
        if self.dry_run {
            answer.jobs.extend(records.into_iter().map(|record| Cancelled {
                context_cancelled: self.jobs.contexts().is_running(&record.id),
                id: record.id,
                previous_status: record.status,
                executions_cancelled: record.progress.queued + record.progress.running,
                stops: None,
            }));
            return Ok(());
        }
        let ids: Vec<JobId> = records.into_iter().map(|record| record.id).collect();
        let answers = self.commit(&ids).await?;
        answer.take(answers);
        Ok(())
    }

    async fn commit(&mut self, ids: &[JobId]) -> beacon_jobs::Result<Vec<(JobId, CancelAnswer)>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let answers = self.jobs.cancel_many(ids, &self.request).await?;
        self.changed = true;
        Ok(ids.iter().cloned().zip(answers).collect())
    }
}

async fn read(jobs: Jobs, id: JobId) -> beacon_jobs::Result<(JobId, Option<JobRecord>)> {
    let detail = jobs.get(&id, ExecutionPage::NONE).await?;
    Ok((id, detail.map(|detail| detail.job)))
}

impl Answer {
    fn take(&mut self, answers: Vec<(JobId, CancelAnswer)>) {
        for (id, answer) in answers {
            let (why, status, escalated) = match answer.outcome {
                CancelOutcome::Cancelled { record, stops, .. } => {
                    self.jobs.push(Cancelled {
                        id,
                        previous_status: record.previous_status,
                        context_cancelled: answer.context_cancelled,
                        executions_cancelled: record.executions_cancelled,
                        stops: Some(stops),
                    });
                    continue;
                }
                CancelOutcome::AlreadyCancelled { escalation, .. } => {
                    (Why::AlreadyCancelled, None, escalation.is_some())
                }
                CancelOutcome::AlreadyFinished { status } => (Why::AlreadyFinished, Some(status), false),
                CancelOutcome::NotYours => (Why::Forbidden, None, false),
                _ => (Why::NotFound, None, false),
            };
            self.skipped.push(Skipped { id, why, status, escalated });
        }
    }
}
