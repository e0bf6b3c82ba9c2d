//! The model and the store beside it, which take each operation in turn.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest, StopMode};
use beacon_jobs::job::{ExecutionProgress, ExecutionSpec, Failure, FailureKind, JobSpec, JobStatus};
use beacon_jobs::stop::{Handle, StopItem};
use beacon_jobs::store::{
    Claim, CloseStop, ExecutionPage, ExecutionResult, FinishExecution, FinishJob, HostBound, JobFilter,
    JobStore, MemoryStore, Release, ReportProgress, SaveHandle, Seal, StartExecution, StartOutcome,
    StopAnswer, StopUpdate, Submission, TakeStops,
};
use beacon_jobs::{AttemptId, JobId};
use serde_json::json;

use crate::known::{JOBS, Known, executors, job_id};
use crate::ops::{Ending, Op, Start};
use crate::stores::Time;

const LEASE: Duration = Duration::from_secs(30);

/// Makes the call on both stores, and returns the answer that both gave.
macro_rules! both {
    ($pair:expr, $call:ident($($argument:expr),*)) => {{
        let memory = $pair.memory.$call($($argument),*).await.unwrap();
        let other = $pair.other.$call($($argument),*).await.unwrap();
        assert_eq!(memory, other, "memory and {} differ about {}", $pair.other, stringify!($call));
        memory
    }};
}

pub(crate) struct Pair {
    memory: MemoryStore,
    other: Arc<dyn JobStore>,
    time: Time,
    known: Known,
}

impl Pair {
    pub(crate) async fn new(other: Arc<dyn JobStore>, time: Time) -> Self {
        let memory = MemoryStore::with_clock(Arc::clone(time.clock()) as _);
        let mut pair = Self { memory, other, time, known: Known::default() };
        let identity = pair.known.identity();
        both!(pair, join(&identity, LEASE));
        pair
    }

    pub(crate) async fn run(mut self, ops: &[Op]) {
        for (number, op) in ops.iter().enumerate() {
            self.step(op).await;
            if number % 8 == 7 {
                self.compare().await;
            }
        }
    }

    fn claim(&self, limit: u32, names: usize, running: usize) -> Claim {
        let incarnation = self.known.node.unwrap();
        Claim { incarnation, executors: executors(names), running: (0..running).map(job_id).collect(), limit }
    }

    fn start(&mut self, start: &Start) -> StartExecution {
        let attempt = match start.repeats {
            Some(age) => self.known.attempt(age).2,
            None => AttemptId::from_uuid(self.known.mint()),
        };
        let fence = self.known.fence(start.job, start.fence);
        StartExecution { fence, job: job_id(start.job), index: start.index, attempt }
    }

