//! The tests: seeds in parts, one seed, the same seed twice.

use std::ops::Range;

use beacon_jobs::mutation::Mutation;

use super::log::Figures;
use super::mutations::Break;
use super::world::{Outcome, simulate};

/// How many seeds a usual run plays, and in how many tests.
const SEEDS: u64 = 3_000;
const PARTS: u64 = 12;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn seeds() -> u64 {
    variable("SIMULATION_SEEDS").map_or(SEEDS, |count| count.parse().expect("SIMULATION_SEEDS is a number"))
}

/// Tells what happened, and fails.
fn fail(seed: u64, broken: Option<Break>) -> ! {
    let Outcome { violation, log, .. } = simulate(seed, broken, true);
    for line in &log {
        println!("{line}");
    }
    match violation {
        Some(violation) => panic!("SEED={seed}: {}: {}", violation.check, violation.what),
        None => panic!("SEED={seed}: failed, and did not when it was played again"),
    }
}

fn play(seeds: Range<u64>) {
    let mut figures = Figures::default();
    for seed in seeds {
        let outcome = simulate(seed, None, false);
        if outcome.violation.is_some() {
            fail(seed, None);
        }
        figures.add(&outcome.figures);
    }
    println!("{figures}");
}

fn part(number: u64) {
    let size = seeds().div_ceil(PARTS);
    play(number * size..(number + 1) * size);
}

macro_rules! parts {
    ($($name:ident = $number:literal),+ $(,)?) => {
        $(#[test]
        fn $name() { part($number); })+
    };
}

parts!(
    the_promises_hold_01 = 0,
    the_promises_hold_02 = 1,
    the_promises_hold_03 = 2,
    the_promises_hold_04 = 3,
    the_promises_hold_05 = 4,
    the_promises_hold_06 = 5,
    the_promises_hold_07 = 6,
    the_promises_hold_08 = 7,
    the_promises_hold_09 = 8,
    the_promises_hold_10 = 9,
    the_promises_hold_11 = 10,
    the_promises_hold_12 = 11,
);

/// Plays seeds with a rule broken, until one fails.
fn is_noticed(broken: Break) {
    for seed in 0..SEEDS {
        if let Some(violation) = simulate(seed, Some(broken), false).violation {
            println!("{broken:?}: seed {seed}: {}: {}", violation.check, violation.what);
            return;
        }
    }
    panic!("{broken:?} is not noticed in {SEEDS} seeds");
}

macro_rules! mutations {
    ($($name:ident = $broken:expr),+ $(,)?) => {
        mod without {
            use super::*;
            $(#[test]
            fn $name() { is_noticed($broken); })+
        }
    };
}

mutations!(
    a_seal = Break::NoSeal,
    a_seal_read_before_the_call = Break::SealReadLate,
    a_handle_of_its_own_for_each_attempt = Break::Core(Mutation::HandlePerExecution),
    a_stop_in_the_commit_of_the_failure = Break::FailAndStopInTwoWrites,
    a_stop_in_any_commit_of_a_failure = Break::Core(Mutation::FailureWithoutStop),
    stops_driven_by_other_nodes = Break::StopsByMinterOnly,
    reattaching_that_only_observes = Break::ReattachFeeds,
    an_interruption_of_what_never_began = Break::ReattachOnlyWaits,
    a_fence_on_the_job = Break::FenceByLease,
    reconciliation = Break::NoReconciliation,
    a_start_that_can_be_repeated = Break::StartNotRepeatable,
    a_start_barrier = Break::NoBarrier,
    a_refusal_that_is_obeyed = Break::RefusedSaveFeeds,
    a_take_over_of_what_only_lacks_its_outcome = Break::FinishedJobNotTakenOver,
    a_retry_that_waits = Break::RetryDoesNotWait,
    a_stop_where_no_handle_is_known = Break::StopOnlyWithHandle,
    a_watch_of_confirmations_by_time = Break::NothingReopens,
    a_call_deadline_after_the_end = Break::NoCallDeadlineAfterTheEnd,
    requests_that_are_counted = Break::RequestsAreNotCounted,
    a_lease_for_what_is_polled_late = Break::Core(Mutation::LatePollsNeedNoLease),
    flights_that_are_counted = Break::Core(Mutation::FlightsAreNotCounted),
    an_owner_check = Break::NoOwnerCheck,
    a_seal_of_what_has_no_task = Break::Core(Mutation::NoSealWithoutTask),
    confirmed_stops_that_stay = Break::Core(Mutation::ConfirmedIsOverwritten),
    a_hold_on_sends_while_a_cancel_commits = Break::Core(Mutation::CancelDoesNotHoldSends),
    a_refusal_of_late_output = Break::Core(Mutation::LateOutputCounts),
);

/// Plays the seed that `SEED` names, or the range of `SEEDS`.
#[test]
#[ignore = "plays what SEED or SEEDS names"]
fn one_seed() {
    if let Some(seed) = variable("SEED") {
        let seed = seed.parse().expect("SEED is a number");
        let outcome = simulate(seed, None, true);
        if outcome.violation.is_some() {
            fail(seed, None);
        }
        for line in &outcome.log {
            println!("{line}");
        }
        println!("{}", outcome.figures);
    }
    if let Some(range) = variable("SEEDS") {
        let (from, to) = range.split_once("..").expect("SEEDS is a range, such as 0..1000");
        play(from.parse().expect("a number")..to.parse().expect("a number"));
    }
}

#[test]
fn the_same_seed_gives_the_same_log_twice() {
    for seed in 0..200 {
        let (first, second) = (simulate(seed, None, true), simulate(seed, None, true));
        assert!(!first.log.is_empty(), "seed {seed} did nothing");
        let differs = first.log.iter().zip(&second.log).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.log.len(), second.log.len(), "seed {seed}");
    }
}
