//! The portal and the cancel button in a real browser, on the real runner with real child processes.
//!
//! Needs Debian's `chromium` and `chromium-driver`, which `scripts/test` installs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::future_not_send,
    reason = "a test's panic is its verdict, and it waits for the real machine"
)]

mod button;
mod cancel;
mod driver;
mod foreign;
mod list;
mod load;
mod look;
mod page;
mod progress;
#[allow(dead_code, reason = "not every test binary needs all of it")]
#[path = "../runner/support.rs"]
mod support;
mod trouble;
mod wallet;
