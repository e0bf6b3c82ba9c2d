use std::str::Split;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::address::Address;

/// A sign-in message as EIP-4361 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) scheme: Option<&'a str>,
    pub(super) domain: &'a str,
    pub(super) address: Address,
    pub(super) statement: Option<&'a str>,
    pub(super) uri: &'a str,
    pub(super) version: &'a str,
    pub(super) chain_id: u64,
    pub(super) nonce: &'a str,
    pub(super) issued_at: OffsetDateTime,
    pub(super) expiration_time: Option<OffsetDateTime>,
    pub(super) not_before: Option<OffsetDateTime>,
    pub(super) request_id: Option<&'a str>,
    pub(super) resources: Vec<&'a str>,
}

const REQUEST: &str = " wants you to sign in with your Ethereum account:";

impl<'a> Message<'a> {
    /// Reads a message. It must be written exactly in the form of EIP-4361: what was signed then has
    /// one meaning only.
    pub(super) fn read(text: &'a str) -> Result<Self, String> {
        let mut lines = Lines { left: text.split('\n'), next: None };
        let origin = lines.next().and_then(|line| line.strip_suffix(REQUEST));
        let origin = origin.ok_or_else(|| format!("does not begin with a domain and {REQUEST:?}"))?;
        let (scheme, domain) = match origin.split_once("://") {
            Some((scheme, domain)) => (Some(scheme), domain),
            None => (None, origin),
        };
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        };
        let is_authority = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte);
        if !scheme.is_none_or(is_scheme) || domain.is_empty() || !domain.bytes().all(is_authority) {
            return Err("has a domain of another form than host or host:port".to_owned());
        }
        let address = Address::read(lines.next().unwrap_or_default())
            .map_err(|message| format!("has an address that {message}"))?;
        lines.empty("after the address")?;
        let statement = match lines.next() {
            Some("") => None,
            Some(statement) if statement.bytes().all(is_plain) => {
                lines.empty("after the statement")?;
                Some(statement)
            }
            Some(_) => return Err("has a statement with a character that is not allowed".to_owned()),
            None => return Err("ends after the address".to_owned()),
        };
        let message = Self {
            scheme,
            domain,
            address,
            statement,
            uri: lines.field("URI", |text| is_uri(text).then_some(text))?,
            version: lines.field("Version", Some)?,
            chain_id: lines.field("Chain ID", number)?,
            nonce: lines.field("Nonce", |text| is_nonce(text).then_some(text))?,
            issued_at: lines.field("Issued At", moment)?,
            expiration_time: lines.optional("Expiration Time", moment)?,
            not_before: lines.optional("Not Before", moment)?,
            request_id: lines.optional("Request ID", |text| text.bytes().all(is_in_path).then_some(text))?,
            resources: lines.resources()?,
        };
        match lines.next() {
            None => Ok(message),
            Some(_) => Err("has a line at its end that does not belong there".to_owned()),
        }
    }
}

/// The lines of a message, one of which may be put back.
struct Lines<'a> {
    left: Split<'a, char>,
    next: Option<&'a str>,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.next.take().or_else(|| self.left.next())
    }

    fn empty(&mut self, place: &str) -> Result<(), String> {
        if self.next() == Some("") { Ok(()) } else { Err(format!("has no empty line {place}")) }
    }

    fn field<T>(&mut self, name: &str, read: impl Fn(&'a str) -> Option<T>) -> Result<T, String> {
        self.optional(name, read)?.ok_or_else(|| format!("has no line {name:?} where it belongs"))
    }

    fn optional<T>(&mut self, name: &str, read: impl Fn(&'a str) -> Option<T>) -> Result<Option<T>, String> {
        let Some(line) = self.next() else { return Ok(None) };
        match line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")) {
            Some(value) => read(value).map(Some).ok_or_else(|| format!("has a {name:?} of another form")),
            None => {
                self.next = Some(line);
                Ok(None)
            }
        }
    }

    fn resources(&mut self) -> Result<Vec<&'a str>, String> {
        let mut resources = Vec::new();
        match self.next() {
            Some("Resources:") => {}
            line => {
                self.next = line;
                return Ok(resources);
            }
        }
        while let Some(line) = self.next() {
            let resource = line.strip_prefix("- ").filter(|resource| is_uri(resource));
            resources.push(resource.ok_or("has a resource of another form")?);
        }
        Ok(resources)
    }
}

/// Whether a byte may stand in a statement: RFC 3986's reserved and unreserved ones, and a space.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" -._~:/?#[]@!$&'()*+,;=".contains(&byte)
}

/// Whether a byte may stand in a part of a path.
fn is_in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@".contains(&byte)
}

fn is_uri(text: &str) -> bool {
    let is_scheme = |scheme: &str| scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    text.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme))
        && text.bytes().all(|byte| (is_plain(byte) && byte != b' ') || byte == b'%')
}

fn is_nonce(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]
mod tests {
    use proptest::prelude::*;

    use super::super::signature::WalletSignature;
    use super::*;