    async fn step(&mut self, op: &Op) {
        match op {
            Op::Submit { job, owner, key, executions, overlap } => {
                let names = ["one", "two", "one", "one"];
                let spec =
                    JobSpec::new(names.iter().take(*executions as usize).enumerate().map(|(index, name)| {
                        ExecutionSpec::new(*name, json!({ "n": index, "x": 0.1 }))
                            .with_label("i", index.to_string())
                    }))
                    .with_label("size", executions.to_string())
                    .with_min_success_rate(0.5)
                    .with_allow_overlap(*overlap);
                let submission = Submission {
                    id: job_id(*job),
                    owner: format!("owner-{owner}"),
                    idempotency_key: key.map(|key| format!("key-{key}")),
                    digest: spec.digest().unwrap(),
                    spec,
                };
                both!(self, submit(&submission));
            }
            Op::Cancel { job, actor, immediate, grace } => {
                let actor = match actor {
                    2 => Actor::Admin("root".into()),
                    owner => Actor::Owner(format!("owner-{owner}")),
                };
                let mut request = CancelRequest::new(actor).with_grace(Duration::from_secs(*grace));
                if *immediate {
                    request = request.immediate().with_reason("why not");
                }
                let outcome = both!(self, cancel(&job_id(*job), &request));
                if let CancelOutcome::Cancelled { opened, .. } = outcome {
                    let mode = if *immediate { StopMode::Immediate } else { StopMode::Graceful };
                    assert!(opened.iter().all(|item| item.mode == mode));
                }
            }
            Op::CancelMany { jobs, actor } => {
                let actor = match actor {
                    2 => Actor::Admin("root".into()),
                    owner => Actor::Owner(format!("owner-{owner}")),
                };
                let jobs: Vec<_> = jobs.iter().copied().map(job_id).collect();
                let request = CancelRequest::new(actor);
                both!(self, cancel_many(&jobs, &request));
            }
            Op::Claim { limit, executors } => {
                let claim = self.claim(*limit, *executors, 0);
                let claimed = both!(self, claim(&claim));
                self.known.learn(&claimed);
            }
            Op::TakeOver { limit, executors, running } => {
                let claim = self.claim(*limit, *executors, *running);
                let claimed = both!(self, take_over(&claim));
                self.known.learn(&claimed);
            }
            Op::Start(starts) => {
                let starts: Vec<_> = starts.iter().map(|start| self.start(start)).collect();
                let outcomes = both!(self, start(&starts));
                for (start, outcome) in starts.iter().zip(outcomes) {
                    if matches!(outcome, StartOutcome::Started { .. }) {
                        let job = (0..JOBS).find(|job| job_id(*job) == start.job).unwrap();
                        self.known.attempts.push((job, start.index, start.attempt));
                    }
                }
            }
            Op::Save(saves) => {
                let saves: Vec<_> = saves
                    .iter()
                    .map(|(target, handle)| {
                        let (fence, job, index, attempt) = self.known.aim(target);
                        SaveHandle {
                            fence,
                            job,
                            index,
                            attempt,
                            handle: Handle::new(json!({ "call": handle })),
                        }
                    })
                    .collect();
                both!(self, save_handles(&saves));
            }
            Op::Report(reports) => {
                let reports: Vec<_> = reports
                    .iter()
                    .map(|(target, done)| {
                        let (fence, job, index, attempt) = self.known.aim(target);
                        let progress = ExecutionProgress::new(*done);
                        ReportProgress { fence, job, index, attempt, progress }
                    })
                    .collect();
                both!(self, report_progress(&reports));
            }
            Op::Seal(seals) => {
                let seals: Vec<_> = seals
                    .iter()
                    .map(|(target, by)| Seal { attempt: self.known.attempt(target.attempt).2, by: *by })
                    .collect();
                both!(self, seal(&seals));
            }
            Op::Finish(finishes) => {
                let finishes: Vec<_> = finishes
                    .iter()
                    .map(|(target, ending, sealed)| {
                        let (fence, job, index, attempt) = self.known.aim(target);
                        FinishExecution {
                            fence,
                            job,
                            index,
                            attempt,
                            result: result(*ending),
                            sealed: *sealed,
                        }
                    })
                    .collect();
                both!(self, finish(&finishes));
            }
            Op::FinishJob { job, fence, timed_out } => {
                let fence = self.known.fence(*job, *fence);
                both!(self, finish_job(&FinishJob { fence, job: job_id(*job), timed_out: *timed_out }));
            }
            Op::Release { job, fence, sealed } => {
                let fence = self.known.fence(*job, *fence);
                let sealed = sealed.iter().map(|target| self.known.attempt(target.attempt).2).collect();
                let release = Release { fence, job: job_id(*job), sealed };
                both!(self, release(&release));
            }
            Op::TakeStops { executors: names } => {
                let incarnation = self.known.node.unwrap();
                let hold = Duration::from_secs(5);
                let take = TakeStops {
                    incarnation,
                    executors: executors(*names),
                    host_bound: HostBound::default(),
                    hold,
                    limit: 1000,
                };
                let memory = by_attempt(self.memory.take_stops(&take).await.unwrap());
                let other = by_attempt(self.other.take_stops(&take).await.unwrap());
                assert_eq!(memory, other);
            }
            Op::RecordStops(updates) => {
                let updates: Vec<_> = updates
                    .iter()
                    .map(|(target, seen_seal, seen_confirmed, seen_tries, answer)| StopUpdate {
                        attempt: self.known.attempt(target.attempt).2,
                        seen_seal: *seen_seal,
                        seen_confirmed: *seen_confirmed,
                        seen_tries: *seen_tries,
                        answer: answer_of(*answer),
                        due_in: Duration::from_secs(3),
                        watch: true,
                    })
                    .collect();
                both!(self, record_stops(&updates));
            }
            Op::CloseStop(target) => {
                let close = CloseStop {
                    attempt: self.known.attempt(target.attempt).2,
                    by: "root".into(),
                    reason: "looked at it".into(),
                };
                both!(self, close_stop(&close));
            }
            Op::Heartbeat { old } => {
                let node = match old {
                    true => self.known.fence(0, 1).incarnation,
                    false => self.known.node.unwrap(),
                };
                both!(self, heartbeat(node, LEASE));
            }
            Op::NextNode(how) => {
                let node = self.known.node.unwrap();
                both!(self, end_node(node, *how));
                let identity = self.known.identity();
                both!(self, join(&identity, LEASE));
            }
            Op::Prune { keep } => {
                both!(self, prune(Duration::from_secs(*keep), 1000));
            }
            Op::Advance(seconds) => self.time.advance(Duration::from_secs(*seconds)).await,
        }
    }

