//! What can go wrong with a call to the daemon, and what that means.

use std::error::Error as StdError;
use std::fmt;

use beacon_jobs::executor::ExecuteError;
use beacon_jobs::job::FailureKind;
use beacon_jobs::stop::StopError;
use serde_json::Value;

/// What the daemon says is cut here when it is shown.
const MOST_SHOWN: usize = 500;

/// What sort of answer a call had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// None: the connection could not be made.
    Down,
    /// None: the connection broke.
    None,
    /// None within the time that the call has.
    Late,
    /// One that is not what it should be.
    Unreadable,
    /// A refusal, with its HTTP status.
    Status(u16),
}

/// A call that the daemon did not answer as it should.
#[derive(Debug)]
pub(crate) struct CallError {
    call: &'static str,
    answer: Answer,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl CallError {
    pub(crate) fn new(call: &'static str, answer: Answer, message: impl AsRef<str>) -> Self {
        Self { call, answer, message: one_line(message.as_ref()), source: None }
    }

    /// One that has not been answered yet.
    pub(crate) fn late(call: &'static str) -> Self {
        Self::new(call, Answer::Late, "")
    }

    /// A refusal, whose text stands in the body in one of three forms: `{"message"}`, problem details, or
    /// bare text, which may be a JSON string.
    pub(crate) fn refused(call: &'static str, status: u16, body: &str) -> Self {
        Self::new(call, Answer::Status(status), said(body))
    }

    pub(crate) fn sending(call: &'static str, error: reqwest::Error) -> Self {
        let error = error.without_url();
        let answer = match () {
            () if error.is_connect() => Answer::Down,
            () if error.is_timeout() => Answer::Late,
            () => Answer::None,
        };
        let mut message = error.to_string();
        // Where the connection failed, the error itself says only that.
        let mut cause = StdError::source(&error);
        while let Some(inner) = cause {
            message = inner.to_string();
            cause = inner.source();
        }
        Self { call, answer, message: one_line(&message), source: Some(Box::new(error)) }
    }

    pub(crate) const fn status(&self) -> Option<u16> {
        match self.answer {
            Answer::Status(status) => Some(status),
            _ => None,
        }
    }

    pub(crate) const fn is_unreadable(&self) -> bool {
        matches!(self.answer, Answer::Unreadable)
    }

    /// Whether the same call may be answered better later.
    pub(crate) const fn is_transient(&self) -> bool {
        match self.answer {
            Answer::Down | Answer::None | Answer::Late => true,
            Answer::Unreadable => false,
            Answer::Status(status) => status == 408 || status == 429 || status >= 500,
        }
    }

    /// Whether what was asked may still happen.
    pub(crate) const fn may_be_on_its_way(&self) -> bool {
        matches!(self.answer, Answer::None | Answer::Late | Answer::Status(408))
    }

    /// What to change, where that is known.
    fn advice(&self) -> &'static str {
        match self.answer {
            Answer::Down => "; check that yagna runs, and YAGNA_API_URL",
            Answer::Status(401 | 403) => "; check YAGNA_APPKEY",
            Answer::Status(_) if self.message.contains("insufficient-account-funds") => {
                "; the wallet needs GLM: see `yagna payment status`"
            }
            _ => "",
        }
    }

    /// As the end of an attempt.
    pub(crate) fn into_execute_error(self) -> ExecuteError {
        let error = ExecuteError::new(FailureKind::Provider, self.to_string());
        let error = if self.is_transient() { error.retryable() } else { error };
        error.with_source(self)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, message, .. } = self;
        match self.answer {
            Answer::Down | Answer::None => write!(f, "yagna's {call} had no answer: {message}")?,
            Answer::Late => write!(f, "yagna's {call} had no answer in time")?,
            Answer::Unreadable => write!(f, "yagna's {call} had an answer that cannot be read: {message}")?,
            Answer::Status(status) => write!(f, "yagna's {call} failed ({status}): {message}")?,
        }
        f.write_str(self.advice())
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

/// What an error's body says, in words.
fn said(body: &str) -> String {
    let text = match serde_json::from_str(body) {
        Ok(Value::String(text)) => text,
        Ok(Value::Object(fields)) => {
            let field = |name: &str| fields.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
            // Only its last part tells problems apart.
            let problem = field("type").and_then(|it| it.rsplit('/').next()).filter(|it| !it.is_empty());
            let words = field("message").or_else(|| field("detail")).or_else(|| field("title"));
            match (problem, words) {
                (Some(problem), Some(words)) => format!("{problem}: {words}"),
                (Some(only), None) | (None, Some(only)) => only.to_owned(),
                (None, None) => body.to_owned(),
            }
        }
        _ => body.to_owned(),
    };
    if text.trim().is_empty() { "it does not say why".to_owned() } else { text }
}

/// Messages of others are shown to people, on one line of a bearable length.
pub(crate) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
