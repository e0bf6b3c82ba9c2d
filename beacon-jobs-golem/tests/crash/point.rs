//! Where a node dies.

use std::fmt;

/// Whose calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Provider,
    Store,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing of the call is done.
    Before,
    /// All of it is done, and its caller does not know.
    After,
}

/// The place of a death: before or after a call, counted from 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) side: Side,
    pub(crate) call: &'static str,
    pub(crate) nth: u32,
    pub(crate) when: When,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {} of the {:?}", self.when, self.call, self.nth, self.side)
    }
}