    async fn compare(&self) {
        for job in (0..JOBS).map(job_id) {
            both!(self, get(&job, ExecutionPage::ALL));
            both!(self, get(&job, ExecutionPage { offset: 1, limit: 2 }));
            both!(self, audit(&job));
        }
        both!(self, nodes());
        let running: Vec<JobId> = (1..3).map(job_id).collect();
        both!(self, held(self.known.node.unwrap(), &running));
        let owner = Some("owner-1".to_owned());
        let labels = [("size".to_owned(), "2".to_owned())].into();
        for filter in [
            JobFilter::default(),
            JobFilter { owner: owner.clone(), ..JobFilter::default() },
            JobFilter { owner, status: Some(JobStatus::Cancelled), ..JobFilter::default() },
            JobFilter { status: Some(JobStatus::Running), ..JobFilter::default() },
            JobFilter { labels, ..JobFilter::default() },
        ] {
            self.compare_lists(&JobFilter { limit: 2, ..filter }).await;
        }
    }

    /// Reads page after page. A cursor means something to its own store alone.
    async fn compare_lists(&self, filter: &JobFilter) {
        let (mut on_memory, mut on_other) = (filter.clone(), filter.clone());
        loop {
            let memory = self.memory.list(&on_memory).await.unwrap();
            let other = self.other.list(&on_other).await.unwrap();
            assert_eq!(memory.jobs, other.jobs, "memory and {} differ about {filter:?}", self.other);
            assert_eq!(memory.next_cursor.is_some(), other.next_cursor.is_some());
            (on_memory.cursor, on_other.cursor) = (memory.next_cursor, other.next_cursor);
            if on_memory.cursor.is_none() {
                return;
            }
        }
    }
}

fn result(ending: Ending) -> ExecutionResult {
    match ending {
        Ending::Completed => ExecutionResult::Completed(json!({ "answer": 0.1 })),
        Ending::Failed { output, retry, counts } => ExecutionResult::Failed {
            failure: Failure::new(FailureKind::Failed, "it \"failed\"\nbadly"),
            output: output.then(|| json!(["what", null, 1e300])),
            retry,
            counts,
        },
    }
}

fn answer_of(choice: u8) -> StopAnswer {
    let evidence = json!({ "containers": [1, choice] });
    let why = "no \u{1F6D1} answer".to_owned();
    match choice {
        0 => StopAnswer::Nothing { why },
        1 => StopAnswer::Acknowledged { evidence },
        2 | 3 => StopAnswer::Ended { evidence, seals: false },
        4 => StopAnswer::Ended { evidence: json!("gone"), seals: true },
        5 => StopAnswer::Unconfirmed { why, evidence: Some(evidence), settled: false, again: true },
        _ => StopAnswer::Unconfirmed { why, evidence: None, settled: true, again: choice == 6 },
    }
}

fn by_attempt(mut items: Vec<StopItem>) -> Vec<StopItem> {
    items.sort_by_key(|item| item.attempt);
    items
}
