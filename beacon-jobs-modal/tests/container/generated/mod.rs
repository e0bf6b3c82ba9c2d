//! Made from `proto/container.proto`; the test `codegen` makes it anew.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::future_not_send,
    clippy::use_self,
    reason = "generated"
)]
#![allow(clippy::disallowed_methods, clippy::clone_on_ref_ptr, reason = "generated")]

include!("modal.client.rs");
