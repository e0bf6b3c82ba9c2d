use beacon_jobs::{Error, Result};

use super::address::Address;
use super::signature::WalletSignature;

/// Sees that the account with this address signed this text in the way of EIP-191's `personal_sign`,
/// for an interface that proves wallets in a form of its own. Returns the address in lower case.
///
/// It proves nothing about when or for whom the text was signed: that must stand in the text.
///
/// ```
/// use beacon_jobs_http::verify_personal_sign;
///
/// let signature = "0xb91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd\
///                  6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c";
/// let address = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23";
/// assert_eq!(verify_personal_sign(address, "Some data", signature)?, address.to_lowercase());
/// assert!(verify_personal_sign(address, "Other data", signature).is_err());
/// # Ok::<_, beacon_jobs::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` on `address` when it is none, or has a wrong EIP-55 checksum; on `signature` when
/// it has another form, or is not by that account or of another text.
pub fn verify_personal_sign(address: &str, text: &str, signature: &str) -> Result<String> {
    let address = Address::read(address).map_err(|why| Error::invalid("address", why))?;
    let signature = WalletSignature::read(signature).map_err(|why| Error::invalid("signature", why))?;
    if signature.signer(text) == Some(address) {
        Ok(address.to_string())
    } else {
        Err(Error::invalid("signature", format!("is not by {address}, or of another text")))
    }
}
