//! How the program ends.

use std::process::ExitCode;

/// An end other than success: an exit code, and one line that says why.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    line: String,
}

impl Exit {
    /// The request, or the program, failed.
    pub(crate) fn failed(line: impl Into<String>) -> Self {
        Self { code: 1, line: line.into() }
    }

    /// The command line or a variable is not right.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self { code: 2, line: line.into() }
    }

    /// The wait ended with stops that are not settled, or cannot be confirmed.
    pub(crate) fn unsettled(line: impl Into<String>) -> Self {
        Self { code: 3, line: line.into() }
    }

    /// The job that was watched failed or was cancelled.
    pub(crate) fn not_completed(line: impl Into<String>) -> Self {
        Self { code: 4, line: line.into() }
    }

    /// Says why on stderr, in one line, and gives the code.
    pub(crate) fn report(self) -> ExitCode {
        let line = self.line.split_whitespace().collect::<Vec<_>>().join(" ");
        if !line.is_empty() {
            crate::print::to_stderr(&format!("beacon-runner: {line}"));
        }
        ExitCode::from(self.code)
    }
}

/// The command line errors of clap in one line, with the flag and the fix.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let line = lines.collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}
