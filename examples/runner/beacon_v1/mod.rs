//! The interface of an existing portal, Beacon v1, which works against this runner as it is.
//!
//! It is served at the same paths as the API of this project, `/api/v1/jobs` among them. The two are
//! told apart by the credential: a portal never shows one, so **a request with an `Authorization`
//! header is answered by the API, one without by this interface**, where both have the path. Paths that
//! only one of them has are its own. [`route::is_v1`] is the whole rule.
//!
//! | method, path below `/api/v1` | answer |
//! |---|---|
//! | POST `/jobs/cross-region` | takes `{jobspec, target_regions, …}`; 202 |
//! | POST `/jobs` | takes a bare spec; 202, or 200 for an `Idempotency-Key` that was used |
//! | GET `/jobs` | `{jobs: [{id, status, created_at}]}`, newest first |
//! | GET `/jobs/{id}` | `{job, status, executions}`; `include`, `exec_limit`, `exec_offset` |
//! | POST `/jobs/{id}/cancel` | cancels; with `--cancel-policy legacy_open` only |
//! | GET `/jobs/{id}/executions/all` | its rows |
//! | GET `/executions`, `/executions/{row}/details`, `/executions/{row}/receipt` | rows |
//! | POST `/executions/{row}/retry-question` | tries a failed row again |
//! | GET `/questions`, `/health`, `/health/live`, `/health/ready` | the last three also without the base |
//!
//! - **Reading is open** to whoever reaches the server, as the portal expects, but only jobs that came
//!   this way are shown: they carry the label `wire: beacon-v1`.
//! - **Owner** of a job is the wallet that its spec proves, else `anonymous`. A signature is good for one
//!   job: its digest is the job's idempotency key, so the store itself refuses it under another id. It
//!   must be younger than twelve hours, which is shorter than any job is kept; one without
//!   `metadata.timestamp`, which `--v1-signatures optional` takes, is known as long as its job is kept. Of
//!   the proofs nothing is kept, so nothing can be read back, and none of them cancels anything.
//! - **Cancel** carries nothing that tells who asks. So it is refused with 401 unless the policy
//!   `legacy_open` was switched on by name; then it goes on record as by `anonymous`. With a credential
//!   it is the API's cancel, under every policy.
//! - **Rows** are numbered by the first 41 bits of the SHA-256 of their job's id, and 12 bits for their
//!   place in the job; a label has the former. Should two jobs ever share them, their rows are refused by
//!   number.
//! - **A retry** is a new job of one execution, with the owner of the first: what the core has ended it
//!   does not begin again. The old row shows `retrying` while that runs, and then what it brought; the
//!   old job's status stays. A cancel of the old job also cancels its retries. It needs no signature: it
//!   repeats what a spec asked for that was taken, three times at most.
//! - **Texts** are cut after 4 096 characters where many rows are shown; `details` and `executions/all`
//!   have all of them.
//! - **What an execution does** is the template of `--v1-template`; `modal.json` beside this file asks
//!   Modal's web endpoints. What a stranger wrote is never put into a shell's script.
//! - **A region** that is not known is refused, as is one in the wrapper that a signed spec does not name.
//! - A job completes when `min_success_rate` of all its executions did; `min_regions` is only repeated.

mod cancel;
mod canonical;
mod executions;
mod health;
mod http;
mod jobs;
mod proof;
mod questions;
mod redact;
mod refusal;
mod regions;
mod retry;
mod route;
mod rows;
mod settings;
mod spec;
mod submit;
mod template;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use route::beside;
pub(crate) use settings::{BeaconV1Args, Settings};
