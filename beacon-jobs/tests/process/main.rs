//! The process executor with real processes, through the runner.
//!
//! Whether anything is left alive is never judged by a look at `/proc`: a child that forks, calls
//! `setsid` and exits every millisecond is missed by looks. The judges are `cgroup.events` of a
//! cgroup that the test makes around everything, where the machine allows that, and files to which
//! the children write without end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::future_not_send,
    reason = "a test's panic is its verdict, and it waits for the real machine"
)]
#![cfg(target_os = "linux")]

mod children;
mod handles;
mod harness;
mod lifeline;
mod loss;
mod output;
mod plain;
mod stops;
