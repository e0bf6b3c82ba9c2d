//! Random operations on the memory store and on SQLite, or Postgres, give the same answers and leave
//! the same state. The memory store is the model: it is small, and its rows are always loaded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest, StopMode};
use beacon_jobs::clock::Clock;
use beacon_jobs::conformance::ManualClock;
use beacon_jobs::host::ProcessIdentity;
use beacon_jobs::job::{ExecutionSpec, Failure, FailureKind, JobSpec, JobStatus};
use beacon_jobs::stop::{Handle, SealedBy, StopItem};
use beacon_jobs::store::postgres::PostgresStoreOptions;
use beacon_jobs::store::sqlite::SqliteStoreOptions;
use beacon_jobs::store::{
    Claim, ClaimedJob, CloseStop, ExecutionPage, ExecutionResult, Fence, FinishExecution, FinishJob,
    HostBound, JobFilter, JobStore, MemoryStore, NodeEnd, NodeIdentity, Release, SaveHandle, Seal,
    StartExecution, StartOutcome, StopAnswer, StopUpdate, Submission, TakeStops,
};
use beacon_jobs::{AttemptId, IncarnationId, JobId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use sqlx::Executor;

#[path = "support/postgres.rs"]
mod server;

const JOBS: usize = 3;
const MOST: u32 = 4;
const LEASE: Duration = Duration::from_secs(30);

/// An attempt, its execution as the writer names it, and a fence.
#[derive(Clone, Debug)]
struct Target {
    /// Which of the attempts known, from the newest.
    attempt: usize,
    /// Another execution than its own.
    elsewhere: Option<(usize, u32)>,
    /// How old the fence is: 0 is the job's newest.
    fence: usize,
}

#[derive(Clone, Debug)]
enum Op {
    Submit { job: usize, owner: usize, key: Option<usize>, executions: u32, overlap: bool },
    Cancel { job: usize, actor: usize, immediate: bool, grace: u64 },
    CancelMany { jobs: Vec<usize>, actor: usize },
    Claim { limit: u32, executors: usize },
    TakeOver { limit: u32, executors: usize, running: usize },
    Start(Vec<Start>),
    Save(Vec<(Target, u8)>),
    Seal(Vec<(Target, SealedBy)>),
    Finish(Vec<(Target, Ending, bool)>),
    FinishJob { job: usize, fence: usize, timed_out: bool },
    Release { job: usize, fence: usize, sealed: Vec<Target> },
    TakeStops { executors: usize },
    RecordStops(Vec<(Target, Option<SealedBy>, bool, u8)>),
    CloseStop(Target),
    Heartbeat { old: bool },
    NextNode(NodeEnd),
    Prune { keep: u64 },
    Advance(u64),
}

#[derive(Clone, Debug)]
struct Start {
    job: usize,
    index: u32,
    fence: usize,
    /// An attempt that is known already; a new one when there is none.
    repeats: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Completed,
    Failed { output: bool, retry: bool, counts: bool },
}

/// Mostly what fits.
fn age() -> impl Strategy<Value = usize> {
    prop_oneof![9 => Just(0_usize), 1 => 1..3_usize]
}

fn target() -> impl Strategy<Value = Target> {
    (0..5_usize, proptest::option::weighted(0.05, (0..JOBS, 0..=MOST)), age())
        .prop_map(|(attempt, elsewhere, fence)| Target { attempt, elsewhere, fence })
}

fn start() -> impl Strategy<Value = Start> {
    (0..JOBS, 0..=MOST, age(), proptest::option::weighted(0.1, 0..5_usize))
        .prop_map(|(job, index, fence, repeats)| Start { job, index, fence, repeats })
}

fn submit() -> impl Strategy<Value = Op> {
    (
        0..JOBS,
        prop_oneof![4 => Just(0), 1 => Just(1_usize)],
        proptest::option::weighted(0.2, 0..2_usize),
        1..=MOST,
        any::<bool>(),
    )
        .prop_map(|(job, owner, key, executions, overlap)| Op::Submit {
            job,
            owner,
            key,
            executions,
            overlap,
        })
}

fn claim() -> impl Strategy<Value = Op> {
    (1..3_u32, prop_oneof![4 => Just(0_usize), 1 => 0..3_usize])
        .prop_map(|(limit, executors)| Op::Claim { limit, executors })
}

/// Jobs are taken in and started before anything goes.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let first = (vec(submit(), 3), claim(), claim(), vec(some(start()).prop_map(Op::Start), 2));
    (first, vec(op(), 40)).prop_map(|((submits, one, two, starts), rest)| {
        submits.into_iter().chain([one, two]).chain(starts).chain(rest).collect()
    })
}

fn some<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    vec(of, 1..6)
}

