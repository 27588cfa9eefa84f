//! The check of a CSR (PKCS#10, RFC 2986): strict form, ECDSA on P-256, proof of possession.
//!
//! It takes the public key and nothing else. Names, attributes and requested extensions are read only as far
//! as the form demands; what they say never reaches a certificate.

mod asked;
mod evidence;
mod nonce;

use shared::{Reject, limits};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Version;

use crate::key::{PublicKey, SPKI_LENGTH, SpkiHash};
use crate::oid;

pub use asked::{Asked, asked};
pub use evidence::{CsrEvidenceError, EvidenceInCsr, MAX_CSR_WITH_EVIDENCE, evidence, statement_type};

/// Proof that a CSR was signed with the private half of the key in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedCsr(PublicKey);

impl CheckedCsr {
    /// The key to be certified.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.0
    }

    /// The key as an uncompressed point: 4, x, y.
    #[must_use]
    pub const fn point(&self) -> &[u8; 65] {
        self.0.point()
    }

    /// The key as SubjectPublicKeyInfo in DER.
    #[must_use]
    pub const fn spki_der(&self) -> &[u8; SPKI_LENGTH] {
        self.0.spki_der()
    }

    /// SHA-256 of [`spki_der`](Self::spki_der).
    #[must_use]
    pub const fn spki_sha256(&self) -> &SpkiHash {
        self.0.spki_sha256()
    }
}

/// Checks a CSR in DER: its form, its key, and its own signature, which proves possession of the key.
///
/// # Errors
/// Says what is wrong with it.
pub fn check(der: &[u8]) -> Result<CheckedCsr, CsrError> {
    check_within(der, limits::MAX_CSR)
}

/// As [`check`], for a CSR that may have [`evidence`] in it and be as long as that takes.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_with_evidence(der: &[u8]) -> Result<CheckedCsr, CsrError> {
    check_within(der, MAX_CSR_WITH_EVIDENCE)
}

fn check_within(der: &[u8], allowed: usize) -> Result<CheckedCsr, CsrError> {
    if der.len() > allowed {
        return Err(CsrError::TooLong { found: der.len(), allowed });
    }
    let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| CsrError::Malformed)?;
    if !rest.is_empty() {
        return Err(CsrError::TrailingBytes { found: rest.len() });
    }
    let info = &request.certification_request_info;
    // RFC 2986, section 4.1: "It shall be 0 for this version of the standard."
    if info.version != X509Version::V1 {
        return Err(CsrError::Version { found: info.version.0 });
    }
    // RFC 5758, section 3.2: the parameters of ecdsa-with-SHA256 are absent.
    let algorithm = &request.signature_algorithm;
    if algorithm.algorithm.as_bytes() != oid::ECDSA_WITH_SHA256 || algorithm.parameters.is_some() {
        return Err(CsrError::Algorithm);
    }
    let key = PublicKey::from_spki_der(info.subject_pki.raw).ok_or(CsrError::Key)?;
    // The parser takes some other tags and lengths too; here everything around what is signed has one form.
    let signature = request.signature_value.data.as_ref();
    let length = u8::try_from(signature.len() + 1).map_err(|_| CsrError::Signature)?;
    let tail = [oid::ALGORITHM_ECDSA_WITH_SHA256, &[0x03, length, 0], signature].concat();
    let head = der.strip_suffix(tail.as_slice()).and_then(|rest| rest.strip_suffix(info.raw));
    if head != Some(sequence_head(info.raw.len() + tail.len()).as_slice()) {
        return Err(CsrError::Malformed);
    }
    if !key.signed_der(info.raw, signature) {
        return Err(CsrError::Signature);
    }
    Ok(CheckedCsr(key))
}

/// Tag and length of a SEQUENCE of `length` bytes, in the shortest form (X.690, section 10.1).
fn sequence_head(length: usize) -> Vec<u8> {
    let [.., high, low] = length.to_be_bytes();
    match length {
        0..0x80 => vec![0x30, low],
        0x80..0x100 => vec![0x30, 0x81, low],
        _ => vec![0x30, 0x82, high, low],
    }
}

/// Why a CSR is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Too long.
    #[error("the CSR has {found} bytes; {allowed} are allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        allowed: usize,
    },
    /// Not PKCS#10 in DER.
    #[error("the CSR is not PKCS#10 in DER")]
    Malformed,
    /// Something follows the CSR.
    #[error("{found} bytes follow the CSR; nothing may")]
    TrailingBytes {
        /// Bytes found.
        found: usize,
    },
    /// Another version than the only one there is.
    #[error("the CSR has version number {found}; PKCS#10 knows 0 only")]
    Version {
        /// The number found.
        found: u32,
    },
    /// Signed with another algorithm.
    #[error("the CSR is not signed with ecdsa-with-SHA256")]
    Algorithm,
    /// Another kind of key, or a point beside the curve.
    #[error("the CSR's key is not an uncompressed point on P-256")]
    Key,
    /// The signature is wrong: no proof of possession.
    #[error("the CSR's signature does not verify under the key in it")]
    Signature,
}

impl CsrError {
    /// What the device is told.
    #[must_use]
    pub const fn reject(self) -> Reject {
        match self {
            Self::TooLong { .. }
            | Self::Malformed
            | Self::TrailingBytes { .. }
            | Self::Version { .. }
            | Self::Algorithm
            | Self::Key => Reject::BadCsr,
            Self::Signature => Reject::NoProofOfPossession,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CsrError, check};
    use proptest::prelude::*;
    use rcgen::PublicKeyData as _;

    fn csr(key: &rcgen::KeyPair) -> Vec<u8> {
        rcgen::CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
    }

    #[test]
    fn takes_the_key() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let checked = check(&csr(&pair)).unwrap();
        assert_eq!(checked.spki_der().as_slice(), pair.subject_public_key_info());
    }

    #[test]
    fn tells_faults_apart() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let good = csr(&pair);
        assert_eq!(check(&[]), Err(CsrError::Malformed));
        assert_eq!(check(&[0; 2000]), Err(CsrError::TooLong { found: 2000, allowed: 1024 }));
        assert_eq!(check(&[good.as_slice(), &[0, 0]].concat()), Err(CsrError::TrailingBytes { found: 2 }));

        // The version is the INTEGER at the head of the request info.
        let mut version = good.clone();
        let at = version.windows(3).position(|w| w == [2, 1, 0]).unwrap();
        version[at + 2] = 2;
        assert_eq!(check(&version), Err(CsrError::Version { found: 2 }));

        let mut signature = good;
        *signature.last_mut().unwrap() ^= 1;
        assert_eq!(check(&signature), Err(CsrError::Signature));

        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        assert_eq!(check(&csr(&other)), Err(CsrError::Algorithm));
        let edwards = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert_eq!(check(&csr(&edwards)), Err(CsrError::Algorithm));
    }

    #[test]
    fn another_requests_signature_proves_nothing() {
        let (a, b) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
        let (a, point) = (csr(&a), b.der_bytes().to_vec());
        let at = a.windows(2).position(|w| w == [0, 4]).unwrap() + 1;
        let mut swapped = a;
        swapped[at..at + 65].copy_from_slice(&point);
        assert_eq!(check(&swapped), Err(CsrError::Signature));
    }

    proptest! {
        #[test]
        fn never_panics_on_noise(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(check(&bytes).is_err());
        }

        #[test]
        fn a_changed_byte_is_refused(at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let pair = rcgen::KeyPair::generate().unwrap();
            let mut bytes = csr(&pair);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(check(&bytes).is_err());
        }
    }
}
