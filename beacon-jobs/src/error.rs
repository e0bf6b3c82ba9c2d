use std::error::Error as StdError;
use std::fmt;

/// What went wrong, for programs that branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value given by the caller is not allowed; [`Error::field`] names it. Nothing was changed.
    InvalidInput,
    /// The store cannot be reached, is locked, full or read-only. Nothing was changed.
    Unavailable,
    /// The store was lost while it committed. The change may or may not have happened;
    /// the same call again gives the truth.
    OutcomeUnknown,
    /// The id or the idempotency key is taken by something else. Nothing was changed.
    Conflict,
    /// The store holds something that this version cannot read.
    Corrupt,
    /// Another live node uses a store that only one node may run on.
    Occupied,
    /// The configuration of the host program does not fit: the message says which setting.
    Misconfigured,
}

/// The error of every fallible call of this crate.
///
/// `Display` is one line and never holds a secret. A lower-level error stays available through
/// [`std::error::Error::source`]; its type is not part of the interface.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    field: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes an error of this kind. `message` is one line in lower case without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { inner: Box::new(Inner { kind, message: message.into(), field: None, source: None }) }
    }

    /// Makes an [`ErrorKind::InvalidInput`] error about one field, for example
    /// `executions[3].timeout_seconds`.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::InvalidInput, message);
        error.inner.field = Some(field.into());
        error
    }

    /// Keeps a lower-level error as the source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The path of the field that was refused, if the error is about one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.inner.field.as_deref()
    }

    /// The message alone, without the field.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Whether the same call may succeed later without any change by the caller.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.inner.kind, ErrorKind::Unavailable | ErrorKind::OutcomeUnknown)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner.field {
            Some(field) => write!(f, "{field}: {}", self.inner.message),
            None => f.write_str(&self.inner.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("field", &self.inner.field)
            .field("message", &self.inner.message)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
