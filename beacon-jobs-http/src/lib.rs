//! HTTP routes for [`beacon_jobs`]: submit, list, show, and a cancel that tells the truth.
//!
//! [`Api`] is built over a [`Jobs`](beacon_jobs::Jobs) door and gives an [`axum::Router`]: the whole
//! API with [`Api::router`], or the cancel route alone with [`Api::cancel_router`], for a service
//! that runs its jobs in its own way. Neither needs a runner in this process.
//!
//! ```
//! use beacon_jobs::Jobs;
//! use beacon_jobs::store::MemoryStore;
//! use beacon_jobs_http::{Api, BearerTokens, Principal};
//!
//! let jobs = Jobs::new(MemoryStore::new());
//! let tokens = BearerTokens::new()
//!     .with_token("alices-secret", Principal::owner("alice"))?
//!     .with_token("the-admins-secret", Principal::admin("admin"))?;
//! let router: axum::Router = Api::builder(&jobs).authenticator(tokens).build()?.router();
//! # Ok::<_, beacon_jobs::Error>(())
//! ```
//!
//! # Routes
//! | method, path | answer |
//! |---|---|
//! | POST `/api/v1/jobs` | takes a job file; 201 with `Location`, 200 for a submission that is known |
//! | GET `/api/v1/jobs` | jobs, newest first; `status`, `label=key:value`, `limit`, `cursor` |
//! | GET `/api/v1/jobs/{id}` | a job with a page of its executions; `exec_limit`, `exec_offset` |
//! | POST `/api/v1/jobs/{id}/cancel` | cancels; `wait=0..60` answers once every stop is settled |
//! | POST `/api/v1/jobs/cancel` | cancels many: `{filter: {status?, labels?, ids?}, reason?, mode?, grace_seconds?, dry_run?}` |
//! | GET `/api/v1/jobs/{id}/audit` | who did what to the job, when and why |
//! | GET `/api/v1/jobs/{id}/events` | the job's changes as they come, as server-sent events |
//! | POST `/api/v1/auth/nonce`, `/api/v1/auth/session` | signs in with a wallet, where [`ApiBuilder::wallet`] has set that up (feature `wallet`) |
//! | DELETE `/api/v1/auth/session` | signs out |
//! | GET `/api/v1/openapi.json` | these routes as an OpenAPI 3.1 document |
//! | GET `/healthz`, `/readyz` | alive; ready, that is, the store answers |
//!
//! An execution's `id` is its place in the job's list, counted from 0, in decimal digits. A job's
//! `spec` holds its rules; its executions have rows. `progress` of a row is how far its latest attempt has
//! come, where its executor tells: `done`, with `total` and `message` or null.
//!
//! # Cancelling many
//! Cancelled are the jobs that fit all of the filter and that the caller may cancel: with `ids` (at
//! most 1 000) of those named, else of all that are queued or running. A filter must have at least one
//! of its members. A credential is always needed, whatever the [`CancelPolicy`]. The answer has in
//! `jobs` those that this request cancelled, in `cancelled` how many those are, and in `skipped` those
//! that were named or found and not cancelled, each with `why`: `not_found`, `forbidden`,
//! `already_finished` (and its `status`), `already_cancelled` (and `escalated` where its stops became
//! harsher), or `no_match`. With `dry_run` nothing is changed, and the answer is what it would have
//! been. Up to 1 000 jobs are cancelled in one commit, all or none; a request that finds more has
//! several, up to 10 000 jobs in all, and says `more` where some are left.
//!
//! # Events
//! A stream tells of each change once and in order, whichever node made it: `execution` and `stop`
//! events of the executions that changed, and then a `job` event with the counts that follow from
//! them. It begins with what has changed since the submission, so an execution of which nothing is
//! told is queued. Of several changes of one thing that came too fast to be read one by one, the last
//! is told; so are the changes that a slow reader missed.
//!
//! | event | data |
//! |---|---|
//! | `execution` | `job_id`, `id`, `status`, `attempt`, `started_at`, `finished_at`, `progress`, `error`; when its status or attempt changed, or how far it has come while it runs |
//! | `stop` | `job_id`, `execution_id`, and `state`, `requested_at`, `confirmed_at`, `evidence`, `why` of the execution's stop; when its state changed |
//! | `job` | the job as the list of jobs has it, with `stops` (counts by state) and `over` |
//!
//! The stream ends after the job has its outcome and every stop is settled; `over` is true in the last
//! event. An `id` sent back as `Last-Event-ID`, to any node, goes on after its event: nothing is told
//! twice, but how far executions under way have come. Of a large job whose executions are in very mixed
//! states it may not hold all, and then those at the end of the list are told again. One that cannot be
//! read counts as none. A comment
//! comes every 15 seconds without news. Once a minute it is looked at whether the credential that the
//! stream was asked for with is still good; a session that has ended ends the stream.
//!
//! # The button
//! With the feature `ui` the module `ui` serves a cancel button for web pages, and what goes with it: a live
//! table of a job's executions with their stops, messages, and a client of this API.
//!
//! # Refusals
//! A refusal changes nothing and is an RFC 9457 problem (`application/problem+json`) with two more
//! members: `error`, its text as one string, and `code`, which stays the same for programs. Where
//! they are known it also has `job_id`, `field` (what was refused in the request) and `job_status`.
//! Of several reasons the first in this order is given:
//!
//! | status | code | |
//! |---|---|---|
//! | 429 | `too_many_requests` | over [`ApiBuilder::rate_limit`]; `Retry-After` says when |
//! | 401 | `unauthenticated`, `sign_in_refused` | no valid credential; a sign-in whose `field` does not hold |
//! | 408 | `request_timeout` | a body of which nothing more came for 30 seconds |
//! | 413 | `body_too_large` | over the limit of [`ApiBuilder::max_body`] |
//! | 415 | `unsupported_media_type` | a body that is not said to be JSON |
//! | 400 | `malformed_body` | a body that is not JSON |
//! | 422 | `invalid_request` | JSON, a header or a query that is not allowed; `field` names it |
//! | 404 | `job_not_found` | |
//! | 403 | `forbidden`, `executor_forbidden` | another's job; an executor for administrators |
//! | 409 | `already_finished`, `conflict` | the job had its outcome; the id or key is taken |
//! | 503 | `store_unavailable`, `outcome_unknown`, `authentication_unavailable` | `Retry-After` says when; after `outcome_unknown` the same request again gives the truth |
//!
//! `X-Request-ID` (1 to 128 characters of `A-Z a-z 0-9 . _ : -`) is echoed, or made where none or
//! an unfit one is given, and stands in the log span of the request.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod api;
pub mod auth;
mod cors;
mod events;
#[cfg(feature = "openapi")]
pub mod openapi;
mod problem;
mod query;
mod rate;
mod request_id;
mod routes;
#[cfg(feature = "ui")]
pub mod ui;
mod upload;
#[cfg(feature = "wallet")]
mod wallet;

pub use api::{Api, ApiBuilder, CancelPolicy};
pub use auth::{Authenticator, BearerTokens, Principal, Role};
#[cfg(feature = "wallet")]
pub use wallet::{WalletSignIn, WalletSignInBuilder, verify_personal_sign};
