//! What the store and the provider say at the end, held against the promises.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use beacon_jobs::AttemptId;
use serde::Deserialize;
use serde_json::Value;
use stand_in::Record;

use crate::ledger::Ledger;
use crate::provider::Provider;
use crate::server::Database;

/// What was done and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) kills: usize,
    pub(crate) freezes: usize,
    pub(crate) cuts: usize,
    pub(crate) drains: usize,
    pub(crate) restarts: usize,
    pub(crate) storms: usize,
    pub(crate) open: Vec<Value>,
    /// Where nodes froze by themselves.
    pub(crate) frozen: BTreeMap<String, usize>,
    aborts: BTreeMap<String, usize>,
    jobs: BTreeMap<String, usize>,
    acknowledged: usize,
    attempts: usize,
    stops: BTreeMap<String, usize>,
    begun: usize,
    pub(crate) by_time: usize,
    resumed: usize,
    late: usize,
    thawed: usize,
    orphans: usize,
}

impl Figures {
    /// A node died at its point.
    pub(crate) fn aborted(&mut self, log: &str) {
        let point = log.lines().find_map(|line| line.strip_prefix("aborted at "));
        *self.aborts.entry(point.unwrap_or("a point of its own").to_owned()).or_default() += 1;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, freezes, cuts, drains, restarts, storms, .. } = self;
        let (aborts, total) = (self.aborts.values().sum::<usize>(), self.jobs.values().sum::<usize>());
        writeln!(
            f,
            "trouble: {kills} kills, {aborts} deaths at points {:?}, {freezes} freezes past the lease (by themselves at {:?}), {cuts} cuts, {drains} drains, {restarts} restarts of the server, {storms} storms",
            self.aborts, self.frozen
        )?;
        writeln!(f, "jobs: {total} {:?}, {} cancels acknowledged", self.jobs, self.acknowledged)?;
        writeln!(
            f,
            "attempts: {}, of which {} began and {} were watched by another node; stops: {:?}, {} sealed by time for a while",
            self.attempts, self.begun, self.resumed, self.stops, self.by_time
        )?;
        writeln!(
            f,
            "asked to begin by a thread that was frozen in the middle of it, past its lease: {}",
            self.late
        )?;
        writeln!(
            f,
            "begun beside a later attempt, as asked for in time by a node that was frozen with it in hand: {}",
            self.thawed
        )?;
        write!(f, "orphans = {}", self.orphans)
    }
}

/// What has no outcome yet, or a stop that is not settled.
pub(crate) async fn open(database: &Database) -> Vec<Value> {
    database
        .rows(
            "SELECT j.id, j.status, a.id AS attempt, a.sealed_by, a.handle, s.state, s.tries, s.why, n.ended_how \
             FROM beacon_jobs.beacon_jobs j \
             LEFT JOIN beacon_jobs.beacon_attempts a ON a.execution / 131072 = j.seq \
             LEFT JOIN beacon_jobs.beacon_nodes n ON n.incarnation = a.incarnation \
             LEFT JOIN beacon_jobs.beacon_stops s USING (execution, number) \
             WHERE j.status IN ('queued', 'running') OR NOT s.settled",
        )
        .await
}

/// How many attempts are sealed only because time has passed: while their nodes are frozen or cut off.
pub(crate) async fn sealed_by_time(database: &Database) -> usize {
    database.rows("SELECT id FROM beacon_jobs.beacon_attempts WHERE sealed_by = 'time'").await.len()
}

#[derive(Debug, Deserialize)]
struct Job {
    id: String,
    status: String,
    cancels: usize,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    id: AttemptId,
    job: String,
    status: i16,
    last: bool,
    handle: Option<String>,
    incarnation: String,
    lease_us: i64,
    sealed_by: Option<String>,
    state: Option<String>,
    confirmed_us: Option<i64>,
    evidence: Option<String>,
    output: Option<String>,
}

impl Attempt {
    /// Whether its end is shown by more than the time that has passed.
    fn is_shown(&self) -> bool {
        let evidence: Value =
            self.evidence.as_deref().map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
        self.state.as_deref() == Some("confirmed") && evidence["sealed_by"] != "time"
    }
}

const JOBS: &str = "SELECT j.id, j.status, \
    (SELECT count(*) FROM beacon_jobs.beacon_audit u WHERE u.job = j.seq AND u.action = 'cancelled') AS cancels \
    FROM beacon_jobs.beacon_jobs j";

const ATTEMPTS: &str = "SELECT a.id, j.id AS job, e.status, a.number = e.attempts AS last, a.handle, a.sealed_by, a.incarnation, \
    (extract(epoch FROM n.lease_until) * 1000000)::bigint AS lease_us, \
    s.state, (extract(epoch FROM s.confirmed_at) * 1000000)::bigint AS confirmed_us, s.evidence, r.output \
    FROM beacon_jobs.beacon_attempts a \
    JOIN beacon_jobs.beacon_jobs j ON j.seq = a.execution / 131072 \
    JOIN beacon_jobs.beacon_executions e ON e.key = a.execution \
    JOIN beacon_jobs.beacon_nodes n ON n.incarnation = a.incarnation \
    LEFT JOIN beacon_jobs.beacon_results r ON r.key = a.execution \
    LEFT JOIN beacon_jobs.beacon_stops s USING (execution, number)";

/// The status of an execution with an output.
const COMPLETED: i16 = 20;

