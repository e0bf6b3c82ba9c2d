//! A job's changes as server-sent events.
//!
//! There is no log of changes: a stream compares what its client was told, its [`View`], with the
//! job as it is, and tells the difference. The id of an event holds the view that its client has
//! from then on. So a stream goes on where another one ended, also one of another process, and a
//! client that reads slowly costs no memory: it is told less often, and of several changes the last.

mod frames;
mod stream;
mod view;

pub(crate) use stream::EventStream;
pub(crate) use view::View;
