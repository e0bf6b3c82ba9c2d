use serde::{Deserialize, Serialize};

/// How far an attempt has come, in the words of its executor. It decides nothing: an execution is
/// over when its status says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct ExecutionProgress {
    /// How many steps are done; what a step is, the executor says.
    pub done: u32,
    /// How many there are, where that is known.
    pub total: Option<u32>,
    /// What is under way: a line of at most 256 bytes.
    pub message: Option<String>,
}

impl ExecutionProgress {
    /// The longest a message gets, in bytes of UTF-8.
    pub const MOST_MESSAGE: usize = 256;

    /// So many steps are done.
    #[must_use]
    pub const fn new(done: u32) -> Self {
        Self { done, total: None, message: None }
    }

    /// Of so many.
    #[must_use]
    pub const fn of(mut self, total: u32) -> Self {
        self.total = Some(total);
        self
    }

    /// Says what is under way. Of several lines the first is kept, as far as it fits; what is no text
    /// for a line becomes a blank.
    ///
    /// ```
    /// use beacon_jobs::job::ExecutionProgress;
    ///
    /// let progress = ExecutionProgress::new(2).of(5).with_message("run /bin/sort");
    /// assert_eq!(progress.to_string(), "2 of 5: run /bin/sort");
    /// ```
    #[must_use]
    pub fn with_message(mut self, message: impl AsRef<str>) -> Self {
        let line = message.as_ref().trim().lines().next().unwrap_or_default();
        let mut kept = String::new();
        for letter in line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }) {
            if kept.len() + letter.len_utf8() > Self::MOST_MESSAGE {
                break;
            }
            kept.push(letter);
        }
        self.message = Some(kept).filter(|kept| !kept.is_empty());
        self
    }
}

impl std::fmt::Display for ExecutionProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.done)?;
        if let Some(total) = self.total {
            write!(f, " of {total}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Option<String> {
        ExecutionProgress::new(0).with_message(text).message
    }

    #[test]
    fn a_message_is_one_short_line() {
        assert_eq!(message("  one\ntwo\n").as_deref(), Some("one"));
        assert_eq!(message("a\tb\u{1b}[31m\0c").as_deref(), Some("a b [31m c"));
        assert_eq!(message(" \n\t "), None);
        let long = "\u{20ac}".repeat(200);
        let kept = message(&long).unwrap_or_default();
        assert_eq!(kept.len(), 255, "cut between letters: {kept}");
    }
}
