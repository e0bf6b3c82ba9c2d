use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use beacon_jobs::cancel::Actor;
use beacon_jobs::store::ExecutionPage;
use beacon_jobs::{Error, ErrorKind, JobId, Jobs, Result};
use tokio_util::sync::CancellationToken;

#[cfg(feature = "wallet")]
use crate::auth::FirstOf;
use crate::auth::{AuthRefusal, Authenticator, Principal};
use crate::problem::{Code, Problem};
use crate::rate::RateLimit;
#[cfg(feature = "wallet")]
use crate::wallet::WalletSignIn;
use crate::{cors, routes};

/// The HTTP interface to jobs. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Api {
    shared: Shared,
}

/// What all requests share.
pub(crate) type Shared = Arc<Settings>;

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) jobs: Jobs,
    pub(crate) max_body: usize,
    pub(crate) cors_origins: Vec<HeaderValue>,
    pub(crate) end_of_events: CancellationToken,
    pub(crate) rate_limit: Option<RateLimit>,
    #[cfg(feature = "wallet")]
    pub(crate) wallet: Option<WalletSignIn>,
    authenticator: Arc<dyn Authenticator>,
    admin_only_executors: BTreeSet<String>,
    cancel_policy: CancelPolicy,
}

/// Who may cancel a job over HTTP. Everything but the default lets strangers cancel, is for clients
/// that cannot send a credential, and is logged when the API is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CancelPolicy {
    /// `required`: the job's owner or an administrator, by a valid credential.
    #[default]
    Required,
    /// `when_present`: as `required` where a credential is shown; without one, anybody. Goes on
    /// record as `anonymous`.
    WhenPresent,
    /// `legacy_open`: anybody, whatever credential is shown. Goes on record as `anonymous` unless
    /// the credential is valid.
    LegacyOpen,
}

impl CancelPolicy {
    /// The word for it in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::WhenPresent => "when_present",
            Self::LegacyOpen => "legacy_open",
        }
    }
}

impl fmt::Display for CancelPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for CancelPolicy {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        [Self::Required, Self::WhenPresent, Self::LegacyOpen]
            .into_iter()
            .find(|policy| policy.as_str() == word)
            .ok_or_else(|| {
                Error::invalid("cancel_policy", "must be one of: required when_present legacy_open")
            })
    }
}

impl Api {
    /// An API to the jobs behind this door.
    #[must_use]
    pub fn builder(jobs: &Jobs) -> ApiBuilder {
        ApiBuilder {
            jobs: jobs.clone(),
            authenticator: None,
            #[cfg(feature = "wallet")]
            wallet: None,
            max_body: ApiBuilder::DEFAULT_MAX_BODY,
            admin_only_executors: BTreeSet::from(["process".to_owned()]),
            cancel_policy: CancelPolicy::default(),
            cors_origins: Vec::new(),
            rate_limit: None,
        }
    }

    /// All routes. Its own paths are `/api/v1/…`, `/healthz` and `/readyz`; it has no fallback
    /// outside of them, so it merges into a router that has one.
    pub fn router(&self) -> Router {
        routes::all(&self.shared)
    }

    /// The route `POST /api/v1/jobs/{id}/cancel` alone, for a service that runs its jobs in its own
    /// way. It cancels in the store, and ends the context that is registered under the job's id
    /// with the door's [`JobContextManager`](beacon_jobs::context::JobContextManager).
    pub fn cancel_router(&self) -> Router {
        routes::cancel_alone(&self.shared)
    }

    /// Ends the streams of events, those that are open and those that are asked for later: for a
    /// server that shuts down and would wait for them. Their clients go on at another node.
    pub fn end_events(&self) {
        self.shared.end_of_events.cancel();
    }
}

impl Settings {
    /// Who sent this request, if that may ask again already.
    ///
    /// # Cancellation safety
    /// That of the authenticator.
    pub(crate) async fn principal(&self, head: &Parts) -> Result<Principal, Problem> {
        let principal = self.uncounted(head).await?;
        if let Some(limit) = &self.rate_limit {
            limit.principal(&principal.id)?;
        }
        Ok(principal)
    }

    /// Who sent this request, however often it asks.
    ///
    /// # Cancellation safety
    /// That of the authenticator.
    pub(crate) async fn uncounted(&self, head: &Parts) -> Result<Principal, Problem> {
        self.authenticator.authenticate(head).await.map_err(refused)
    }

    /// Sees that there is such a job, and that this principal may see it.
    ///
    /// # Cancellation safety
    /// Changes nothing.
    pub(crate) async fn allow(&self, principal: &Principal, id: &JobId) -> Result<(), Problem> {
        let detail = self.jobs.get(id, ExecutionPage::NONE).await?.ok_or_else(Problem::no_job)?;
        if principal.actor().may_act_for(&detail.job.owner) { Ok(()) } else { Err(Problem::not_yours()) }
    }

    /// As whom this request may cancel.
    ///
    /// # Cancellation safety
    /// That of the authenticator.
    pub(crate) async fn canceller(&self, head: &Parts) -> Result<Actor, Problem> {
        let anonymous = || Actor::Admin("anonymous".to_owned());
        match (self.cancel_policy, self.authenticator.authenticate(head).await) {
            (CancelPolicy::LegacyOpen, Ok(principal)) => Ok(Actor::Admin(principal.id)),
            (CancelPolicy::LegacyOpen, Err(_)) => Ok(anonymous()),
            (CancelPolicy::WhenPresent, Err(AuthRefusal::Missing)) => Ok(anonymous()),
            (_, known) => known.map(|principal| principal.actor()).map_err(refused),
        }
    }

