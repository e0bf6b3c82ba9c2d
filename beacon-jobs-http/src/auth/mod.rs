//! Who is asking: the [`Authenticator`] trait, and those that come with the crate.

mod bearer;
mod first;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::request::Parts;
use beacon_jobs::cancel::Actor;

pub use bearer::BearerTokens;
#[cfg(feature = "wallet")]
pub(crate) use bearer::bearer;
pub use first::FirstOf;

/// Turns a request into the principal that sent it.
///
/// # Contract
/// It reads the head of the request and answers for this request alone. It never puts a credential
/// into what it returns or logs.
///
/// ```
/// use async_trait::async_trait;
/// use axum::http::request::Parts;
/// use beacon_jobs_http::auth::{AuthRefusal, Authenticator, Principal};
///
/// /// Trusts the name that the proxy in front has checked.
/// #[derive(Debug)]
/// struct BehindProxy;
///
/// #[async_trait]
/// impl Authenticator for BehindProxy {
///     async fn authenticate(&self, head: &Parts) -> Result<Principal, AuthRefusal> {
///         let name = head.headers.get("x-user").ok_or(AuthRefusal::Missing)?;
///         let name = name.to_str().map_err(|_| AuthRefusal::Invalid)?;
///         Ok(Principal::owner(name))
///     }
/// }
/// ```
#[async_trait]
pub trait Authenticator: Debug + Send + Sync + 'static {
    /// Tells who sent a request with this head.
    ///
    /// # Errors
    /// Why nobody is known to have sent it.
    ///
    /// # Cancellation safety
    /// The future is dropped when the client hangs up.
    async fn authenticate(&self, head: &Parts) -> Result<Principal, AuthRefusal>;
}

#[async_trait]
impl<A: Authenticator + ?Sized> Authenticator for Arc<A> {
    async fn authenticate(&self, head: &Parts) -> Result<Principal, AuthRefusal> {
        (**self).authenticate(head).await
    }
}

/// Why a request has no principal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthRefusal {
    /// It shows no credential.
    #[error("no credential is shown")]
    Missing,
    /// It shows one that is not valid.
    #[error("the credential is not valid")]
    Invalid,
    /// It cannot be told at this time; the request may be sent again.
    #[error("credentials cannot be checked: {why}")]
    Unavailable {
        /// Why, in one line, for the log.
        why: String,
    },
}

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name under which jobs are owned and cancels recorded, 1 to 255 bytes.
    pub id: String,
    /// What it may do. Every principal may submit, and see and cancel its own jobs.
    pub roles: BTreeSet<Role>,
}

/// What a principal may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// See and cancel its own jobs.
    Owner,
    /// See and cancel all jobs, and use every executor.
    Admin,
}

impl Principal {
    /// One that sees and cancels its own jobs.
    pub fn owner(id: impl Into<String>) -> Self {
        Self { id: id.into(), roles: BTreeSet::from([Role::Owner]) }
    }

    /// One that sees and cancels all jobs.
    pub fn admin(id: impl Into<String>) -> Self {
        Self { id: id.into(), roles: BTreeSet::from([Role::Owner, Role::Admin]) }
    }

    /// Whether it may act on all jobs.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.roles.contains(&Role::Admin)
    }

    /// As whom it acts on jobs.
    #[must_use]
    pub fn actor(&self) -> Actor {
        if self.is_admin() { Actor::Admin(self.id.clone()) } else { Actor::Owner(self.id.clone()) }
    }
}
