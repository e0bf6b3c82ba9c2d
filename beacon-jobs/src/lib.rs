//! Jobs on somebody else's computers, where **cancel means stopped**: the click is durable, no late
//! result slips past it, the compute really ends, and you are shown the evidence, or told plainly
//! that there is none yet.
//!
//! ```
//! use std::time::Duration;
//!
//! use beacon_jobs::cancel::{Actor, CancelRequest};
//! use beacon_jobs::executor::function::FunctionExecutor;
//! use beacon_jobs::job::{ExecutionSpec, JobSpec};
//! use beacon_jobs::runner::JobRunner;
//! use beacon_jobs::store::MemoryStore;
//! use beacon_jobs::{Jobs, Settled};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let jobs = Jobs::new(MemoryStore::new());
//! let train = FunctionExecutor::new("train", |_call| std::future::pending());
//! let runner = JobRunner::builder(&jobs).executor(train).start().await?;
//!
//! let spec = JobSpec::new([ExecutionSpec::new("train", serde_json::json!({"model": "small"}))]);
//! let id = jobs.submit("alice", spec).await?.id;
//! jobs.cancel(&id, &CancelRequest::new(Actor::Owner("alice".into())).immediate()).await?;
//! let settled = jobs.settled(&id, Duration::from_secs(10)).await?;
//! assert!(matches!(settled, Settled::Yes(_)), "every stop has its evidence, or nothing had begun");
//! runner.shutdown(Duration::from_secs(1)).await;
//! # Ok::<_, beacon_jobs::Error>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # The parts
//!
//! | module | holds |
//! |---|---|
//! | [`job`] | what a user asks for ([`JobSpec`](job::JobSpec)), and what is known about it |
//! | [`cancel`] | asking for a cancel, and the true answer |
//! | [`stop`] | ending remote work: handles, requests, evidence |
//! | [`context`] | the cancellable scope of a job in this process; works alone |
//! | [`executor`] | the [`Executor`](executor::Executor) trait, one implementation a provider; `function` and `process` |
//! | [`store`] | the [`JobStore`](store::JobStore) trait, which decides every race; memory, SQLite and Postgres |
//! | [`Jobs`] | the door: submit, get, list, cancel, watch, wait |
//! | [`runner`] | a node: claims jobs, runs their executions, drives stops |
//! | [`metrics`] | the names of what is counted |
//! | `conformance` | the suites that any store or executor is run through |
//!
//! # The way of one job
//!
//! [`Jobs::submit`] writes the job with a row for each execution. A [`JobRunner`](runner::JobRunner) claims
//! it, which gives it a [`Fence`](store::Fence), and registers its context. For each execution it mints an
//! attempt, passes the start barrier in the store, and calls the executor, which creates the work
//! inert, saves its handle, and only then begins it. The attempt's end is written under the fence;
//! when all executions are over the job gets its outcome.
//!
//! [`Jobs::cancel`] is one commit in the store, whoever calls it and wherever the job runs. It ends
//! the job and opens the stop of every attempt that may compute. The runner calls
//! [`Executor::stop`](executor::Executor::stop) until the provider shows that the work has ended. That counts once the
//! attempt is *sealed*: once no request that creates or begins it is, or will ever be, under way.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod cancel;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod context;
mod error;
pub mod executor;
pub mod host;
mod id;
pub mod job;
mod jobs;
pub mod metrics;
#[cfg(feature = "mutations")]
#[doc(hidden)]
pub mod mutation;
#[cfg(not(feature = "mutations"))]
mod mutation;
pub mod runner;
pub mod stop;
pub mod store;

pub use error::{Error, ErrorKind, Result};
#[cfg(all(feature = "process", unix))]
pub use executor::process;
pub use id::{AttemptId, IdSource, IncarnationId, JobId, RandomIds};
pub use jobs::{Accepted, CancelAnswer, JobWatch, Jobs, JobsBuilder, Settled};

#[cfg(all(doctest, feature = "process", feature = "sqlite"))]
#[doc = include_str!("../../README.md")]
struct Readme;
