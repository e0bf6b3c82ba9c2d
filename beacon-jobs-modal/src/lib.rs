//! Runs executions of [`beacon_jobs`] as calls of Modal Functions, and stops them with evidence.

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
#[cfg(any(feature = "grpc", feature = "http"))]
mod tls;
#[cfg(feature = "grpc")]
mod watch;

#[cfg(feature = "grpc")]
pub use builder::Builder;
#[cfg(feature = "grpc")]
pub use config::{ClientType, Config};
#[cfg(feature = "grpc")]
pub use executor::ModalExecutor;
