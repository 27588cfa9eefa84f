//! Signatures (TPM 2.0 Library, part 2, section 11.3.4, TPMT_SIGNATURE).

use super::public::coordinate;
use super::{Reader, Tpm2Error, algorithm};

/// Reads a TPMT_SIGNATURE by ECDSA with SHA-256 on P-256, as r and s of 32 bytes each.
///
/// # Errors
/// Says what is wrong with it, or not supported.
pub fn ecdsa_signature(bytes: &[u8]) -> Result<[u8; 64], Tpm2Error> {
    let mut r = Reader::new("signature", bytes);
    r.expect(algorithm::ECDSA, "scheme")?;
    r.expect(algorithm::SHA256, "hash")?;
    let halves = [coordinate(&mut r)?, coordinate(&mut r)?];
    r.finish()?;
    let mut signature = [0; 64];
    for (to, from) in signature.iter_mut().zip(halves.as_flattened()) {
        *to = *from;
    }
    Ok(signature)
}
