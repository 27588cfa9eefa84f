//! What the keys of a TPM have to be, and what identifies them.

use aws_lc_rs::digest::{SHA256, digest};
use shared::tpm2::{Key, NAME, PublicArea, Symmetric, algorithm, attribute};

/// The name of an object: its name algorithm and the digest of its public area (TPM 2.0 Library, part 1,
/// section 16).
pub type Name = [u8; NAME];

/// The name of a key; its name algorithm is SHA-256, as [`PublicArea`] takes no other.
#[must_use]
pub fn name(key: &PublicArea<'_>) -> Name {
    let mut name = [0; NAME];
    let hash = digest(&SHA256, key.bytes);
    for (to, from) in name.iter_mut().zip(algorithm::SHA256.to_be_bytes().iter().chain(hash.as_ref())) {
        *to = *from;
    }
    name
}

/// What is wrong with a key of a TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Attributes are missing.
    #[error("the {key} has attributes {found:#010x}; {wanted:#010x} are all needed")]
    Missing {
        /// Which key.
        key: &'static str,
        /// Its attributes.
        found: u32,
        /// Those that must be set.
        wanted: u32,
    },
    /// Attributes are set that must not be.
    #[error("the {key} has attributes {found:#010x}; none of {unwanted:#010x} may be set")]
    Excess {
        /// Which key.
        key: &'static str,
        /// Its attributes.
        found: u32,
        /// Those that must not be set.
        unwanted: u32,
    },
    /// Another algorithm than its part takes.
    #[error("the {key} is no {wanted}")]
    Kind {
        /// Which key.
        key: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
}

const EK: &str = "endorsement key";
const AK: &str = "attestation key";
const OPERATIONAL: &str = "operational key";

/// An endorsement key decrypts what is meant for its TPM, and does nothing else (TCG EK Credential Profile,
/// section 2.1.5): RSA-2048 or P-256, with AES-128 in CFB mode.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_ek(key: &PublicArea<'_>) -> Result<(), KeyFault> {
    let wanted = attribute::OF_THIS_TPM | attribute::RESTRICTED | attribute::DECRYPT;
    attributes(key, EK, wanted, attribute::SIGN)?;
    let sized = match key.key {
        Key::Rsa { modulus, .. } => modulus.len() == 256,
        Key::P256 { ecdsa_sha256, .. } => !ecdsa_sha256,
    };
    if sized && key.symmetric == Symmetric::Aes128Cfb {
        Ok(())
    } else {
        Err(KeyFault::Kind { key: EK, wanted: "RSA-2048 or P-256 key with AES-128 in CFB mode" })
    }
}

/// An attestation key signs what its TPM made, and nothing else: a key that signs what it is told could sign a
/// made-up attestation.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_ak(key: &PublicArea<'_>) -> Result<(), KeyFault> {
    let wanted = attribute::OF_THIS_TPM | attribute::RESTRICTED | attribute::SIGN;
    attributes(key, AK, wanted, attribute::DECRYPT)?;
    match key.key {
        Key::P256 { ecdsa_sha256: true, .. } if key.symmetric == Symmetric::None => Ok(()),
        _ => Err(KeyFault::Kind { key: AK, wanted: "P-256 key that signs by ECDSA with SHA-256" }),
    }
}

/// The operational key signs TLS handshakes, so it cannot be restricted.
pub(super) fn check_operational(key: &PublicArea<'_>) -> Result<(), KeyFault> {
    let unwanted = attribute::RESTRICTED | attribute::DECRYPT;
    attributes(key, OPERATIONAL, attribute::OF_THIS_TPM | attribute::SIGN, unwanted)?;
    match key.key {
        Key::P256 { .. } if key.symmetric == Symmetric::None => Ok(()),
        _ => Err(KeyFault::Kind { key: OPERATIONAL, wanted: "P-256 key" }),
    }
}

fn attributes(key: &PublicArea<'_>, which: &'static str, wanted: u32, unwanted: u32) -> Result<(), KeyFault> {
    let found = key.attributes;
    if !key.has(wanted) {
        return Err(KeyFault::Missing { key: which, found, wanted });
    }
    if found & unwanted != 0 {
        return Err(KeyFault::Excess { key: which, found, unwanted });
    }
    Ok(())
}

/// The SubjectPublicKeyInfo of a key in DER, as a certificate for it has it (RFC 3279, section 2.3.1; RFC 5480,
/// section 2).
#[must_use]
pub fn spki_der(key: &PublicArea<'_>) -> Vec<u8> {
    match key.key {
        Key::P256 { x, y, .. } => [P256_PREFIX, &x, &y].concat(),
        Key::Rsa { modulus, exponent } => {
            let exponent = exponent.to_be_bytes();
            let significant = exponent.iter().position(|byte| *byte != 0).unwrap_or(3);
            // A first byte of zero keeps the number positive.
            let modulus = element(0x02, &[&[0], modulus].concat());
            let exponent = element(0x02, exponent.get(significant..).unwrap_or_default());
            let key = element(0x30, &[modulus, exponent].concat());
            let bits = element(0x03, &[&[0], key.as_slice()].concat());
            element(0x30, &[RSA_ALGORITHM, &bits].concat())
        }
    }
}

/// SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING of 65 bytes } up to the coordinates.
const P256_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
/// SEQUENCE { rsaEncryption, NULL }.
const RSA_ALGORITHM: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// A DER element; contents here are shorter than 64 KiB.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head: &[u8] = match (high, low) {
        (0, 0..=0x7f) => &[tag, low],
        (0, _) => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, content].concat()
}
