//! Asking for a cancel, and the true answer.

mod outcome;
mod reason;
mod request;

pub use outcome::{CancelOutcome, Escalation};
pub use reason::CancelReason;
pub use request::{Actor, CancelRequest, StopMode};