fn ending() -> impl Strategy<Value = Ending> {
    let failed = any::<(bool, bool, bool)>().prop_map(|(output, retry, counts)| Ending::Failed {
        output,
        retry,
        counts,
    });
    prop_oneof![Just(Ending::Completed), failed]
}

fn op() -> impl Strategy<Value = Op> {
    let sealed_by = || select(SealedBy::ALL);
    let how = select(&[NodeEnd::CleanExit, NodeEnd::ProcessGone, NodeEnd::Abandoned][..]);
    prop_oneof![
        2 => submit(),
        2 => (0..JOBS, 0..3_usize, any::<bool>(), 0..20_u64).prop_map(
            |(job, actor, immediate, grace)| Op::Cancel { job, actor, immediate, grace }),
        1 => (vec(0..=JOBS, 1..5), 0..3_usize).prop_map(|(jobs, actor)| Op::CancelMany { jobs, actor }),
        2 => claim(),
        2 => (1..3_u32, prop_oneof![4 => Just(0_usize), 1 => 0..3_usize], 0..3_usize).prop_map(
            |(limit, executors, running)| Op::TakeOver { limit, executors, running }),
        8 => some(start()).prop_map(Op::Start),
        8 => some((target(), 0..3_u8)).prop_map(Op::Save),
        3 => some((target(), sealed_by())).prop_map(Op::Seal),
        8 => some((target(), ending(), any::<bool>())).prop_map(Op::Finish),
        3 => (0..JOBS, age(), proptest::bool::weighted(0.2)).prop_map(
            |(job, fence, timed_out)| Op::FinishJob { job, fence, timed_out }),
        1 => (0..JOBS, age(), vec(target(), 0..3)).prop_map(
            |(job, fence, sealed)| Op::Release { job, fence, sealed }),
        3 => (0..3_usize).prop_map(|executors| Op::TakeStops { executors }),
        6 => some((target(), proptest::option::of(sealed_by()), proptest::bool::weighted(0.3), 0..8_u8)).prop_map(Op::RecordStops),
        1 => target().prop_map(Op::CloseStop),
        3 => proptest::bool::weighted(0.2).prop_map(|old| Op::Heartbeat { old }),
        1 => how.prop_map(Op::NextNode),
        1 => (0..60_u64).prop_map(|keep| Op::Prune { keep }),
        3 => (0..12_u64).prop_map(Op::Advance),
    ]
}

/// What the test remembers to make operations that fit.
#[derive(Debug, Default)]
struct Known {
    minted: u128,
    node: Option<IncarnationId>,
    fences: [Vec<Fence>; JOBS],
    attempts: Vec<(usize, u32, AttemptId)>,
}

fn job_id(job: usize) -> JobId {
    JobId::new(format!("job-{job}")).unwrap()
}

fn executors(choice: usize) -> Vec<String> {
    [&["one", "two"][..], &["one"], &["two"]][choice].iter().map(|name| (*name).to_owned()).collect()
}

impl Known {
    fn mint(&mut self) -> uuid::Uuid {
        self.minted += 1;
        uuid::Uuid::from_u128(self.minted)
    }

    fn fence(&self, job: usize, age: usize) -> Fence {
        let unknown = Fence { incarnation: IncarnationId::from_uuid(uuid::Uuid::from_u128(999)), epoch: 7 };
        self.fences[job].iter().rev().nth(age).copied().unwrap_or(unknown)
    }

    fn attempt(&self, age: usize) -> (usize, u32, AttemptId) {
        let unknown = (0, 0, AttemptId::from_uuid(uuid::Uuid::from_u128(998)));
        self.attempts.iter().rev().nth(age).copied().unwrap_or(unknown)
    }

    fn aim(&self, target: &Target) -> (Fence, JobId, u32, AttemptId) {
        let (job, index, attempt) = self.attempt(target.attempt);
        let (job, index) = target.elsewhere.unwrap_or((job, index));
        (self.fence(job, target.fence), job_id(job), index, attempt)
    }

    fn learn(&mut self, claimed: &[ClaimedJob]) {
        for job in claimed {
            let known = (0..JOBS).find(|known| job_id(*known) == job.id).unwrap();
            self.fences[known].push(job.fence);
        }
    }

    fn identity(&mut self) -> NodeIdentity {
        let incarnation = IncarnationId::from_uuid(self.mint());
        self.node = Some(incarnation);
        let process = ProcessIdentity {
            machine: "m".into(),
            boot: "b".into(),
            pid_namespace: "n".into(),
            pid: 1,
            start_time: 2,
        };
        NodeIdentity { incarnation, name: "node".into(), process, executors: executors(0) }
    }
}

/// Makes the call on both stores, and returns the answer that both gave.
macro_rules! both {
    ($pair:expr, $call:ident($($argument:expr),*)) => {{
        let memory = $pair.memory.$call($($argument),*).await.unwrap();
        let other = $pair.other.$call($($argument),*).await.unwrap();
        assert_eq!(memory, other, "memory and {} differ about {}", $pair.other, stringify!($call));
        memory
    }};
}

