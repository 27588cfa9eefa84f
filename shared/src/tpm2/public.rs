//! The public area of a key (TPM 2.0 Library, part 2, section 12.2.4, TPMT_PUBLIC).

use super::{MAX_MODULUS, MAX_PUBLIC, Reader, Tpm2Error, algorithm};

/// The public area of a key with a SHA-256 name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicArea<'a> {
    /// As it was read; its SHA-256 makes the key's name.
    pub bytes: &'a [u8],
    /// Attributes, as in [`super::attribute`].
    pub attributes: u32,
    /// Digest of the policy that may use it; empty where there is none.
    pub policy: &'a [u8],
    /// The cipher by which a storage or endorsement key protects what it is given.
    pub symmetric: Symmetric,
    /// The key.
    pub key: Key<'a>,
}

/// The cipher of a restricted decryption key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symmetric {
    /// None: the key is of another kind.
    None,
    /// AES-128 in CFB mode.
    Aes128Cfb,
}

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// A point on P-256, each coordinate 32 bytes.
    P256 {
        /// The one coordinate.
        x: [u8; 32],
        /// The other.
        y: [u8; 32],
        /// Whether it signs by ECDSA with SHA-256 only; `false` where the scheme is chosen with each signature.
        ecdsa_sha256: bool,
    },
    /// An RSA key.
    Rsa {
        /// The modulus, big-endian, its first bit set.
        modulus: &'a [u8],
        /// The exponent.
        exponent: u32,
    },
}

const NAME: &str = "public area";
/// An exponent of zero stands for this one (part 2, section 12.2.3.5).
const DEFAULT_EXPONENT: u32 = 65_537;

impl<'a> PublicArea<'a> {
    /// Reads a TPMT_PUBLIC.
    ///
    /// # Errors
    /// Says what is wrong with it, or not supported.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Tpm2Error> {
        let mut r = Reader::new(NAME, bytes);
        if bytes.len() > MAX_PUBLIC {
            return Err(Tpm2Error::Trailing { structure: NAME, left: bytes.len() - MAX_PUBLIC });
        }
        let kind = r.u16("type")?;
        r.expect(algorithm::SHA256, "name algorithm")?;
        let attributes = r.u32("attributes")?;
        let policy = r.sized(64, "policy")?;
        if !matches!(policy.len(), 0 | 32) {
            return Err(r.unsupported("policy", u32::try_from(policy.len()).unwrap_or(u32::MAX)));
        }
        let symmetric = symmetric(&mut r)?;
        let key = match kind {
            algorithm::ECC => ecc(&mut r)?,
            algorithm::RSA => rsa(&mut r)?,
            other => return Err(r.unsupported("type", other.into())),
        };
        r.finish()?;
        Ok(Self { bytes, attributes, policy, symmetric, key })
    }

    /// Whether all these attributes are set.
    #[must_use]
    pub const fn has(&self, attributes: u32) -> bool {
        self.attributes & attributes == attributes
    }

    /// The point of a P-256 key, uncompressed (SEC 1, section 2.3.3).
    #[must_use]
    pub fn point(&self) -> Option<[u8; 65]> {
        let Key::P256 { x, y, .. } = &self.key else { return None };
        let mut point = [4; 65];
        for (to, from) in point.iter_mut().skip(1).zip(x.iter().chain(y)) {
            *to = *from;
        }
        Some(point)
    }
}

fn symmetric(r: &mut Reader<'_>) -> Result<Symmetric, Tpm2Error> {
    match r.u16("symmetric algorithm")? {
        algorithm::NULL => Ok(Symmetric::None),
        algorithm::AES => {
            r.expect(128, "length of the symmetric key")?;
            r.expect(algorithm::CFB, "mode of the symmetric algorithm")?;
            Ok(Symmetric::Aes128Cfb)
        }
        other => Err(r.unsupported("symmetric algorithm", other.into())),
    }
}

fn ecc<'a>(r: &mut Reader<'a>) -> Result<Key<'a>, Tpm2Error> {
    let ecdsa_sha256 = match r.u16("scheme")? {
        algorithm::NULL => false,
        algorithm::ECDSA => {
            r.expect(algorithm::SHA256, "hash of the scheme")?;
            true
        }
        other => return Err(r.unsupported("scheme", other.into())),
    };
    r.expect(algorithm::NIST_P256, "curve")?;
    r.expect(algorithm::NULL, "key derivation")?;
    let x = coordinate(r)?;
    let y = coordinate(r)?;
    Ok(Key::P256 { x, y, ecdsa_sha256 })
}

/// A coordinate; a TPM may leave leading zeros out.
pub(super) fn coordinate(r: &mut Reader<'_>) -> Result<[u8; 32], Tpm2Error> {
    let short = r.sized(32, "coordinate")?;
    let mut whole = [0; 32];
    for (to, from) in whole.iter_mut().rev().zip(short.iter().rev()) {
        *to = *from;
    }
    Ok(whole)
}

fn rsa<'a>(r: &mut Reader<'a>) -> Result<Key<'a>, Tpm2Error> {
    r.expect(algorithm::NULL, "scheme")?;
    let bits = r.u16("length of the key")?;
    if !matches!(bits, 2048 | 3072 | 4096) {
        return Err(r.unsupported("length of the key", bits.into()));
    }
    let exponent = match r.u32("exponent")? {
        0 => DEFAULT_EXPONENT,
        found if found == DEFAULT_EXPONENT => found,
        other => return Err(r.unsupported("exponent", other)),
    };
    let modulus = r.sized(MAX_MODULUS, "modulus")?;
    let whole = modulus.len() == usize::from(bits / 8) && modulus.first().is_some_and(|byte| *byte >= 0x80);
    if !whole {
        return Err(r.unsupported("modulus", u32::try_from(modulus.len()).unwrap_or(u32::MAX)));
    }
    Ok(Key::Rsa { modulus, exponent })
}