/// What was broken, one line each.
pub(crate) async fn judge(
    database: &Database,
    provider: &Provider,
    ledger: &Ledger,
    figures: &mut Figures,
) -> Vec<String> {
    let jobs: Vec<Job> = read(database.rows(JOBS).await);
    let attempts: Vec<Attempt> = read(database.rows(ATTEMPTS).await);
    let record = provider.record().await;
    let mut broken = Vec::new();
    outcomes(&jobs, ledger, figures, &mut broken);
    let alive: Vec<_> = record.alive().collect();
    broken.extend(alive.iter().map(|life| format!("still alive: {life:?}")));
    figures.orphans = alive.len();
    for attempt in &attempts {
        judge_attempt(attempt, &record, figures, &mut broken);
    }
    judge_lives(&attempts, &record, figures, &mut broken);
    broken.extend(ledger.wrong());
    broken
}

fn read<T: for<'de> Deserialize<'de>>(rows: Vec<Value>) -> Vec<T> {
    rows.into_iter().map(|row| serde_json::from_value(row).unwrap()).collect()
}

/// One outcome each, and the one that was promised.
fn outcomes(jobs: &[Job], ledger: &Ledger, figures: &mut Figures, broken: &mut Vec<String>) {
    for job in jobs {
        ledger.saw(&job.id, &job.status);
        *figures.jobs.entry(job.status.clone()).or_default() += 1;
    }
    let rows: BTreeMap<&str, &Job> = jobs.iter().map(|job| (job.id.as_str(), job)).collect();
    for (id, known) in ledger.jobs() {
        figures.acknowledged += usize::from(known.acknowledged);
        let Some(job) = rows.get(id.as_str()) else {
            broken.push(format!("{id}: it was accepted, and is not there"));
            continue;
        };
        let cancelled = job.status == "cancelled";
        if known.acknowledged && !(cancelled && job.cancels == 1) {
            broken.push(format!(
                "{id}: its cancel was acknowledged, and it is {}, with {} on record",
                job.status, job.cancels
            ));
        }
        if known.too_late && cancelled {
            broken.push(format!("{id}: its cancel was refused as too late, and it is cancelled"));
        }
        if cancelled && !known.asked {
            broken.push(format!("{id}: nobody asked for a cancel, and it is cancelled"));
        }
        if !cancelled && job.status != "completed" {
            broken.push(format!("{id}: nothing in it fails for good, and it is {}", job.status));
        }
    }
}

fn judge_attempt(attempt: &Attempt, record: &Record, figures: &mut Figures, broken: &mut Vec<String>) {
    figures.attempts += 1;
    if let Some(state) = &attempt.state {
        *figures.stops.entry(state.clone()).or_default() += 1;
        if state != "confirmed" {
            broken.push(format!("{}: nothing keeps its stop from being confirmed: {attempt:?}", attempt.job));
        }
    }
    if let Some(at) = attempt.confirmed_us.filter(|_| attempt.is_shown()) {
        for life in record.alive_after(attempt.id, at) {
            figures.orphans += 1;
            let story = record.story(&life.job, life.index);
            broken.push(format!("alive after its stop was confirmed at {at}: {life:?} {attempt:?}\n{story}"));
        }
    }
    if attempt.last && attempt.status == COMPLETED {
        let own = attempt.output.as_deref().is_some_and(|output| output.contains(&attempt.id.to_string()));
        let lived = record.lives().any(|life| life.attempt == attempt.id);
        if !own || !lived {
            broken.push(format!("{}: what it brought is not of its last attempt: {attempt:?}", attempt.job));
        }
    }
}

/// Nothing computed that nobody knew, nothing twice, and nothing beside another.
fn judge_lives(attempts: &[Attempt], record: &Record, figures: &mut Figures, broken: &mut Vec<String>) {
    let known: BTreeMap<AttemptId, &Attempt> = attempts.iter().map(|attempt| (attempt.id, attempt)).collect();
    let mut late: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for life in record.lives() {
        figures.begun += 1;
        let Some(attempt) = known.get(&life.attempt).filter(|attempt| attempt.handle.is_some()) else {
            broken.push(format!("it computed, and no handle was saved: {life:?}"));
            continue;
        };
        // What was asked for in time may arrive late: a frozen process sends it when it thaws.
        if life.asked.is_none_or(|asked| asked > attempt.lease_us) {
            late.entry(attempt.incarnation.as_str()).or_default().push((life, attempt));
        }
    }
    // A thread can be stopped between its look at the lease and its request: one each, at one freeze.
    let threads = std::thread::available_parallelism().unwrap().get();
    for late in late.into_values() {
        figures.late += late.len();
        if late.len() > threads {
            broken.extend(late.iter().map(|late| format!("begun by a node whose lease had ended: {late:?}")));
        }
    }
    broken.extend(record.begun_twice().iter().map(|attempt| format!("{attempt} was asked to begin twice")));
    broken.extend(record.created_twice().iter().map(|attempt| format!("{attempt} was created twice")));
    for (one, other) in record.overlaps() {
        let by_time =
            known.get(&one.attempt).is_some_and(|attempt| attempt.sealed_by.as_deref() == Some("time"));
        // Its node was frozen with the request in hand, past its lease and past the seal by time.
        let thawed = [one, other].iter().any(|life| {
            known.get(&life.attempt).is_some_and(|attempt| {
                life.asked.is_some_and(|asked| asked <= attempt.lease_us) && life.from > attempt.lease_us
            })
        });
        if thawed {
            figures.thawed += 1;
        } else if !by_time {
            let story = record.story(&one.job, one.index);
            broken
                .push(format!("two attempts of one execution computed at once: {one:?} {other:?}\n{story}"));
        }
    }
    let mut watchers: BTreeMap<AttemptId, BTreeSet<&str>> = BTreeMap::new();
    for entry in record.entries().iter().filter(|entry| entry.event == stand_in::Event::Looked) {
        watchers.entry(entry.attempt).or_default().insert(&entry.from);
    }
    figures.resumed = watchers.values().filter(|from| from.len() > 1).count();
}
