//! Names of jobs, attempts and nodes, and where new ones come from.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::error::{Error, Result};

/// The name of a job: 1 to 128 characters of `A-Z a-z 0-9 . _ : -`, given by the submitter or
/// minted. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, pattern = "^[A-Za-z0-9._:-]{1,128}$"))]
pub struct JobId(Arc<str>);

impl JobId {
    /// The most characters that an id may have.
    pub const MAX_LEN: usize = 128;

    /// Checks and takes an id.
    ///
    /// # Errors
    /// `InvalidInput` on field `id` when the text is empty, too long, or holds another character.
    pub fn new(id: impl AsRef<str>) -> Result<Self> {
        let id = id.as_ref();
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if id.is_empty() || id.len() > Self::MAX_LEN || !id.bytes().all(legal) {
            return Err(Error::invalid("id", "must be 1 to 128 characters of A-Z a-z 0-9 . _ : -"));
        }
        Ok(Self(Arc::from(id)))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A fresh id from this source.
    #[must_use]
    pub fn mint(ids: &dyn IdSource) -> Self {
        Self(Arc::from(ids.uuid().to_string()))
    }
}

impl FromStr for JobId {
    type Err = Error;

    fn from_str(id: &str) -> Result<Self> {
        Self::new(id)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        Self::new(id).map_err(|error| serde::de::Error::custom(error.message()))
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes an existing UUID.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }

            /// A fresh id from this source.
            #[must_use]
            pub fn mint(ids: &dyn IdSource) -> Self {
                Self(ids.uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

uuid_id!(
    /// The name of one try of an execution. Never used twice.
    AttemptId
);
uuid_id!(
    /// The name of one life of a node: each start, and each return after a lost lease, has its own.
    IncarnationId
);

/// Where new ids come from.
///
/// # Contract
/// No value is ever returned twice, by any source that feeds the same store.
pub trait IdSource: fmt::Debug + Send + Sync + 'static {
    /// A fresh UUID.
    fn uuid(&self) -> Uuid;
}

/// Random UUIDs that sort by the time at which they were made (version 7).
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl IdSource for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "this is the source that everything else is given")]
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}