    /// Signed messages that were published with the `siwe` library.
    const PUBLISHED: [(&str, &str); 4] = [
        (
            "login.xyz wants you to sign in with your Ethereum account:\n\
             0x9D85ca56217D2bb651b00f15e694EB7E713637D4\n\nSign-In With Ethereum Example Statement\n\n\
             URI: https://login.xyz\nVersion: 1\nChain ID: 1\nNonce: bTyXgcQxn2htgkjJn\n\
             Issued At: 2022-01-27T17:09:38.578Z\nExpiration Time: 2100-01-07T14:31:43.952Z",
            "0xdc35c7f8ba2720df052e0092556456127f00f7707eaa8e3bbff7e56774e7f2e05a093cfc9e02964c33d86e8e066e221b7d153d27e5a2e97ccd5ca7d3f2ce06cb1b",
        ),
        (
            "login.xyz wants you to sign in with your Ethereum account:\n\
             0xE6D3Aa1F561A215E5eb1f02Ba8705385F03fCaFB\n\nSign-In With Ethereum Example Statement\n\n\
             URI: https://login.xyz\nVersion: 1\nChain ID: 1\nNonce: lx2nx4so\n\
             Issued At: 2022-01-05T14:27:30.883Z\nNot Before: 2100-01-07T14:31:43.952Z",
            "0xc2539ace78f13c7eb8c0852d38d269a6f97bebd9f7872097d2e3137b541f8bf50176062a46eeea83086bd2721423fb5755a932ff6ccc046ed482d14e4576042f1c",
        ),
        (
            "login.xyz wants you to sign in with your Ethereum account:\n\
             0x2ecA0068307e706741445764A3D6A4402aC2A5a9\n\nSign-In With Ethereum Example Statement\n\n\
             URI: https://login.xyz\nVersion: 1\nChain ID: 1\nNonce: lx2nx4so\n\
             Issued At: 2022-01-05T14:27:30.883Z\nExpiration Time: 2021-01-05T00:00:00Z",
            "0x7337bc2826c7678cd6bc84f5b3b236efc969b0451f9feca2328b1d3401b030c113f19bdba359ba3f52762c66e9147311fa95fe598a1a4ec9bb383a7b4e3874241b",
        ),
        (
            "www.tally.xyz wants you to sign in with your Ethereum account:\n\
             0xc95EB884FE852e241D409234bfC7045CB9E31BD7\n\nSign in with Ethereum to Tally\n\n\
             URI: https://tally.xyz\nVersion: 1\nChain ID: 1\nNonce: 15050747\n\
             Issued At: 2022-06-30T14:08:51.382Z",
            "0x8c46b6eb8505939892d8e9b075f89f8277321b17b993151f37810cdda38cce6f4a85909d2b53e6a14629c74c0ac38bf4becde78ee5b2529812bf6cceaf7b2a2501",
        ),
    ];

    /// The message that EIP-4361 gives as its example.
    const EXAMPLE: &str = "example.com wants you to sign in with your Ethereum account:\n\
        0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n\n\
        I accept the ExampleOrg Terms of Service: https://example.com/tos\n\n\
        URI: https://example.com/login\nVersion: 1\nChain ID: 1\nNonce: 32891756\n\
        Issued At: 2021-09-30T16:25:24Z\nResources:\n\
        - ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/\n\
        - https://example.com/my-web2-claim.json";

    #[test]
    fn published_messages_are_read_and_were_signed_by_their_address() {
        for (text, signature) in PUBLISHED {
            let message = Message::read(text).unwrap();
            let signer = WalletSignature::read(signature).unwrap().signer(text).unwrap();
            assert_eq!(message.address, signer);
        }
    }

    #[test]
    fn the_example_of_eip_4361_is_read_whole() {
        let message = Message::read(EXAMPLE).unwrap();
        assert_eq!((message.scheme, message.domain, message.chain_id), (None, "example.com", 1));
        assert_eq!(
            message.statement,
            Some("I accept the ExampleOrg Terms of Service: https://example.com/tos")
        );
        assert_eq!((message.uri, message.nonce), ("https://example.com/login", "32891756"));
        assert_eq!(message.resources.len(), 2);
        let with_scheme = format!("https://{EXAMPLE}");
        assert_eq!(Message::read(&with_scheme).unwrap().scheme, Some("https"));
    }

