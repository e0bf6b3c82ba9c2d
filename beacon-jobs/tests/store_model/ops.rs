//! Operations drawn at random: mostly what fits.

use beacon_jobs::stop::SealedBy;
use beacon_jobs::store::NodeEnd;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::known::{JOBS, MOST};

/// An attempt, its execution as the writer names it, and a fence.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Which of the attempts known, from the newest.
    pub(crate) attempt: usize,
    /// Another execution than its own.
    pub(crate) elsewhere: Option<(usize, u32)>,
    /// How old the fence is: 0 is the job's newest.
    pub(crate) fence: usize,
}

/// What a stop call brought: of which attempt, the seal, whether confirmed and how many answers were seen before it,
/// and which answer.
pub(crate) type Recorded = (Target, Option<SealedBy>, bool, Option<u32>, u8);

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Submit { job: usize, owner: usize, key: Option<usize>, executions: u32, overlap: bool },
    Cancel { job: usize, actor: usize, immediate: bool, grace: u64 },
    CancelMany { jobs: Vec<usize>, actor: usize },
    Claim { limit: u32, executors: usize },
    TakeOver { limit: u32, executors: usize, running: usize },
    Start(Vec<Start>),
    Save(Vec<(Target, u8)>),
    Report(Vec<(Target, u32)>),
    Seal(Vec<(Target, SealedBy)>),
    Finish(Vec<(Target, Ending, bool)>),
    FinishJob { job: usize, fence: usize, timed_out: bool },
    Release { job: usize, fence: usize, sealed: Vec<Target> },
    TakeStops { executors: usize },
    RecordStops(Vec<Recorded>),
    CloseStop(Target),
    Heartbeat { old: bool },
    NextNode(NodeEnd),
    Prune { keep: u64 },
    Advance(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) job: usize,
    pub(crate) index: u32,
    pub(crate) fence: usize,
    /// An attempt that is known already; a new one when there is none.
    pub(crate) repeats: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
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
pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
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
        3 => some((target(), 0..3_u32)).prop_map(Op::Report),
        3 => some((target(), sealed_by())).prop_map(Op::Seal),
        8 => some((target(), ending(), any::<bool>())).prop_map(Op::Finish),
        3 => (0..JOBS, age(), proptest::bool::weighted(0.2)).prop_map(
            |(job, fence, timed_out)| Op::FinishJob { job, fence, timed_out }),
        1 => (0..JOBS, age(), vec(target(), 0..3)).prop_map(
            |(job, fence, sealed)| Op::Release { job, fence, sealed }),
        3 => (0..3_usize).prop_map(|executors| Op::TakeStops { executors }),
        6 => some((target(), proptest::option::of(sealed_by()), proptest::bool::weighted(0.3), proptest::option::of(0..3_u32), 0..8_u8)).prop_map(Op::RecordStops),
        1 => target().prop_map(Op::CloseStop),
        3 => proptest::bool::weighted(0.2).prop_map(|old| Op::Heartbeat { old }),
        1 => how.prop_map(Op::NextNode),
        1 => (0..60_u64).prop_map(|keep| Op::Prune { keep }),
        3 => (0..12_u64).prop_map(Op::Advance),
    ]
}
