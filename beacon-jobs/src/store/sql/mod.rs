//! What the stores in SQL databases share: how values stand in columns, how rows are read, and how a
//! failure is told.
//!
//! Each of them has its own statements, connections and transactions. What its statements bring has
//! the columns that are named here, in this order; `first` is the number of the first of them.

mod cells;
mod check;
pub(crate) mod codec;
mod executions;
mod fault;
mod jobs;
mod nodes;
mod prune;
mod stops;
mod submit;

pub(crate) use cells::Cells;
pub(crate) use check::{check_depth, check_finishes, check_saves, check_updates};
pub(crate) use codec::{KEYS, epoch, index, json, text};
pub(crate) use executions::{Taken, attempt, claimed, execution, outline};
pub(crate) use fault::{Fault, NOT_MIGRATED};
pub(crate) use jobs::{audit, before, cancellation, held, page, record};
pub(crate) use nodes::{end_word, node};
pub(crate) use prune::prune;
pub(crate) use stops::{driven, item, minter, readable, stop_counts};
pub(crate) use submit::{BATCH, count, rules, spec_and_input};
