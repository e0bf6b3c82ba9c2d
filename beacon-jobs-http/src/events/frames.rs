use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use beacon_jobs::JobId;
use beacon_jobs::job::{
    ExecutionOutline, ExecutionProgress, ExecutionStatus, Failure, JobOutline, JobRecord, StopCounts,
    StopRecord,
};
use beacon_jobs::stop::StopState;
use serde::Serialize;
use time::OffsetDateTime;

use super::view::{Mark, View};

/// How many bytes of events go out at a time, at least, where so many wait.
const CHUNK: usize = 16 * 1024;

/// What `job` events tell: the job as the list of jobs has it, and how its stops stand.
#[derive(Serialize)]
struct Job<'a> {
    #[serde(flatten)]
    job: &'a JobRecord,
    stops: StopCounts,
    /// True in the last event of a job.
    over: bool,
}

/// What `execution` events tell. Its outputs are read with the job.
#[derive(Serialize)]
struct Execution<'a> {
    job_id: &'a JobId,
    /// Its place in the job's list, from 0, in decimal digits.
    id: String,
    status: ExecutionStatus,
    attempt: u32,
    #[serde(with = "time::serde::rfc3339::option")]
    started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
    progress: &'a Option<ExecutionProgress>,
    error: &'a Option<Failure>,
}

/// What `stop` events tell.
#[derive(Serialize)]
struct Stop<'a> {
    job_id: &'a JobId,
    /// The execution whose stop this is.
    execution_id: String,
    #[serde(flatten)]
    stop: &'a StopRecord,
}

/// The progress of executions that a client was told of, by their places. No id of an event speaks of
/// it: after a reconnect it is told again.
pub(super) type Told = HashMap<usize, ExecutionProgress>;

/// Whether a client is to be told of progress that does not come with a change of the state.
fn is_news(told: &Told, index: usize, execution: &ExecutionOutline) -> bool {
    !execution.status.is_terminal()
        && execution.progress.is_some()
        && told.get(&index) != execution.progress.as_ref()
}

/// A job as it was at one moment, while what is new in it is told: first of its executions in the
/// order of the list, each with its stop, then of the job, whose counts fit what was told.
#[derive(Debug)]
pub(super) struct Pass {
    outline: Arc<JobOutline>,
    /// The executions that the client does not know so.
    news: std::vec::IntoIter<usize>,
    tells_job: bool,
}

impl Pass {
    pub(super) fn new(outline: Arc<JobOutline>, view: &mut View, told: &Told) -> Self {
        view.fit(outline.executions.len());
        let executions = outline.executions.iter().zip(view.marks()).enumerate();
        let differ = executions.filter(|(index, (execution, was))| {
            *was != Some(Mark::of(execution)) || is_news(told, *index, execution)
        });
        let news: Vec<usize> = differ.map(|(index, _)| index).collect();
        Self { outline, news: news.into_iter(), tells_job: true }
    }

    /// The next events; `None` when all is told.
    pub(super) fn next(&mut self, view: &mut View, told: &mut Told) -> Option<Bytes> {
        let mut frames = String::new();
        while frames.len() < CHUNK
            && let Some(index) = self.news.next()
        {
            self.execution(&mut frames, view, told, index);
        }
        if frames.len() < CHUNK && std::mem::take(&mut self.tells_job) {
            self.job(&mut frames, view);
        }
        (!frames.is_empty()).then(|| frames.into())
    }

    fn execution(&self, frames: &mut String, view: &mut View, told: &mut Told, index: usize) {
        let Some(execution) = self.outline.executions.get(index) else { return };
        let mark = Mark::of(execution);
        let was = view.mark(index);
        let state = Mark { stop: was.map_or(StopState::NotNeeded, |was| was.stop), ..mark };
        let job_id = &self.outline.job.id;
        if was != Some(state) || is_news(told, index, execution) {
            view.tell(index, state);
            let ExecutionOutline { status, attempt, started_at, finished_at, progress, error, .. } =
                execution;
            match progress {
                Some(progress) => told.insert(index, progress.clone()),
                None => told.remove(&index),
            };
            let body = Execution {
                job_id,
                id: index.to_string(),
                status: *status,
                attempt: *attempt,
                started_at: *started_at,
                finished_at: *finished_at,
                progress,
                error,
            };
            frame(frames, view, "execution", &json(&body));
        }
        if state != mark
            && let Some(stop) = &execution.stop
        {
            view.tell(index, mark);
            frame(frames, view, "stop", &json(&Stop { job_id, execution_id: index.to_string(), stop }));
        }
    }

    fn job(&self, frames: &mut String, view: &mut View) {
        let JobOutline { job, stops, .. } = &*self.outline;
        let body = json(&Job { job, stops: *stops, over: self.outline.is_over() });
        if !view.knows_job(body.as_bytes()) {
            view.tell_job(body.as_bytes());
            frame(frames, view, "job", &body);
        }
    }
}

/// Times, words, numbers and JSON values always have a JSON form, which is one line.
fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_default()
}

fn frame(frames: &mut String, view: &View, event: &str, data: &str) {
    for part in ["event: ", event, "\nid: ", &view.id(), "\ndata: ", data, "\n\n"] {
        frames.push_str(part);
    }
}