    /// The first of these executors that this principal may not use.
    pub(crate) fn forbidden<'a>(
        &self,
        principal: &Principal,
        executors: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a str> {
        if principal.is_admin() {
            return None;
        }
        executors.into_iter().find(|name| self.admin_only_executors.contains(*name))
    }
}

pub(crate) fn refused(refusal: AuthRefusal) -> Problem {
    let (code, detail) = match refusal {
        AuthRefusal::Missing => (Code::Unauthenticated, "a credential is needed in the Authorization header"),
        AuthRefusal::Invalid => (Code::Unauthenticated, "the credential is not valid"),
        AuthRefusal::Unavailable { why } => {
            tracing::warn!(%why, "credentials cannot be checked");
            (Code::AuthenticationUnavailable, "credentials cannot be checked at this time")
        }
    };
    Problem::new(code, detail)
}

/// Puts an [`Api`] together.
#[derive(Debug)]
pub struct ApiBuilder {
    jobs: Jobs,
    authenticator: Option<Arc<dyn Authenticator>>,
    #[cfg(feature = "wallet")]
    wallet: Option<WalletSignIn>,
    max_body: usize,
    admin_only_executors: BTreeSet<String>,
    cancel_policy: CancelPolicy,
    cors_origins: Vec<String>,
    rate_limit: Option<NonZeroU32>,
}

impl ApiBuilder {
    /// The body limit where none is set: 1 MiB.
    pub const DEFAULT_MAX_BODY: usize = 1024 * 1024;

    /// Sets who turns a request into a principal. There is no default.
    #[must_use]
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Lets people sign in with their wallet, beside those that the authenticator knows, if one is
    /// set.
    #[cfg(feature = "wallet")]
    #[must_use]
    pub fn wallet(mut self, wallet: WalletSignIn) -> Self {
        self.wallet = Some(wallet);
        self
    }

    /// Sets how many bytes a request body may have: 1 KiB to 1 GiB, 1 MiB by default.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sets the executors that only administrators may submit work for: `process` by default, for
    /// it runs any command of whoever reaches this server. A server that only its own host can
    /// reach may pass an empty list.
    #[must_use]
    pub fn admin_only_executors<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.admin_only_executors = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets who may cancel.
    #[must_use]
    pub fn cancel_policy(mut self, policy: CancelPolicy) -> Self {
        self.cancel_policy = policy;
        self
    }

    /// Sets the origins whose pages may call the API from a browser, each exactly as the browser
    /// sends it (`https://portal.example`). None by default.
    #[must_use]
    pub fn cors_origins<I>(mut self, origins: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.cors_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how many requests a minute each principal may send, and each address: `None`, the default, is as
    /// many as they like. All of a minute's may come at once; those over it are refused with 429 and
    /// `Retry-After`. **Cancels are not counted**: who wants to stop what costs money is always heard.
    ///
    /// Each process counts for itself. Addresses are known where the router is served with
    /// `into_make_service_with_connect_info::<SocketAddr>()`, and are the proxy's where one is in front; of
    /// IPv6 the first 64 bits count. `/healthz` and `/readyz` have no limit.
    #[must_use]
    pub fn rate_limit(mut self, per_minute: Option<NonZeroU32>) -> Self {
        self.rate_limit = per_minute;
        self
    }

    /// The API.
    ///
    /// # Errors
    /// `Misconfigured` without an authenticator; `InvalidInput` names the setting that is not
    /// allowed.
    pub fn build(self) -> Result<Api> {
        #[cfg(feature = "wallet")]
        let authenticator = match (self.authenticator, &self.wallet) {
            (known, None) => known,
            (None, Some(wallet)) => Some(Arc::new(wallet.clone()) as _),
            (Some(known), Some(wallet)) => {
                Some(Arc::new(FirstOf::default().then(known).then(wallet.clone())) as _)
            }
        };
        #[cfg(not(feature = "wallet"))]
        let authenticator = self.authenticator;
        let authenticator: Arc<dyn Authenticator> = authenticator.ok_or_else(|| {
            Error::new(
                ErrorKind::Misconfigured,
                "the API needs an authenticator; set one with ApiBuilder::authenticator",
            )
        })?;
        if !(1024..=1024 * 1024 * 1024).contains(&self.max_body) {
            let message = format!("must be from 1024 to 1073741824 bytes, is {}", self.max_body);
            return Err(Error::invalid("max_body", message));
        }
        let cors_origins =
            self.cors_origins.iter().map(|origin| cors::origin(origin)).collect::<Result<_>>()?;
        if self.cancel_policy != CancelPolicy::Required {
            tracing::warn!(cancel_policy = %self.cancel_policy, "jobs can be cancelled without a credential");
        }
        Ok(Api {
            shared: Arc::new(Settings {
                jobs: self.jobs,
                max_body: self.max_body,
                cors_origins,
                end_of_events: CancellationToken::new(),
                rate_limit: self.rate_limit.map(RateLimit::new),
                #[cfg(feature = "wallet")]
                wallet: self.wallet,
                authenticator,
                admin_only_executors: self.admin_only_executors,
                cancel_policy: self.cancel_policy,
            }),
        })
    }
}
