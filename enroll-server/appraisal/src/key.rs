//! A P-256 public key as this crate lets it through.
//!
//! Only the one DER form of RFC 5480 is taken: named curve P-256, uncompressed point. Nothing is converted.

use core::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

/// SHA-256 of a SubjectPublicKeyInfo in DER.
pub type SpkiHash = [u8; 32];

/// Length of the SubjectPublicKeyInfo of a P-256 key in DER, with an uncompressed point.
pub const SPKI_LENGTH: usize = 91;

/// A point that lies on P-256.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    spki: [u8; SPKI_LENGTH],
    point: [u8; 65],
    hash: SpkiHash,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo; `None` unless it is that of an uncompressed point on P-256
    /// (RFC 5480, section 2).
    #[must_use]
    pub fn from_spki_der(der: &[u8]) -> Option<Self> {
        let point = der.strip_prefix(SPKI_PREFIX)?;
        Self::from_point(point)
    }

    /// Takes an uncompressed point (SEC 1, section 2.3.3: 4, x, y); `None` unless it lies on the curve.
    #[must_use]
    pub fn from_point(point: &[u8]) -> Option<Self> {
        let point: [u8; 65] = point.try_into().ok()?;
        // The parser of aws-lc also takes compressed points, which have another length, and hybrid ones.
        if point.first() != Some(&4) {
            return None;
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &point).parse().ok()?;
        let mut spki = [0; SPKI_LENGTH];
        for (to, from) in spki.iter_mut().zip(SPKI_PREFIX.iter().chain(&point)) {
            *to = *from;
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &spki).as_ref());
        Some(Self { spki, point, hash })
    }

    /// The uncompressed point: 4, x, y.
    #[must_use]
    pub const fn point(&self) -> &[u8; 65] {
        &self.point
    }

    /// The SubjectPublicKeyInfo in DER.
    #[must_use]
    pub const fn spki_der(&self) -> &[u8; SPKI_LENGTH] {
        &self.spki
    }

    /// SHA-256 of [`spki_der`](Self::spki_der).
    #[must_use]
    pub const fn spki_sha256(&self) -> &SpkiHash {
        &self.hash
    }

    /// Whether `signature` (r and s, 32 bytes each) over `message` was made with this key.
    pub(crate) fn signed_fixed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point).verify(message, signature).is_ok()
    }

    /// Whether `signature` (ECDSA-Sig-Value in DER) over `message` was made with this key.
    pub(crate) fn signed_der(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex(&self.hash))
    }
}

/// SHA-256 of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// Lower-case hexadecimal, as fingerprints are shown and written.
pub(crate) fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// Reads exactly 32 bytes from hexadecimal; colons between bytes, as openssl prints them, are left out.
pub(crate) fn hash_from_hex(text: &str) -> Option<[u8; 32]> {
    digest_from_hex(text)?.try_into().ok()
}

/// Reads a digest of 32, 48 or 64 bytes, as [`hash_from_hex`] does.
pub(crate) fn digest_from_hex(text: &str) -> Option<Vec<u8>> {
    bytes_from_hex(text).filter(|bytes| matches!(bytes.len(), 32 | 48 | 64))
}

/// Reads any number of bytes, as [`hash_from_hex`] does.
pub(crate) fn bytes_from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let (pairs, odd) = digits.as_chunks::<2>();
    odd.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING of 65 bytes } up to the point.
const SPKI_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

#[cfg(test)]
mod tests {
    use super::{PublicKey, hash_from_hex, hex};
    use rcgen::PublicKeyData as _;

    #[test]
    fn a_key_is_taken_in_one_form_only() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let spki = pair.subject_public_key_info();
        let key = PublicKey::from_spki_der(&spki).unwrap();
        assert_eq!(key.spki_der().as_slice(), spki);
        assert_eq!(key.point().as_slice(), pair.der_bytes());

        let mut off_curve = spki.clone();
        off_curve[90] ^= 1;
        assert_eq!(PublicKey::from_spki_der(&off_curve), None);
        let mut hybrid = spki.clone();
        hybrid[26] = 6 | (hybrid[90] & 1);
        assert_eq!(PublicKey::from_spki_der(&hybrid), None, "hybrid form");
        assert_eq!(PublicKey::from_spki_der(&spki[..90]), None);
        assert_eq!(PublicKey::from_spki_der(&[spki.as_slice(), &[0]].concat()), None);
    }

    #[test]
    fn hexadecimal_round_trip() {
        let bytes: [u8; 32] = core::array::from_fn(|i| u8::try_from(i * 8).unwrap());
        assert_eq!(hash_from_hex(&hex(&bytes)), Some(bytes));
        assert_eq!(hash_from_hex(&hex(&bytes).to_uppercase()), Some(bytes));
        let short = hex(&bytes[1..]);
        assert_eq!(hash_from_hex(&short), None);
        assert_eq!(hash_from_hex(&format!("{short}zz")), None);
    }
}
