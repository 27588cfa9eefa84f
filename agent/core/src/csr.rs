//! The certificate signing request (PKCS#10, RFC 2986) in DER, written without an allocator.
//!
//! It carries the public key and proves possession of it. The subject is the device identifier as a common
//! name, for people who look at it; the server takes names from its inventory, never from here.

use sha2::{Digest as _, Sha256};
use shared::DeviceId;

use crate::platform::{KeyError, PublicPoint, RawSignature, SigningKey};
use crate::slots::Persisted;

/// Longest request written here, in bytes: the longest identifier and the longest signature.
pub const MAX: usize = 256;

/// Why no request was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// The key did not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The buffer is shorter than [`MAX`].
    #[error("the buffer for the request is too short")]
    TooShort,
}

/// Writes a request for the key to the front of `out`; returns its length.
///
/// # Errors
/// Where the key does not sign or `out` is too short.
pub fn build<K: SigningKey>(
    key: &Persisted<K>,
    device: &DeviceId,
    out: &mut [u8],
) -> Result<usize, CsrError> {
    let info = info(&key.key().public_point(), device)?;
    let signature = key.key().sign_digest(&Sha256::digest(&info).into())?;
    let signature = signature_value(&signature)?;
    let length = info.len() + ECDSA_WITH_SHA256.len() + BIT_STRING_OVERHEAD + signature.len();
    let mut der = Der::default();
    der.head(SEQUENCE, length)?;
    der.put(&info)?;
    der.put(&ECDSA_WITH_SHA256)?;
    der.head(BIT_STRING, signature.len() + 1)?;
    der.put(&[0])?;
    der.put(&signature)?;
    out.get_mut(..der.0.len()).ok_or(CsrError::TooShort)?.copy_from_slice(&der.0);
    Ok(der.0.len())
}

/// CertificationRequestInfo (RFC 2986, section 4.1): version 0, subject, key, no attributes.
fn info(point: &PublicPoint, device: &DeviceId) -> Result<heapless::Vec<u8, MAX>, CsrError> {
    let name = device.as_str().as_bytes();
    let attribute = COMMON_NAME.len() + 2 + name.len();
    let mut der = Der::default();
    der.head(
        SEQUENCE,
        VERSION_0.len() + 6 + attribute + SPKI_PREFIX.len() + point.len() + NO_ATTRIBUTES.len(),
    )?;
    der.put(&VERSION_0)?;
    // Name, relative name, attribute; at most 61 bytes, so each length is one byte.
    der.head(SEQUENCE, attribute + 4)?;
    der.head(SET, attribute + 2)?;
    der.head(SEQUENCE, attribute)?;
    der.put(&COMMON_NAME)?;
    der.head(UTF8_STRING, name.len())?;
    der.put(name)?;
    der.put(&SPKI_PREFIX)?;
    der.put(point)?;
    der.put(&NO_ATTRIBUTES)?;
    Ok(der.0)
}

/// Ecdsa-Sig-Value (RFC 3279, section 2.2.3).
fn signature_value(raw: &RawSignature) -> Result<heapless::Vec<u8, 72>, CsrError> {
    let (r, s) = raw.split_at(32);
    let mut body = Der::default();
    body.integer(r)?;
    body.integer(s)?;
    let mut whole = Der::default();
    whole.head(SEQUENCE, body.0.len())?;
    whole.put(&body.0)?;
    heapless::Vec::from_slice(&whole.0).map_err(|_| CsrError::TooShort)
}

/// DER under construction.
#[derive(Default)]
struct Der(heapless::Vec<u8, MAX>);

impl Der {
    fn put(&mut self, bytes: &[u8]) -> Result<(), CsrError> {
        self.0.extend_from_slice(bytes).map_err(|_| CsrError::TooShort)
    }

    /// Tag and length (X.690, section 8.1.3); nothing here is longer than 255 bytes.
    fn head(&mut self, tag: u8, length: usize) -> Result<(), CsrError> {
        let length = u8::try_from(length).map_err(|_| CsrError::TooShort)?;
        if length < 0x80 { self.put(&[tag, length]) } else { self.put(&[tag, 0x81, length]) }
    }

