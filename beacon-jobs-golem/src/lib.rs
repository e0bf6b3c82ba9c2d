//! Runs executions of [`beacon_jobs`] on Golem Network, through a local `yagna` daemon, and stops them with
//! evidence.
//!
//! Give a runner a [`GolemExecutor`], with [`Config::from_env`] for a daemon. Here with the fake daemon (feature
//! `fake`) in its place:
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
//! use beacon_jobs_golem::GolemExecutor;
//! use beacon_jobs_golem::fake::{Work, Yagna};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let yagna = Yagna::start().await?;
//! yagna.install("/bin/train", Work::GoesOn);
//!
//! let jobs = Jobs::new(MemoryStore::new());
//! let executor = GolemExecutor::builder(&yagna.config());
//! let executor = executor.with_offers(Duration::from_secs(60), Duration::ZERO).build()?;
//! let runner = JobRunner::builder(&jobs).executor(executor).start().await?;
//! let input = serde_json::json!({
//!     "runtime": {"name": "vm"}, "budget": "1.0", "commands": [{"run": {"entry_point": "/bin/train"}}],
//! });
//! let id = jobs.submit("alice", JobSpec::new([ExecutionSpec::new("golem", input)])).await?.id;
//! yagna.until(|yagna| yagna.computing() == 1).await;
//!
//! jobs.cancel(&id, &CancelRequest::new(Actor::Owner("alice".into())).immediate()).await?;
//! assert!(matches!(jobs.settled(&id, Duration::from_secs(60)).await?, Settled::Yes(stops) if stops.confirmed == 1));
//! assert_eq!(yagna.alive(), 0);
//! runner.shutdown(Duration::from_secs(5)).await;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })
//! # ?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod builder;
mod call;
mod client;
mod config;
mod convert;
mod deal;
mod error;
mod executor;
#[cfg(feature = "fake")]
pub mod fake;
mod negotiate;
mod offer;
mod pay;
mod progress;
mod stop;
mod tls;
mod watch;

pub use builder::Builder;
pub use config::Config;
pub use executor::GolemExecutor;
pub use offer::{Offer, Price, Scoring};
