//! Values of flags that have a form of their own.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use crate::secret::Secret;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) usize);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let factor = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => Some(1),
            "kib" => Some(1 << 10),
            "mib" => Some(1 << 20),
            "gib" => Some(1 << 30),
            _ => None,
        };
        digits
            .parse::<usize>()
            .ok()
            .zip(factor)
            .and_then(|(count, factor)| count.checked_mul(factor))
            .filter(|bytes| (1 << 10..=1 << 30).contains(bytes))
            .map(Self)
            .ok_or_else(|| "must be from 1KiB to 1GiB: bytes, or a number with KiB, MiB or GiB".to_owned())
    }
}

/// Where jobs live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    /// In this process.
    Memory,
    /// In a file.
    Sqlite(PathBuf),
    /// On a server that many nodes share. The address may hold a password.
    Postgres(Secret),
}

impl FromStr for Database {
    type Err = String;

    /// The message never repeats the text: an address may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(Self::Postgres(Secret::new(text)));
        }
        match text.strip_prefix("sqlite://") {
            Some("") => {
                Err("names no file; write it as sqlite://PATH, for example sqlite://beacon.db".to_owned())
            }
            Some(path) if path.contains('?') => {
                Err("takes no options after ?; use sqlite://PATH alone".to_owned())
            }
            Some(path) => Ok(Self::Sqlite(PathBuf::from(path))),
            None => Err("must be sqlite://PATH, postgres://USER@HOST/DATABASE or memory:".to_owned()),
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_secrets(url.expose())),
        }
    }
}

/// The server and the database of an address. Who asks, by what password and with what options is
/// left out; where it cannot be told which part is which, all of it.
fn without_secrets(url: &str) -> String {
    let hidden = || "postgres://...".to_owned();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = match rest.rsplit_once('@') {
        Some((who, _)) if who.contains(['/', '?', '#']) => return hidden(),
        Some((_, rest)) => rest,
        None => rest,
    };
    let shown = rest.split(['?', '#']).next().unwrap_or_default();
    let server = shown.split('/').next().unwrap_or_default();
    let port = server.rsplit_once(']').map_or(server, |(_, port)| port).split_once(':').map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        hidden()
    } else {
        format!("postgres://{shown}")
    }
}

/// A label to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label(pub(crate) String);

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((key, _)) if !key.is_empty() => Ok(Self(text.to_owned())),
            _ => Err("must be KEY:VALUE, for example suite:bias".to_owned()),
        }
    }
}

/// Reads an address to listen on.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let local =
        || Some(SocketAddr::from((Ipv4Addr::LOCALHOST, text.strip_prefix("localhost:")?.parse().ok()?)));
    text.parse().ok().or_else(local).ok_or_else(|| {
        "must be ADDRESS:PORT, for example 127.0.0.1:8080, or port 0 for a free one".to_owned()
    })
}

/// Reads `http://HOST[:PORT]` or `https://HOST[:PORT]`, without the slash that may end it.
pub(crate) fn parse_origin(text: &str) -> Result<String, String> {
    let wrong = || "must be http://HOST:PORT or https://HOST:PORT with nothing after it".to_owned();
    let uri: axum::http::Uri = text.parse().map_err(|_| wrong())?;
    let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme)).ok_or_else(wrong)?;
    let authority =
        uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
    if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
        return Err(wrong());
    }
    Ok(format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_bytes_or_with_a_unit() {
        for (text, bytes) in
            [("1024", 1 << 10), ("1048576", 1 << 20), ("1MiB", 1 << 20), ("3 kib", 3072), ("1gib", 1 << 30)]
        {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "0", "MiB", "1MB", "-1", "1.5MiB", "99999999999GiB", "1023", "2GiB", "1 0"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_database_is_a_file_a_server_or_memory_and_a_password_is_never_repeated() {
        assert_eq!("memory:".parse(), Ok(Database::Memory));
        assert_eq!("sqlite://beacon.db".parse(), Ok(Database::Sqlite("beacon.db".into())));
        assert_eq!("sqlite:///var/lib/b.db".parse(), Ok(Database::Sqlite("/var/lib/b.db".into())));
        for (url, shown) in [
            ("postgres://u:hunter2@h:5433/db", "postgres://h:5433/db"),
            ("postgresql://u:hunter2@h/db?host=/run/pg", "postgres://h/db"),
            ("postgres://h/db?user=u&password=hunter2", "postgres://h/db"),
            ("postgres://h?password=hunter2", "postgres://h"),
            ("postgres://u:hunter2/hunter2@h/db", "postgres://..."),
            ("postgres://u:hunter2@hunter2@h/db", "postgres://h/db"),
            ("postgres://u:hunter2#@h/db", "postgres://..."),
            ("postgres://h/db?user=u&password=hunter2@", "postgres://..."),
            ("postgres://u:hunter2", "postgres://..."),
            ("postgres://u:hunter2@[::1]:5433/db", "postgres://[::1]:5433/db"),
        ] {
            let database = url.parse::<Database>().unwrap();
            assert_eq!(database.to_string(), shown);
            assert!(!format!("{database:?}").contains("hunter2"));
        }
        for text in
            ["mysql://u:hunter2@h/db", "postgres:u:hunter2@h", "sqlite://", "sqlite://a?mode=ro", "b.db"]
        {
            let error = text.parse::<Database>().unwrap_err();
            assert!(!error.contains("hunter2") && error.contains("sqlite://PATH"), "{error}");
        }
    }

    #[test]
    fn origins_have_a_scheme_a_host_and_nothing_else() {
        assert_eq!(parse_origin("http://127.0.0.1:8080/").as_deref(), Ok("http://127.0.0.1:8080"));
        assert_eq!(parse_origin("https://jobs.example").as_deref(), Ok("https://jobs.example"));
        for text in ["", "127.0.0.1:8080", "ftp://a", "http://a/b", "http://u:p@a", "http://a?b"] {
            assert!(parse_origin(text).is_err(), "{text}");
        }
    }
}