    #[test]
    fn no_line_may_be_missing_doubled_moved_or_changed() {
        let lines: Vec<&str> = PUBLISHED[0].0.split('\n').collect();
        let read = |lines: &[&str]| Message::read(&lines.join("\n")).map(drop);
        assert!(read(&lines).is_ok());
        for place in 0..lines.len() {
            let mut missing = lines.clone();
            missing.remove(place);
            // There may be no statement and no expiration.
            assert_eq!(read(&missing).is_ok(), [3, lines.len() - 1].contains(&place), "without line {place}");
            let mut doubled = lines.clone();
            doubled.insert(place, lines[place]);
            assert!(read(&doubled).is_err(), "line {place} twice");
            for other in (0..lines.len()).filter(|other| lines[*other] != lines[place]) {
                let mut swapped = lines.clone();
                swapped.swap(place, other);
                assert!(read(&swapped).is_err(), "lines {place} and {other} swapped");
            }
            for change in [
                format!("{} ", lines[place]),
                format!(" {}", lines[place]),
                format!("{}\r", lines[place]),
                format!("{}\u{a0}", lines[place]),
            ] {
                let mut changed = lines.clone();
                changed[place] = &change;
                let may_hold_spaces = place == 3 && change.is_ascii() && !change.contains('\r');
                // A version is a word of which only `1` is taken later.
                assert_eq!(
                    read(&changed).is_ok(),
                    may_hold_spaces || place == 6 && change.starts_with('V'),
                    "{change:?}"
                );
            }
        }
        for (good, bad) in [
            ("Chain ID: 1", "Chain ID: +1"),
            ("Chain ID: 1", "Chain ID: "),
            ("Chain ID: 1", "Chain ID: 99999999999999999999"),
            ("Nonce: bTyXgcQxn2htgkjJn", "Nonce: short"),
            ("Nonce: bTyXgcQxn2htgkjJn", "Nonce: with-a-hyphen"),
            ("Issued At: 2022-01-27T17:09:38.578Z", "Issued At: 2022-01-27"),
            ("URI: https://login.xyz", "URI: login"),
            ("login.xyz wants", "user@login.xyz wants"),
            ("login.xyz wants", " wants"),
            ("login.xyz wants", "login.xyz/path wants"),
            ("0x9D85", "0x9d85"),
        ] {
            let text = PUBLISHED[0].0.replacen(good, bad, 1);
            assert!(Message::read(&text).is_err(), "{bad}");
        }
        assert!(Message::read(&format!("{}\n", PUBLISHED[0].0)).is_err());
        assert!(Message::read(&format!("{EXAMPLE}\n- ")).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_but_never_a_fault(text in "\\PC{0,200}") {
            let _ = Message::read(&text);
        }

        #[test]
        fn a_message_with_something_wrong_is_never_a_fault(
            start in 0_usize..400, end in 0_usize..400, with in "\\PC{0,8}|\n|: ",
        ) {
            let (start, end) = (start.min(end).min(EXAMPLE.len()), end.max(start).min(EXAMPLE.len()));
            let mut text = EXAMPLE.to_owned();
            text.replace_range(start..end, &with);
            let _ = Message::read(&text);
        }

        #[test]
        fn what_was_written_is_read(
            scheme in proptest::option::of("https?"),
            domain in "[a-z]{1,9}(\\.[a-z]{2,3})?(:[0-9]{2,4})?",
            address: [u8; 20],
            statement in proptest::option::of("[ -!#-;=?-Z_a-z~]{1,40}"),
            uri in "https://[a-z]{1,9}/[a-z0-9%/?=&]{0,9}",
            chain_id: u64,
            nonce in "[A-Za-z0-9]{8,20}",
            seconds in 0_i64..4_000_000_000,
            expires in proptest::option::of(0_i64..4_000_000_000),
            begins in proptest::option::of(0_i64..4_000_000_000),
            request_id in proptest::option::of("[a-z0-9@:]{0,9}"),
            resources in proptest::collection::vec("ipfs://[a-z]{1,9}", 0..3),
        ) {
            prop_assume!(statement.as_deref().is_none_or(|statement| statement.bytes().all(is_plain)));
            let hex: String = address.iter().map(|byte| format!("{byte:02x}")).collect();
            let moment = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let written = |seconds| moment(seconds).format(&Rfc3339).unwrap();
            let mut text = String::new();
            if let Some(scheme) = &scheme {
                text += &format!("{scheme}://");
            }
            text += &format!("{domain}{REQUEST}\n0x{hex}\n\n");
            if let Some(statement) = &statement {
                text += &format!("{statement}\n");
            }
            text += &format!("\nURI: {uri}\nVersion: 1\nChain ID: {chain_id}\nNonce: {nonce}\nIssued At: {}", written(seconds));
            for (name, at) in [("Expiration Time", expires), ("Not Before", begins)] {
                if let Some(at) = at {
                    text += &format!("\n{name}: {}", written(at));
                }
            }
            if let Some(id) = &request_id {
                text += &format!("\nRequest ID: {id}");
            }
            if !resources.is_empty() {
                text += "\nResources:";
                for resource in &resources {
                    text += &format!("\n- {resource}");
                }
            }
            let message = Message::read(&text).unwrap();
            prop_assert_eq!(message, Message {
                scheme: scheme.as_deref(), domain: &domain, address: Address::read(&format!("0x{hex}")).unwrap(),
                statement: statement.as_deref(), uri: &uri, version: "1", chain_id, nonce: &nonce,
                issued_at: moment(seconds), expiration_time: expires.map(moment), not_before: begins.map(moment),
                request_id: request_id.as_deref(), resources: resources.iter().map(String::as_str).collect(),
            });
        }
    }
}
