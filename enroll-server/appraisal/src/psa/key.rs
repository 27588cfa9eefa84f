//! An initial attestation key's public half: the curves that RFC 9783's profile TFM asks a verifier for.

use core::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, EcdsaVerificationAlgorithm,
    UnparsedPublicKey,
};

use crate::key::hex;

/// An algorithm that a token may be signed with, tied to its curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Es256, Self::Es384, Self::Es512];

    /// The algorithm with this COSE number (RFC 9053, table 1).
    pub(super) fn from_cose(number: i64) -> Option<Self> {
        match number {
            -7 => Some(Self::Es256),
            -35 => Some(Self::Es384),
            -36 => Some(Self::Es512),
            _ => None,
        }
    }

    /// Its name in COSE.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
        }
    }

    fn verifier(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::Es256 => &ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &ECDSA_P384_SHA384_FIXED,
            Self::Es512 => &ECDSA_P521_SHA512_FIXED,
        }
    }

    /// The one DER form of a SubjectPublicKeyInfo with an uncompressed point (RFC 5480, section 2), up to the
    /// point.
    const fn spki_prefix(self) -> &'static [u8] {
        match self {
            Self::Es256 => &[
                0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
                0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
            ],
            Self::Es384 => &[
                0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05,
                0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
            ],
            Self::Es512 => &[
                0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                0x05, 0x2b, 0x81, 0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
            ],
        }
    }

    const fn point_length(self) -> usize {
        match self {
            Self::Es256 => 65,
            Self::Es384 => 97,
            Self::Es512 => 133,
        }
    }
}

/// The public half of an initial attestation key; a point that lies on its curve.
#[derive(Clone, PartialEq, Eq)]
pub struct AttestationKey {
    algorithm: Algorithm,
    spki: Vec<u8>,
}

impl AttestationKey {
    /// Reads a SubjectPublicKeyInfo in DER; `None` unless it is that of an uncompressed point on P-256, P-384 or
    /// P-521.
    #[must_use]
    pub fn from_spki_der(der: &[u8]) -> Option<Self> {
        let (algorithm, point) = Algorithm::ALL
            .into_iter()
            .find_map(|algorithm| Some((algorithm, der.strip_prefix(algorithm.spki_prefix())?)))?;
        if point.len() != algorithm.point_length() || point.first() != Some(&4) {
            return None;
        }
        UnparsedPublicKey::new(algorithm.verifier(), point).parse().ok()?;
        Some(Self { algorithm, spki: der.to_vec() })
    }

    /// The algorithm it signs with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of [`spki_der`](Self::spki_der).
    #[must_use]
    pub fn spki_sha256(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &self.spki).as_ref());
        hash
    }

    /// Whether `signature` (r and s, each as long as the curve's order) over `message` was made with this key.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let point = self.spki.strip_prefix(self.algorithm.spki_prefix()).unwrap_or_default();
        UnparsedPublicKey::new(self.algorithm.verifier(), point).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for AttestationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttestationKey({} {})", self.algorithm.name(), hex(&self.spki_sha256()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, AttestationKey};
    use rcgen::PublicKeyData as _;

    #[test]
    fn three_curves_in_one_form_each() {
        for (kind, algorithm) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::Es256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Algorithm::Es384),
            (&rcgen::PKCS_ECDSA_P521_SHA512, Algorithm::Es512),
        ] {
            let spki = rcgen::KeyPair::generate_for(kind).unwrap().subject_public_key_info();
            let key = AttestationKey::from_spki_der(&spki).unwrap();
            assert_eq!((key.algorithm(), key.spki_der()), (algorithm, spki.as_slice()));
            let mut off_curve = spki.clone();
            *off_curve.last_mut().unwrap() ^= 1;
            assert_eq!(AttestationKey::from_spki_der(&off_curve), None);
            assert_eq!(AttestationKey::from_spki_der(&spki[..spki.len() - 1]), None);
            assert_eq!(AttestationKey::from_spki_der(&[spki.as_slice(), &[0]].concat()), None);
        }
        let edwards = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert_eq!(AttestationKey::from_spki_der(&edwards.subject_public_key_info()), None);
    }
}
