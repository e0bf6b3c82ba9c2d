//! What nearly every test of the runner names.
#![allow(unused_imports, reason = "each test file uses a part of it")]

pub use std::sync::Arc;
pub use std::time::Duration;

pub use beacon_jobs::Jobs;
pub use beacon_jobs::cancel::CancelOutcome;
pub use beacon_jobs::executor::function::FunctionExecutor;
pub use beacon_jobs::job::{ExecutionStatus, FailureKind, JobStatus};
pub use beacon_jobs::stop::StopState;
pub use beacon_jobs::store::{JobStore, NodeEnd};
pub use serde_json::json;

pub use super::lost::LostNode;
pub use super::probe::{Hook, Probe};
pub use super::provider::{Point, Provider, Remote, Work};
pub use super::{LONG, Stand, by_alice, detail, many, one, quick_options, runner, settled, submit, until};
