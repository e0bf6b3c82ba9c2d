//! A program that only supervises: for hosts whose own program cannot call
//! [`beacon_jobs::process::init`] first in its `main`, for example because it is an interpreter.
//! Name its path to `ProcessExecutor::builder().supervisor_program(..)`.

use std::io::{Write, stderr};
use std::process::ExitCode;

fn main() -> ExitCode {
    beacon_jobs::process::init();
    // Nothing can be done about a closed standard error.
    let _ = writeln!(stderr(), "beacon-jobs-supervisor is started by a process executor, not by hand");
    ExitCode::from(64)
}
