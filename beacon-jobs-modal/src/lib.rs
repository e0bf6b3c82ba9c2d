//! Runs executions of [`beacon_jobs`] as calls of Modal Functions, and stops them with evidence.
//!
//! Give a runner a `ModalExecutor`, with `Config::from_env()` for an account. Here with the fake control plane
//! (feature `fake`) in its place:
//!
#![cfg_attr(feature = "fake", doc = "```")]
#![cfg_attr(not(feature = "fake"), doc = "```ignore")]
//! use std::time::Duration;
//!
//! use beacon_jobs::cancel::{Actor, CancelRequest};
//! use beacon_jobs::job::{ExecutionSpec, JobSpec};
//! use beacon_jobs::runner::JobRunner;
//! use beacon_jobs::store::MemoryStore;
//! use beacon_jobs::{Jobs, Settled};
//! use beacon_jobs_modal::ModalExecutor;
//! use beacon_jobs_modal::fake::{ControlPlane, Work};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let modal = ControlPlane::start().await?;
//! modal.deploy("training", "train", Work::GoesOn);
//!
//! let jobs = Jobs::new(MemoryStore::new());
//! let executor = ModalExecutor::new(&modal.config())?;
//! let runner = JobRunner::builder(&jobs).executor(executor).start().await?;
//! let input = serde_json::json!({"app": "training", "function": "train", "args": ["small"]});
//! let id = jobs.submit("alice", JobSpec::new([ExecutionSpec::new("modal", input)])).await?.id;
//! modal.until(|modal| modal.alive() == 1).await;
//!
//! jobs.cancel(&id, &CancelRequest::new(Actor::Owner("alice".into())).immediate()).await?;
//! assert!(matches!(jobs.settled(&id, Duration::from_secs(60)).await?, Settled::Yes(stops) if stops.confirmed == 1));
//! assert_eq!(modal.alive(), 0);
//! runner.shutdown(Duration::from_secs(5)).await;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })
//! # ?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "grpc")]
mod blob;
#[cfg(feature = "grpc")]
mod builder;
#[cfg(feature = "grpc")]
mod call;
#[cfg(feature = "grpc")]
mod client;
#[cfg(feature = "grpc")]
mod config;
#[cfg(feature = "grpc")]
mod convert;
#[cfg(feature = "grpc")]
mod error;
#[cfg(feature = "grpc")]
mod executor;
#[cfg(feature = "fake")]
pub mod fake;
#[cfg(feature = "grpc")]
mod generated;
#[cfg(feature = "grpc")]
mod stop;
#[cfg(feature = "grpc")]
mod tls;
#[cfg(feature = "grpc")]
mod watch;
#[cfg(feature = "http")]
mod web;

#[cfg(feature = "grpc")]
pub use builder::Builder;
#[cfg(feature = "grpc")]
pub use config::{ClientType, Config};
#[cfg(feature = "grpc")]
pub use executor::ModalExecutor;
#[cfg(feature = "http")]
pub use web::{InferenceReply, InferenceRequest, WebBuilder, WebExecutor};
