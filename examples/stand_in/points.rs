//! Points in a process's life at which a test lets it die, or stand still.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// Where a process can be made to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Point {
    /// Jobs are claimed, and their node does not know it.
    AfterClaim,
    /// Jobs of a former node are taken over, and their node does not know it.
    AfterTakeOver,
    /// Attempts have passed the start barrier, and nobody knows it.
    AfterStart,
    /// The work was created, and its handle is not saved.
    AfterCreate,
    /// The handle is saved, and the work has not begun.
    AfterSave,
    /// The work of a former node is about to be watched.
    MidTakeOver,
    /// A job is cancelled, and nobody knows it.
    AfterCancel,
    /// The provider has answered a stop, and the answer is not recorded.
    MidStop,
    /// What a stop brought is recorded, and nobody knows it.
    AfterRecord,
    /// A job is given back, and its node does not know it.
    AfterRelease,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::AfterClaim,
        Self::AfterTakeOver,
        Self::AfterStart,
        Self::AfterCreate,
        Self::AfterSave,
        Self::MidTakeOver,
        Self::AfterCancel,
        Self::MidStop,
        Self::AfterRecord,
        Self::AfterRelease,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AfterClaim => "after_claim",
            Self::AfterTakeOver => "after_take_over",
            Self::AfterStart => "after_start",
            Self::AfterCreate => "after_create",
            Self::AfterSave => "after_save",
            Self::MidTakeOver => "mid_take_over",
            Self::AfterCancel => "after_cancel",
            Self::MidStop => "mid_stop",
            Self::AfterRecord => "after_record",
            Self::AfterRelease => "after_release",
        }
    }
}

/// At which passing of which point this process dies, as `abort@after_save=3`, or stands still until it
/// gets SIGCONT, as `freeze@after_save=3`. Nowhere by default.
#[derive(Debug, Default)]
pub struct Points(Option<Plan>);

#[derive(Debug)]
struct Plan {
    freezes: bool,
    point: Point,
    left: AtomicU32,
}

impl Points {
    /// The variable that tests set.
    pub const VARIABLE: &str = "BEACON_STAND_IN_POINT";

    /// Dies or stands still here if this is the passing.
    #[expect(clippy::print_stderr, reason = "the test that asked for it reads that it came so far")]
    pub fn pass(&self, point: Point) {
        let Some(plan) = self.0.as_ref().filter(|plan| plan.point == point) else { return };
        if plan.left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        if plan.freezes {
            eprintln!("frozen at {}", point.as_str());
            // A process may always send itself a signal.
            let _ = kill_process(getpid(), Signal::STOP);
            // The signal stops all threads, and this one not always first.
            std::thread::park_timeout(Duration::from_millis(200));
        } else {
            eprintln!("aborted at {}", point.as_str());
            std::process::abort();
        }
    }
}

impl FromStr for Points {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (what, rest) = text.split_once('@')?;
            let freezes = ["abort", "freeze"].iter().position(|word| *word == what)? == 1;
            let (word, count) = rest.split_once('=')?;
            let point = Point::ALL.into_iter().find(|point| point.as_str() == word)?;
            let left = count.parse().ok().filter(|count| *count > 0)?;
            Some(Self(Some(Plan { freezes, point, left: AtomicU32::new(left) })))
        };
        read().ok_or_else(|| "must be abort@POINT=COUNT or freeze@POINT=COUNT".to_owned())
    }
}
