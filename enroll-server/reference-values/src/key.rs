//! Keys that makers sign releases with: ECDSA on P-256 or P-384.

use core::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED,
    EcdsaVerificationAlgorithm, UnparsedPublicKey,
};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;

/// Signature algorithms (RFC 9053, section 2.1), each with its own curve and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// P-256 with SHA-256.
    Es256,
    /// P-384 with SHA-384.
    Es384,
}

impl Algorithm {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256 (P-256)",
            Self::Es384 => "ES384 (P-384)",
        }
    }
}

/// The public key that a maker signs releases with.
#[derive(Clone, PartialEq, Eq)]
pub struct ReleaseKey {
    maker: String,
    algorithm: Algorithm,
    spki: Vec<u8>,
    sha256: [u8; 32],
}

impl ReleaseKey {
    /// Takes the SubjectPublicKeyInfo in DER of a key of `maker`.
    ///
    /// # Errors
    /// Where it is not that of an uncompressed point on P-256 or P-384 (RFC 5480, section 2).
    pub fn new(maker: &str, spki: &[u8]) -> Result<Self, ReleaseKeyError> {
        let algorithm = if spki.starts_with(P256_PREFIX) { Algorithm::Es256 } else { Algorithm::Es384 };
        let key = Self { maker: maker.into(), algorithm, spki: spki.into(), sha256: sha256(spki) };
        let (_, der) = key.algorithms();
        let on_curve = UnparsedPublicKey::new(der, key.point().ok_or(ReleaseKeyError)?).parse().is_ok();
        if on_curve { Ok(key) } else { Err(ReleaseKeyError) }
    }

    /// As [`new`](Self::new), from PEM as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// As [`new`](Self::new), and where it is not the PEM of one public key.
    pub fn from_pem(maker: &str, pem: &[u8]) -> Result<Self, ReleaseKeyError> {
        let mut keys = SubjectPublicKeyInfoDer::pem_slice_iter(pem);
        match (keys.next(), keys.next()) {
            (Some(Ok(key)), None) => Self::new(maker, &key),
            _ => Err(ReleaseKeyError),
        }
    }

    /// Whose key it is.
    #[must_use]
    pub fn maker(&self) -> &str {
        &self.maker
    }

    /// The SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of [`spki`](Self::spki).
    #[must_use]
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Whether `signature`, r and s one after the other, over `message` was made with this key and `algorithm`.
    pub(crate) fn signed_fixed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.algorithm == algorithm && self.verify(self.algorithms().0, message, signature)
    }

    /// Whether `signature`, an ECDSA-Sig-Value in DER, over `message` was made with this key and the hash that
    /// belongs to its curve.
    pub(crate) fn signed_der(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verify(self.algorithms().1, message, signature)
    }

    fn verify(&self, with: &'static EcdsaVerificationAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        let point = self.point();
        point.is_some_and(|point| UnparsedPublicKey::new(with, point).verify(message, signature).is_ok())
    }

    const fn algorithms(&self) -> (&'static EcdsaVerificationAlgorithm, &'static EcdsaVerificationAlgorithm) {
        match self.algorithm {
            Algorithm::Es256 => (&ECDSA_P256_SHA256_FIXED, &ECDSA_P256_SHA256_ASN1),
            Algorithm::Es384 => (&ECDSA_P384_SHA384_FIXED, &ECDSA_P384_SHA384_ASN1),
        }
    }

    /// The uncompressed point; the one DER form is taken and no other.
    fn point(&self) -> Option<&[u8]> {
        let (prefix, length) = match self.algorithm {
            Algorithm::Es256 => (P256_PREFIX, 65),
            Algorithm::Es384 => (P384_PREFIX, 97),
        };
        self.spki.strip_prefix(prefix).filter(|point| point.len() == length && point.first() == Some(&4))
    }
}

impl fmt::Debug for ReleaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReleaseKey({:?}, {})", self.maker, hex::encode(self.sha256))
    }
}

/// The key is no public key that a release can be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not the public key of an EC key on P-256 or P-384 in PEM; make one with \
     `openssl pkey -in release-key.pem -pubout`"
)]
pub struct ReleaseKeyError;

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING of 65 bytes } up to the point.
const P256_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// SEQUENCE { SEQUENCE { id-ecPublicKey, secp384r1 }, BIT STRING of 97 bytes } up to the point.
const P384_PREFIX: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];

#[cfg(test)]
mod tests {
    use super::{ReleaseKey, ReleaseKeyError};
    use rcgen::PublicKeyData as _;

    #[test]
    fn keys_are_taken_in_one_form_only() {
        for curve in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
            let pair = rcgen::KeyPair::generate_for(curve).unwrap();
            let spki = pair.subject_public_key_info();
            let key = ReleaseKey::new("acme", &spki).unwrap();
            assert_eq!((key.maker(), key.spki()), ("acme", spki.as_slice()));
            let pem = pair.public_key_pem();
            assert_eq!(ReleaseKey::from_pem("acme", pem.as_bytes()), Ok(key));
            assert_eq!(ReleaseKey::from_pem("acme", format!("{pem}{pem}").as_bytes()), Err(ReleaseKeyError));
            let private = pair.serialize_pem();
            assert_eq!(ReleaseKey::from_pem("acme", private.as_bytes()), Err(ReleaseKeyError));
            let mut off_curve = spki.clone();
            *off_curve.last_mut().unwrap() ^= 1;
            assert_eq!(ReleaseKey::new("acme", &off_curve), Err(ReleaseKeyError));
            for length in 0..spki.len() {
                assert_eq!(ReleaseKey::new("acme", &spki[..length]), Err(ReleaseKeyError));
            }
        }
        let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert_eq!(ReleaseKey::new("a", &ed25519.subject_public_key_info()), Err(ReleaseKeyError));
    }
}
