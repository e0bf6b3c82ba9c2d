//! Breaks of the protocol, for the crate's own simulation: it must fail with each of them. Without
//! the feature `mutations` there is nothing here but `false`.

/// A rule that can be broken on purpose.
#[cfg_attr(not(feature = "mutations"), expect(unreachable_pub, reason = "it is public with the feature"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The handle and the stop belong to the execution: a retry forgets the older attempt's.
    HandlePerExecution,
    /// A failure does not request the attempt's stop in its own commit.
    FailureWithoutStop,
    /// A node does not seal what it minted and has no task for.
    NoSealWithoutTask,
    /// A later answer replaces a confirmed stop.
    ConfirmedIsOverwritten,
    /// A cancel does not hold back the sends of its own process.
    CancelDoesNotHoldSends,
    /// A cancelled job still takes outputs.
    LateOutputCounts,
    /// A request that creates or begins is not counted while it is under way.
    FlightsAreNotCounted,
    /// A process that stood still polls what it was sending, though its lease may be over.
    LatePollsNeedNoLease,
}

#[cfg(feature = "mutations")]
std::thread_local! {
    static BROKEN: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// Breaks a rule on this thread, instead of an earlier one; `None` breaks none.
#[cfg(feature = "mutations")]
pub fn set_broken(mutation: Option<Mutation>) {
    BROKEN.set(mutation);
}

/// Whether this rule is broken.
#[cfg(feature = "mutations")]
pub(crate) fn is_broken(mutation: Mutation) -> bool {
    BROKEN.get() == Some(mutation)
}

/// Whether this rule is broken.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn is_broken(_: Mutation) -> bool {
    false
}
