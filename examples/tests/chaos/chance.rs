use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::{IdSource, RandomIds};

/// Numbers from a seed that is printed, and can be given again as `CHAOS_SEED`.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new() -> Self {
        let given = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomIds.uuid().as_u64_pair().1 >> 16 | 1);
        println!("CHAOS_SEED={seed}");
        Self(seed)
    }

    /// Another one, whose choices do not depend on when it is asked.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.below(1 << 30) << 20 | 1)
    }

    /// A number below `most`, by xorshift64*.
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % most
    }

    /// One of these.
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    /// Yes, once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A moment in the next so many milliseconds.
    pub(crate) async fn moment(&mut self, most: u64) {
        let pause = Duration::from_micros(self.below(most * 1000));
        SystemClock.sleep(pause).await;
    }
}
