use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use sha3::{Digest, Keccak256};

use super::address::{Address, hex};

/// A signature by an account's own key: r, s and v, 65 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct WalletSignature {
    signature: Signature,
    recovery: RecoveryId,
}

impl WalletSignature {
    /// Reads a signature.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let form = "must be 0x and 130 hexadecimal digits, as an account's own key signs; \
                    wallets that are contracts (EIP-1271, EIP-6492) cannot sign in here";
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 130).ok_or(form)?;
        let bytes = hex(digits).ok_or(form)?;
        let (scalars, v) = bytes.split_at_checked(64).ok_or(form)?;
        let recovery = match v {
            [v @ (27 | 28)] => v - 27,
            [v @ (0 | 1)] => *v,
            _ => return Err("has a last byte that is none of 0, 1, 27 and 28"),
        };
        let signature = Signature::from_slice(scalars).map_err(|_| "has a zero or too large part")?;
        if signature.normalize_s() != signature {
            // Everybody could make it from the other of the two that fit; wallets give the low one.
            return Err("has a high s part, which no wallet gives");
        }
        let recovery = RecoveryId::from_byte(recovery).ok_or(form)?;
        Ok(Self { signature, recovery })
    }

    /// The account that signed this text in the way of EIP-191's `personal_sign`.
    pub(super) fn signer(&self, text: &str) -> Option<Address> {
        let key = VerifyingKey::recover_from_prehash(&digest(text), &self.signature, self.recovery).ok()?;
        let point = key.to_sec1_point(false);
        // Before x and y it says that both are there.
        Address::of_key(point.as_bytes().get(1..)?)
    }
}

pub(super) fn digest(text: &str) -> [u8; 32] {
    let mut hash = Keccak256::new();
    hash.update(b"\x19Ethereum Signed Message:\n");
    hash.update(text.len().to_string());
    hash.update(text);
    hash.finalize().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]
mod tests {
    use super::*;

    /// The example of web3.js' documentation of `eth.accounts.sign`.
    const TEXT: &str = "Some data";
    const SIGNATURE: &str = "0xb91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c";
    const SIGNER: &str = "0x2c7536e3605d9c16a7a3d7b1898e529396a65c23";

    #[test]
    fn the_signer_of_a_published_signature_is_found() {
        let hash: String = digest(TEXT).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655");
        let signature = WalletSignature::read(SIGNATURE).unwrap();
        assert_eq!(signature.signer(TEXT).unwrap().to_string(), SIGNER);
        assert_ne!(signature.signer("Some data.").map(|signer| signer.to_string()).as_deref(), Some(SIGNER));
    }

    #[test]
    fn the_last_byte_may_count_from_zero_or_27() {
        let other = format!("{}01", &SIGNATURE[..130]);
        assert_eq!(WalletSignature::read(&other).unwrap().signer(TEXT).unwrap().to_string(), SIGNER);
        for last in ["02", "1a", "1d", "25", "ff"] {
            assert!(WalletSignature::read(&format!("{}{last}", &SIGNATURE[..130])).is_err(), "{last}");
        }
    }

    #[test]
    fn the_other_signature_that_would_fit_is_refused() {
        let signature = WalletSignature::read(SIGNATURE).unwrap().signature;
        let high = Signature::from_scalars(signature.r().to_bytes(), (-*signature.s()).to_bytes()).unwrap();
        let high: String = high.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let refusal = WalletSignature::read(&format!("0x{high}1b")).unwrap_err();
        assert!(refusal.contains("high s"), "{refusal}");
    }

    #[test]
    fn the_signature_of_a_contract_is_refused_with_that_reason() {
        let zero = "0".repeat(128);
        for bad in [
            "",
            "0x",
            &SIGNATURE[2..],
            &SIGNATURE[..130],
            &format!("{SIGNATURE}00"),
            &SIGNATURE.replace('b', "g"),
            &"6492".repeat(99),
        ] {
            assert!(WalletSignature::read(bad).unwrap_err().contains("EIP-1271"), "{bad}");
        }
        assert!(WalletSignature::read(&format!("0x{zero}1b")).is_err());
        assert!(WalletSignature::read(&format!("0x{}1b", "f".repeat(128))).is_err());
    }
}
