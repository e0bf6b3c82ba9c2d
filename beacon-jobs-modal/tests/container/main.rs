//! Modal's own container runtime, run as it is, against the fake control plane: real Python functions are
//! cancelled through a real runner. Nothing is confirmed while they compute.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's panic is its verdict")]

mod bed;
mod cancels;
mod descriptors;
mod generated;
mod results;
mod runtime;
mod worker;
