//! What a job file may hold, what is refused and in which words, and what it becomes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails there")]

mod digest;
mod forms;
mod matrix;
mod properties;
mod refused;