    /// An unsigned number as INTEGER (X.690, section 8.3): no needless zero in front, never negative.
    fn integer(&mut self, number: &[u8]) -> Result<(), CsrError> {
        let zeros = number.iter().take_while(|byte| **byte == 0).count().min(number.len().saturating_sub(1));
        let digits = number.get(zeros..).unwrap_or_default();
        let sign = usize::from(digits.first().is_some_and(|first| *first >= 0x80));
        self.head(INTEGER, sign + digits.len())?;
        self.put([0].get(..sign).unwrap_or_default())?;
        self.put(digits)
    }
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const UTF8_STRING: u8 = 0x0c;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// Tag, length and number of unused bits.
const BIT_STRING_OVERHEAD: usize = 3;
const VERSION_0: [u8; 3] = [INTEGER, 1, 0];
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: [u8; 5] = [0x06, 3, 0x55, 4, 3];
/// An empty `[0]`: attributes are mandatory, even when there are none.
const NO_ATTRIBUTES: [u8; 2] = [0xa0, 0];
/// AlgorithmIdentifier ecdsa-with-SHA256, 1.2.840.10045.4.3.2 (RFC 5758, section 3.2).
const ECDSA_WITH_SHA256: [u8; 12] = [SEQUENCE, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// SubjectPublicKeyInfo of a P-256 key up to its point: id-ecPublicKey, prime256v1 (RFC 5480, section 2).
pub(crate) const SPKI_PREFIX: [u8; 26] = [
    SEQUENCE, 0x59, SEQUENCE, 0x13, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48,
    0xce, 0x3d, 3, 1, 7, BIT_STRING, 0x42, 0,
];

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Der, MAX, build};
    use crate::keystore::SoftKey;
    use crate::platform::SigningKey as _;
    use crate::slots::Persisted;
    use p256::ecdsa::signature::Verifier as _;
    use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
    use shared::DeviceId;
    use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

    fn request(name: &str, secret: &[u8; 32]) -> (std::vec::Vec<u8>, SoftKey) {
        let key = SoftKey::from(SigningKey::from_bytes(secret.into()).unwrap());
        let mut out = [0; MAX];
        let persisted = Persisted::for_test(key.clone());
        let length = build(&persisted, &DeviceId::new(name).unwrap(), &mut out).unwrap();
        (out[..length].to_vec(), key)
    }

    /// Another parser reads every length of identifier, and p256 and aws-lc both verify the signature.
    #[test]
    fn every_length_of_name_is_read_and_verified_by_others() {
        for length in 1..=48_u8 {
            let name = std::format!("{}x", "d".repeat(usize::from(length) - 1));
            let (der, key) = request(&name, &[length; 32]);
            let (rest, csr) = X509CertificationRequest::from_der(&der).unwrap();
            assert!(rest.is_empty());
            let info = &csr.certification_request_info;
            assert_eq!(info.subject.iter_common_name().next().unwrap().as_str().unwrap(), name);
            assert_eq!(info.version.0, 0);
            assert_eq!(info.attributes().len(), 0);
            assert_eq!(info.subject_pki.subject_public_key.data.as_ref(), key.public_point());
            csr.verify_signature().unwrap();
            let verifier = VerifyingKey::from_sec1_bytes(&key.public_point()).unwrap();
            verifier.verify(info.raw, &Signature::from_der(&csr.signature_value.data).unwrap()).unwrap();
            // A flipped bit in the key is noticed: the check above can fail.
            let mut forged = der.clone();
            let at = der.windows(65).position(|w| w == key.public_point()).unwrap();
            forged[at + 64] ^= 1;
            let (_, forged) = X509CertificationRequest::from_der(&forged).unwrap();
            assert!(forged.verify_signature().is_err());
        }
    }

    /// The server's own library reads it.
    #[test]
    fn rcgen_reads_it() {
        let (der, key) = request("SN-0001", &[3; 32]);
        let parsed = rcgen::CertificateSigningRequestParams::from_der(&der.into()).unwrap();
        use rcgen::PublicKeyData as _;
        assert_eq!(parsed.public_key.der_bytes(), key.public_point());
    }

    #[test]
    fn a_short_buffer_is_refused() {
        let key = Persisted::for_test(SoftKey::from(SigningKey::from_bytes(&[3; 32].into()).unwrap()));
        let device = DeviceId::new("SN-0001").unwrap();
        let needed = build(&key, &device, &mut [0; MAX]).unwrap();
        for room in 0..needed {
            build(&key, &device, &mut [0; MAX][..room]).unwrap_err();
        }
    }

    #[test]
    fn integers_are_minimal() {
        for (number, der) in [
            (&[0, 0][..], &[2, 1, 0][..]),
            (&[0, 1], &[2, 1, 1]),
            (&[0x80, 0], &[2, 3, 0, 0x80, 0]),
            (&[0, 0x80], &[2, 2, 0, 0x80]),
            (&[0x7f, 0xff], &[2, 2, 0x7f, 0xff]),
        ] {
            let mut out = Der::default();
            out.integer(number).unwrap();
            assert_eq!(out.0.as_slice(), der);
        }
    }
}
