//! Words that must not be shown.

use std::convert::Infallible;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::exit::Exit;

/// A token, or an address with a password. Neither `Debug` nor any error shows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// 256 bits from the operating system, in hexadecimal.
    pub(crate) fn fresh() -> Result<Self, Exit> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| Exit::failed(format!("the system gives no random numbers: {error}")))?;
        Ok(Self(bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })))
    }

    /// Takes a text.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_token_has_256_bits_differs_each_time_and_is_not_shown() {
        let (one, two) = (Secret::fresh().unwrap(), Secret::fresh().unwrap());
        assert_eq!(one.expose().len(), 64);
        assert_ne!(one, two);
        assert_eq!(format!("{one:?}"), "***");
    }
}
