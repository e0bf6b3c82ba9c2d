//! What can go wrong with a call to Modal, and what that means.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use beacon_jobs::executor::ExecuteError;
use beacon_jobs::job::FailureKind;
use beacon_jobs::stop::StopError;
use prost::Message;
use tonic::{Code, Status};

use crate::generated::{RpcRetryPolicy, RpcStatus};

/// A call that Modal did not answer as it should.
#[derive(Debug)]
pub(crate) struct CallError {
    rpc: &'static str,
    code: Code,
    message: String,
    /// The two could not agree on TLS. That does not pass by itself.
    is_tls: bool,
    /// The server asks for this much patience, and has not looked at the request.
    pub(crate) retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl CallError {
    pub(crate) fn new(rpc: &'static str, code: Code, message: impl Into<String>) -> Self {
        Self { rpc, code, message: message.into(), is_tls: false, retry_after: None, source: None }
    }

    pub(crate) fn of(rpc: &'static str, status: Status) -> Self {
        let mut message = one_line(status.message());
        let mut is_tls = false;
        // Where the connection failed, the status says only that.
        let mut cause = status.source();
        while let Some(error) = cause {
            is_tls |= is_tls_error(error);
            message = error.to_string();
            cause = error.source();
        }
        Self {
            rpc,
            code: status.code(),
            message: one_line(&message),
            is_tls,
            retry_after: retry_after(&status),
            source: Some(Box::new(status)),
        }
    }

    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// Whether the same call may succeed later, and does no harm: what Modal's own client retries.
    pub(crate) const fn is_transient(&self) -> bool {
        !self.is_tls
            && matches!(
                self.code,
                Code::DeadlineExceeded | Code::Unavailable | Code::Cancelled | Code::Internal | Code::Unknown
            )
    }

    /// Whether the server has said that it did not do what was asked. Anything else may still happen.
    pub(crate) const fn is_refusal(&self) -> bool {
        self.retry_after.is_some()
            || matches!(
                self.code,
                Code::Unauthenticated
                    | Code::PermissionDenied
                    | Code::NotFound
                    | Code::InvalidArgument
                    | Code::FailedPrecondition
                    | Code::Unimplemented
                    | Code::OutOfRange
                    | Code::ResourceExhausted
            )
    }

    /// Whether this server does not do this, or not for this token.
    pub(crate) const fn is_not_offered(&self) -> bool {
        matches!(self.code, Code::Unimplemented | Code::PermissionDenied)
    }

    /// What to change, where that is known.
    const fn advice(&self) -> &'static str {
        match self.code {
            _ if self.is_tls => "; no TLS connection: check MODAL_SERVER_URL and this machine's certificates",
            Code::Unavailable => "; check that MODAL_SERVER_URL can be reached",
            Code::Unauthenticated => "; check MODAL_TOKEN_ID and MODAL_TOKEN_SECRET",
            Code::PermissionDenied => "; this token may not do it",
            Code::FailedPrecondition => {
                "; if Modal says that the client is too old, set a newer client version (Config::with_client)"
            }
            Code::Unimplemented => "; this server does not know the call",
            _ => "",
        }
    }

    /// As the end of an attempt.
    pub(crate) fn into_execute_error(self) -> ExecuteError {
        let retryable =
            self.is_transient() || self.retry_after.is_some() || self.code == Code::ResourceExhausted;
        let error = ExecuteError::new(FailureKind::Provider, self.to_string());
        let error = if retryable { error.retryable() } else { error };
        error.with_source(self)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rpc, message, code, .. } = self;
        write!(f, "Modal's {rpc} failed ({code:?}): {message}{}", self.advice())
    }
}

impl StdError for CallError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<CallError> for StopError {
    fn from(error: CallError) -> Self {
        Self::new(error.to_string()).with_source(error)
    }
}

/// Messages of servers are shown to people, on one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_tls_error(error: &(dyn StdError + 'static)) -> bool {
    // An I/O error does not show what it wraps as its source.
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>())
}

fn retry_after(status: &Status) -> Option<Duration> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let policy = details.iter().find(|detail| detail.type_url.ends_with(".RPCRetryPolicy"))?;
    let seconds = RpcRetryPolicy::decode(&*policy.value).ok()?.retry_after_secs;
    Duration::try_from_secs_f32(seconds).ok()
}
