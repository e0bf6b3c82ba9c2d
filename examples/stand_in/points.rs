//! Points in a process's life at which a test lets it die.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a process can be made to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Point {
    /// A job is this node's, and the attempt has passed the start barrier; nothing was asked for.
    AfterClaim,
    /// The work was created, and its handle is not saved.
    AfterCreate,
    /// The handle is saved, and the work has not begun.
    AfterSave,
    /// The provider has answered a stop, and the answer is not recorded.
    MidStop,
    /// The work of a former node is this node's to watch.
    MidTakeOver,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::AfterClaim, Self::AfterCreate, Self::AfterSave, Self::MidStop, Self::MidTakeOver];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AfterClaim => "after_claim",
            Self::AfterCreate => "after_create",
            Self::AfterSave => "after_save",
            Self::MidStop => "mid_stop",
            Self::MidTakeOver => "mid_take_over",
        }
    }
}

/// At which passing of which point this process dies, as `after_save=3`. Nowhere by default.
#[derive(Debug, Default)]
pub struct Points(Option<(Point, AtomicU32)>);

impl Points {
    /// The variable that tests set.
    pub const VARIABLE: &str = "BEACON_STAND_IN_ABORT";

    /// Dies here if this is the passing.
    #[expect(clippy::print_stderr, reason = "the test that asked for it reads that it came so far")]
    pub fn pass(&self, point: Point) {
        if let Some((wanted, left)) = &self.0
            && *wanted == point
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            eprintln!("aborted at {}", point.as_str());
            std::process::abort();
        }
    }
}

impl FromStr for Points {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (word, count) = text.split_once('=')?;
            let point = Point::ALL.into_iter().find(|point| point.as_str() == word)?;
            let count = count.parse().ok().filter(|count| *count > 0)?;
            Some(Self(Some((point, AtomicU32::new(count)))))
        };
        read().ok_or_else(|| "must be POINT=COUNT, for example after_save=3".to_owned())
    }
}
