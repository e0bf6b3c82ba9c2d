//! Every executor of this crate, and a double of every kind of provider, through the executor suite.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "executor_conformance/broken.rs"]
mod broken;
#[path = "executor_conformance/closures.rs"]
mod closures;
#[cfg(target_os = "linux")]
#[path = "executor_conformance/commands.rs"]
mod commands;
#[path = "executor_conformance/workshop.rs"]
mod workshop;

use beacon_jobs::conformance::ExecutorHarness;
use beacon_jobs::executor_conformance;

use closures::Closures;
use workshop::{Kind, Workshop};

/// Async closures of this process.
struct Function;

impl ExecutorHarness for Function {
    type Provider = Closures;

    async fn start(&self) -> Closures {
        Closures::default()
    }
}

mod function {
    use super::*;
    executor_conformance!(Function, require = [two_step, grace, failing_work, force]);
}

/// Child processes, each under a supervisor.
#[cfg(target_os = "linux")]
mod process {
    use super::*;

    struct Process;

    impl ExecutorHarness for Process {
        type Provider = commands::Commands;

        async fn start(&self) -> commands::Commands {
            commands::Commands::new()
        }
    }

    executor_conformance!(
        Process,
        require = [two_step, refuses_start_after_stop, grace, failing_work, force, illegal_input]
    );
}

impl ExecutorHarness for Kind {
    type Provider = Workshop;

    async fn start(&self) -> Workshop {
        Workshop::new(*self, None)
    }
}

/// Work is created, then begun; its handle is enough to go on with it.
mod two_step {
    use super::*;
    executor_conformance!(
        Kind { two_step: true, resume: true, refuses_start_after_stop: true },
        require = [
            two_step,
            resume,
            refuses_start_after_stop,
            grace,
            failing_work,
            force,
            restart,
            illegal_input,
            stop_faults,
            start_faults,
            lost_replies,
            watch_faults,
        ]
    );
}

/// Work is created, then begun, also after a stop; nobody but its first watcher gets its output.
mod two_step_without_resume {
    use super::*;
    executor_conformance!(
        Kind { two_step: true, resume: false, refuses_start_after_stop: false },
        require = [two_step, grace, force, restart, stop_faults, start_faults, lost_replies, watch_faults]
    );
}

/// Creating work begins it.
mod one_step {
    use super::*;
    executor_conformance!(
        Kind { two_step: false, resume: true, refuses_start_after_stop: false },
        require = [resume, grace, force, restart, stop_faults, start_faults, lost_replies, watch_faults]
    );
}
