//! The tests: seeds in parts, one seed, the same seed twice.

use std::ops::Range;

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

/// Plays the seed that `SEED` names, or the range of `SEEDS`.
#[test]
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
        assert!(first.log.len() > 10, "seed {seed} did nothing");
        let differs = first.log.iter().zip(&second.log).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.log.len(), second.log.len(), "seed {seed}");
    }
}
