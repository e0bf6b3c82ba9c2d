use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// The small JSON value by which a provider's work can be found again and stopped, from any
/// process. It must not hold a secret: it is stored, logged and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(Value);

impl Handle {
    /// Takes a JSON value as it is.
    #[must_use]
    pub const fn new(value: Value) -> Self {
        Self(value)
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// `InvalidInput` when the value has no JSON form.
    pub fn of(value: &impl Serialize) -> Result<Self> {
        serde_json::to_value(value).map(Self).map_err(|error| Error::invalid("handle", error.to_string()))
    }

    /// Reads the value back.
    ///
    /// # Errors
    /// `Corrupt` when it does not have this form.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.0).map_err(|error| {
            Error::new(ErrorKind::Corrupt, format!("the saved handle cannot be read: {error}"))
        })
    }

    /// The JSON value.
    #[must_use]
    pub const fn as_value(&self) -> &Value {
        &self.0
    }
}
