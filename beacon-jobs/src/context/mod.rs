//! The cancellable scope of one running job, in this process.
//!
//! [`JobContextManager`] works alone, without a store or a runner:
//!
//! ```
//! use beacon_jobs::cancel::CancelReason;
//! use beacon_jobs::context::JobContextManager;
//! use beacon_jobs::JobId;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let manager = JobContextManager::new();
//! let context = manager.register(JobId::new("job-1")?)?;
//! assert!(manager.cancel(context.id(), CancelReason::requested("alice")));
//! assert_eq!(context.cancelled().await, CancelReason::requested("alice"));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod gate;
mod manager;
mod scope;

pub(crate) use manager::Held;
pub use manager::{AlreadyRegistered, JobContextManager};
pub use scope::JobContext;
pub(crate) use scope::Scope;
