use std::fmt;

/// A region that a portal may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Region {
    UsEast,
    EuWest,
    AsiaPacific,
}

impl Region {
    /// What a portal may call a region, in either spelling; `None` for any other word.
    pub(super) fn read(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "us" | "us-east" | "usa" | "na" => Self::UsEast,
            "eu" | "eu-west" | "europe" => Self::EuWest,
            "asia" | "apac" | "asia-pacific" => Self::AsiaPacific,
            _ => return None,
        })
    }

    /// The words that are explained to whoever named another region.
    pub(super) const KNOWN: &str = "US, EU, ASIA, APAC, us-east, eu-west, asia-pacific";

    /// What the portal's page calls it.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::UsEast => "US",
            Self::EuWest => "EU",
            Self::AsiaPacific => "ASIA",
        }
    }

    /// What the addresses of web endpoints have of it.
    pub(super) const fn area(self) -> &'static str {
        match self {
            Self::UsEast => "us",
            Self::EuWest => "eu",
            Self::AsiaPacific => "apac",
        }
    }

    /// What the providers behind a router call it.
    pub(super) const fn router(self) -> &'static str {
        match self {
            Self::UsEast => "us-east",
            Self::EuWest => "eu-west",
            Self::AsiaPacific => "asia-pacific",
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.router())
    }
}
