use std::fmt;

use sha3::{Digest, Keccak256};

/// An account's address. Written in lower case, so that two of them compare as texts do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Address([u8; 20]);

impl Address {
    /// The address of the account with this public key, given as x and y.
    pub(super) fn of_key(point: &[u8]) -> Option<Self> {
        let hash: [u8; 32] = Keccak256::digest(point).into();
        Some(Self(*hash.last_chunk()?))
    }

    /// Reads an address. In letters of both cases it must be as EIP-55 has it; in one case it has no
    /// checksum.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40);
        let address = digits.and_then(hex).and_then(|bytes| bytes.try_into().ok()).map(Self);
        let (Some(address), Some(digits)) = (address, digits) else {
            return Err("is not 0x and 40 hexadecimal digits");
        };
        let has = |case: fn(&u8) -> bool| digits.bytes().any(|byte| case(&byte));
        let is_mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        if is_mixed && address.checksummed() != text {
            return Err("has a wrong EIP-55 checksum, so it was mistyped");
        }
        Ok(address)
    }

    /// The address as EIP-55 writes it: a letter is a capital where the hash has a high digit.
    fn checksummed(self) -> String {
        let lower = self.to_string();
        let hash = Keccak256::digest(lower.trim_start_matches("0x").as_bytes());
        let high = hash.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).map(|digit| digit >= 8);
        let digits = lower.chars().skip(2).zip(high);
        let cased = digits.map(|(digit, high)| if high { digit.to_ascii_uppercase() } else { digit });
        format!("0x{}", cased.collect::<String>())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads hexadecimal digits of either case.
pub(super) fn hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]
mod tests {
    use super::*;

    /// The addresses that EIP-55 gives as examples.
    const EXAMPLES: [&str; 8] = [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn the_examples_of_eip_55_are_read_and_written_as_they_stand() {
        for example in EXAMPLES {
            let address = Address::read(example).unwrap();
            assert_eq!(address.checksummed(), example);
            assert_eq!(address.to_string(), example.to_lowercase());
        }
    }

    #[test]
    fn an_address_in_one_case_has_no_checksum_and_is_the_same() {
        for example in EXAMPLES {
            let lower = Address::read(&example.to_lowercase()).unwrap();
            let upper = Address::read(&format!("0x{}", example[2..].to_uppercase())).unwrap();
            assert_eq!((lower, upper), (Address::read(example).unwrap(), lower));
        }
    }

    #[test]
    fn a_letter_of_the_wrong_case_or_another_form_is_refused() {
        let good = EXAMPLES[4];
        for place in (2..good.len()).filter(|place| good.as_bytes()[*place].is_ascii_alphabetic()) {
            let mut bytes = good.as_bytes().to_vec();
            bytes[place] ^= 0x20;
            assert!(Address::read(std::str::from_utf8(&bytes).unwrap()).is_err(), "{place}");
        }
        for bad in [
            "",
            "0x",
            &good[2..],
            &good[..41],
            &format!("{good}0"),
            &good.replace("0x", "0X"),
            &good.replace('5', "g"),
            &good.replace('A', "\u{e4}"),
        ] {
            assert!(Address::read(bad).is_err(), "{bad}");
        }
    }
}
