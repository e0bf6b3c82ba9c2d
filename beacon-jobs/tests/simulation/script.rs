//! What a seed stands for: the nodes, the jobs, what happens when, and how often what goes wrong.

use std::time::Duration;

use beacon_jobs::JobId;
use beacon_jobs::job::{ExecutionSpec, JobSpec, OnInterrupt};
use serde_json::json;

use super::provider::Kind;
use super::rng::Rng;

/// Everything that is decided before the first step.
#[derive(Debug)]
pub struct Script {
    pub nodes: usize,
    pub lease: Duration,
    pub poll: Duration,
    pub max_executions: usize,
    /// How far each node's wall time is ahead of the store's.
    pub ahead: Vec<time::Duration>,
    /// The store says that all hints arrive. It may be wrong.
    pub hears_all: bool,
    pub faults: Faults,
    pub steps: Vec<(Duration, Step)>,
}

/// How often something goes wrong, in percent. A seed has some of these, never all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub store_slow: u64,
    pub store_unavailable: u64,
    pub store_reply_lost: u64,
    pub signal_lost: u64,
    pub signal_twice: u64,
    pub signal_late: u64,
    pub call_lost: u64,
    pub call_late: u64,
    pub reply_lost: u64,
    pub call_refused: u64,
    pub watch_lost: u64,
    pub stop_acknowledged: u64,
    pub stop_ignored: u64,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Step {
    Submit {
        node: usize,
        owner: &'static str,
        spec: Box<JobSpec>,
    },
    Cancel {
        node: usize,
        job: usize,
        by: By,
        grace: Option<Duration>,
    },
    Crash {
        node: usize,
        known: bool,
    },
    Freeze {
        node: usize,
        time: Duration,
    },
    Restart {
        node: usize,
    },
    Drain {
        node: usize,
        limit: Duration,
    },
    /// The next such call of the node does this to it.
    Trap {
        node: usize,
        call: &'static str,
        before: bool,
        then: Then,
    },
    /// The store answers to nobody.
    StoreAway {
        time: Duration,
    },
    /// The provider answers nothing but errors.
    ProviderAway {
        time: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
pub enum Then {
    Crash { known: bool },
    Freeze { time: Duration },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Owner,
    Admin,
    Stranger,
}

/// Where a node can be caught, before or after the call.
const CALLS: [&str; 18] = [
    "claim",
    "start",
    "start",
    "save_handles",
    "save_handles",
    "finish",
    "finish_job",
    "seal",
    "record_stops",
    "take_stops",
    "take_over",
    "release",
    "cancel",
    "create",
    "begin",
    "sent",
    "sent",
    "stop",
];

pub const OWNERS: [&str; 2] = ["alice", "bob"];

impl Script {
    pub fn of(seed: u64) -> Self {
        let rng = &mut Rng::new(seed);
        let nodes = usize::try_from(rng.within(2, 3)).unwrap();
        let jobs = usize::try_from(rng.within(1, 4)).unwrap();
        let lease = Duration::from_secs(rng.within(3, 6));
        let poll = rng.millis(500, 1500);
        let max_executions = if rng.percent(15) { 1 } else { 8 };
        let faults = Faults::draw(rng);
        let mut steps = Vec::new();
        for job in 0..jobs {
            let at = if job == 0 { rng.millis(0, 500) } else { rng.millis(0, 12_000) };
            let spec = Box::new(draw_job(rng, job));
            let node = index(rng, nodes);
            steps.push((at, Step::Submit { node, owner: OWNERS[job % 2], spec }));
            for _ in 0..rng.pick(&[0, 1, 1, 1, 2, 3]) {
                let at = at + if rng.percent(40) { rng.millis(0, 400) } else { rng.millis(0, 12_000) };
                steps.push((at, draw_cancel(rng, nodes, job)));
            }
        }
        for _ in 0..rng.within(0, 6) {
            let at = rng.millis(0, 20_000);
            draw_disaster(rng, nodes, at, &mut steps);
        }
        steps.sort_by_key(|(at, _)| *at);
        let clocks_differ = rng.percent(40);
        let ahead = (0..nodes).map(|_| {
            let millis = i64::try_from(rng.within(0, 600_000)).unwrap() - 300_000;
            time::Duration::milliseconds(if clocks_differ { millis } else { 0 })
        });
        let ahead = ahead.collect();
        let hears_all = rng.percent(25);
        Self { nodes, lease, poll, max_executions, ahead, hears_all, faults, steps }
    }
}

fn index(rng: &mut Rng, count: usize) -> usize {
    usize::try_from(rng.within(0, count as u64 - 1)).unwrap()
}

fn draw_job(rng: &mut Rng, job: usize) -> JobSpec {
    let count = rng.within(1, 3);
    let in_lane = rng.percent(25);
    let executions = (0..count).map(|_| {
        let kind = rng.pick(&Kind::ALL);
        let works = if rng.percent(15) { rng.within(0, 50) } else { rng.within(300, 9_000) };
        let fails = rng.percent(10);
        let saves = rng.within(0, 4_000);
        let input = json!({ "works_ms": works, "fails": fails, "saves_ms": saves });
        let mut execution = ExecutionSpec::new(kind.name(), input);
        if rng.percent(20) {
            execution = execution.with_timeout_seconds(rng.within(1, 8));
        }
        if in_lane { execution.with_lane("lane") } else { execution }
    });
    let mut spec = JobSpec::new(executions.collect::<Vec<_>>())
        .with_id(JobId::new(format!("job-{job}")).unwrap())
        .with_max_attempts(u32::try_from(rng.within(1, 3)).unwrap())
        .with_backoff_seconds(rng.within(0, 2))
        .with_stop_wait_seconds(rng.pick(&[3, 20, 600]))
        .with_allow_overlap(rng.percent(12))
        .with_min_success_rate(rng.pick(&[1.0, 1.0, 0.5]));
    if rng.percent(30) {
        spec = spec.with_on_interrupt(OnInterrupt::Fail);
    }
    if rng.percent(12) {
        spec = spec.with_timeout_seconds(rng.within(2, 15));
    }
    spec
}

fn draw_cancel(rng: &mut Rng, nodes: usize, job: usize) -> Step {
    let by = rng.pick(&[By::Owner, By::Owner, By::Owner, By::Owner, By::Owner, By::Admin, By::Stranger]);
    let grace = rng.percent(60).then(|| rng.millis(0, 10_000));
    Step::Cancel { node: index(rng, nodes), job, by, grace }
}

fn draw_disaster(rng: &mut Rng, nodes: usize, at: Duration, steps: &mut Vec<(Duration, Step)>) {
    let node = index(rng, nodes);
    let then = if rng.percent(50) {
        Then::Crash { known: rng.percent(60) }
    } else if rng.percent(50) {
        Then::Freeze { time: rng.millis(200, 9_000) }
    } else {
        // Longer than a lease and a call deadline.
        Then::Freeze { time: rng.millis(9_000, 25_000) }
    };
    match rng.within(0, 99) {
        0..40 => {
            let call = if rng.percent(20) { "begin" } else { rng.pick(&CALLS) };
            // What is sent is caught while it is on its way.
            let before = call == "sent" || rng.percent(50);
            // Most of what happens to a job happens early.
            let at = at / u32::try_from(rng.within(1, 6)).unwrap();
            steps.push((at, Step::Trap { node, call, before, then }));
        }
        40..75 => steps.push((
            at,
            match then {
                Then::Crash { known } => Step::Crash { node, known },
                Then::Freeze { time } => Step::Freeze { node, time },
            },
        )),
        75..88 => steps.push((at, Step::Drain { node, limit: rng.millis(0, 12_000) })),
        88..94 => steps.push((at, Step::StoreAway { time: rng.millis(200, 9_000) })),
        _ => steps.push((at, Step::ProviderAway { time: rng.millis(200, 15_000) })),
    }
    if rng.percent(70) {
        steps.push((at + rng.millis(0, 15_000), Step::Restart { node }));
    }
}

impl Faults {
    fn draw(rng: &mut Rng) -> Self {
        let mut some = |most: u64| if rng.percent(35) { rng.within(1, most) } else { 0 };
        Self {
            store_slow: some(60),
            store_unavailable: some(12),
            store_reply_lost: some(12),
            signal_lost: some(100),
            signal_twice: some(40),
            signal_late: some(60),
            call_lost: some(25),
            call_late: some(90),
            reply_lost: some(25),
            call_refused: some(20),
            watch_lost: some(25),
            stop_acknowledged: some(70),
            stop_ignored: some(25),
        }
    }
}