struct Pair {
    memory: MemoryStore,
    other: Arc<dyn JobStore>,
    time: Time,
    known: Known,
}

/// What both stores go by.
enum Time {
    Manual(Arc<ManualClock>),
    /// The database has a time of its own, which is set here.
    Database(Arc<ManualClock>, sqlx::PgPool, String),
}

impl Time {
    fn clock(&self) -> &Arc<ManualClock> {
        match self {
            Self::Manual(clock) | Self::Database(clock, ..) => clock,
        }
    }

    async fn advance(&self, by: Duration) {
        self.clock().advance(by);
        if let Self::Database(clock, pool, schema) = self {
            let set = format!("UPDATE {schema}.model_clock SET now = $1");
            sqlx::query(sqlx::AssertSqlSafe(set)).bind(clock.now()).execute(pool).await.unwrap();
        }
    }
}

/// A file in memory where that is a folder: thousands of files are made here.
async fn sqlite(clock: &Arc<ManualClock>) -> (Arc<dyn JobStore>, tempfile::TempDir) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let options = SqliteStoreOptions::new().with_clock(Arc::clone(clock) as _).with_readers(1);
    let store = options.open(folder.path().join("model.db")).await.unwrap();
    store.migrate().await.unwrap();
    (Arc::new(store), folder)
}

/// A schema whose time is read from a table.
struct Postgres {
    store: Arc<dyn JobStore>,
    pool: sqlx::PgPool,
    schema: String,
}

impl Postgres {
    async fn new() -> Self {
        let schema = server::schema();
        let options = PostgresStoreOptions::new().with_schema(&schema).unwrap().with_notifications(false);
        let store = options.open(&server::url()).await.unwrap();
        store.migrate().await.unwrap();
        let pool = sqlx::PgPool::connect(&server::url()).await.unwrap();
        let clock = format!(
            "CREATE TABLE {schema}.model_clock AS SELECT now(); \
             CREATE OR REPLACE FUNCTION {schema}.beacon_now() RETURNS timestamptz LANGUAGE sql VOLATILE \
             AS 'SELECT now FROM {schema}.model_clock'"
        );
        pool.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(clock))).await.unwrap();
        Self { store: Arc::new(store), pool, schema }
    }

    /// Forgets everything, and sets the time back.
    async fn clear(&self) -> Time {
        let tables =
            ["jobs", "specs", "executions", "results", "attempts", "stops", "audit", "nodes", "holders"];
        let delete = tables.map(|table| format!("DELETE FROM {}.beacon_{table};", self.schema)).concat();
        self.pool.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(delete))).await.unwrap();
        let time = Time::Database(Arc::default(), self.pool.clone(), self.schema.clone());
        time.advance(Duration::ZERO).await;
        time
    }
}

impl Pair {
    async fn new(other: Arc<dyn JobStore>, time: Time) -> Self {
        let memory = MemoryStore::with_clock(Arc::clone(time.clock()) as _);
        let mut pair = Self { memory, other, time, known: Known::default() };
        let identity = pair.known.identity();
        both!(pair, join(&identity, LEASE));
        pair
    }

    async fn run(mut self, ops: &[Op]) {
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
                    .map(|(target, seen_seal, seen_confirmed, answer)| StopUpdate {
                        attempt: self.known.attempt(target.attempt).2,
                        seen_seal: *seen_seal,
                        seen_confirmed: *seen_confirmed,
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
    let evidence = json!({ "containers": [1, 2] });
    let why = "no \u{1F6D1} answer".to_owned();
    match choice {
        0 => StopAnswer::Nothing { why },
        1 => StopAnswer::Acknowledged { evidence },
        2 | 3 => StopAnswer::Ended { evidence, seals: false },
        4 => StopAnswer::Ended { evidence: json!("gone"), seals: true },
        5 => StopAnswer::Unconfirmed { why, settled: false, again: true },
        _ => StopAnswer::Unconfirmed { why, settled: true, again: choice == 6 },
    }
}

fn by_attempt(mut items: Vec<StopItem>) -> Vec<StopItem> {
    items.sort_by_key(|item| item.attempt);
    items
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_sqlite_agree(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let clock = Arc::new(ManualClock::new());
            let (store, _folder) = sqlite(&clock).await;
            Pair::new(store, Time::Manual(clock)).await.run(&ops).await;
        });
    }
}

#[test]
fn memory_and_postgres_agree() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let postgres = runtime.block_on(Postgres::new());
    let config = ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() };
    proptest!(config, |(ops in ops())| {
        runtime.block_on(async {
            let time = postgres.clear().await;
            Pair::new(Arc::clone(&postgres.store), time).await.run(&ops).await;
        });
    });
}
