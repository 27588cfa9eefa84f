//! PEM (RFC 7468): the text form of certificates, revocation lists and keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// A certificate in PEM.
#[must_use]
pub fn certificate(der: &[u8]) -> String {
    encode_public("CERTIFICATE", der)
}

/// A chain in PEM, in the order given.
#[must_use]
pub fn chain<'a>(ders: impl IntoIterator<Item = &'a [u8]>) -> String {
    ders.into_iter().map(certificate).collect()
}

/// A revocation list in PEM.
#[must_use]
pub fn crl(der: &[u8]) -> String {
    encode_public("X509 CRL", der)
}

/// A certification request in PEM.
#[must_use]
pub fn request(der: &[u8]) -> String {
    encode_public(REQUEST, der)
}

/// Reads a file with one certification request in PEM, or in DER.
///
/// # Errors
/// Where it is neither, or holds more than one.
pub fn read_request(bytes: &[u8]) -> Result<Vec<u8>, NotPem> {
    if bytes.first() == Some(&0x30) {
        return Ok(bytes.to_vec());
    }
    let text = core::str::from_utf8(bytes).map_err(|_| NotPem)?;
    // openssl once wrote the other label (RFC 7468, section 7).
    read(REQUEST, text).or_else(|_| read("NEW CERTIFICATE REQUEST", text)).map(|der| der.to_vec())
}

/// A public key, SubjectPublicKeyInfo, in PEM.
#[must_use]
pub fn public_key(spki: &[u8]) -> String {
    encode_public("PUBLIC KEY", spki)
}

/// A PKCS#8 key in PEM; wiped when dropped.
#[must_use]
pub fn private_key(pkcs8: &[u8]) -> Zeroizing<String> {
    encode(PRIVATE_KEY, pkcs8)
}

/// An encrypted PKCS#8 key in PEM.
#[must_use]
pub fn encrypted_private_key(der: &[u8]) -> Zeroizing<String> {
    encode(ENCRYPTED_PRIVATE_KEY, der)
}

/// A key that a TPM encrypted, in PEM: TPM2B_PUBLIC, then TPM2B_PRIVATE.
#[must_use]
pub fn tpm_key(blob: &[u8]) -> Zeroizing<String> {
    encode(TPM_KEY, blob)
}

/// Reads what [`tpm_key`] wrote.
///
/// # Errors
/// Where there is not exactly one.
pub fn read_tpm_key(text: &str) -> Result<Zeroizing<Vec<u8>>, NotPem> {
    read(TPM_KEY, text)
}

/// Reads a file of certificates in PEM, or of one certificate in DER.
///
/// # Errors
/// Where it is neither, or empty.
pub fn read_certificates(bytes: &[u8]) -> Result<Vec<Vec<u8>>, NotPem> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes.to_vec()]);
    }
    let list: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(bytes).map(|found| found.map(|der| der.to_vec())).collect();
    match list {
        Ok(list) if !list.is_empty() => Ok(list),
        _ => Err(NotPem),
    }
}

/// Reads a file of one public key: SubjectPublicKeyInfo in PEM ("PUBLIC KEY") or in DER.
///
/// # Errors
/// Where it is neither, or holds more than one.
pub fn read_public_key(bytes: &[u8]) -> Result<Vec<u8>, NotPem> {
    use rustls_pki_types::SubjectPublicKeyInfoDer;
    use rustls_pki_types::pem::PemObject as _;
    if bytes.first() == Some(&0x30) {
        return Ok(bytes.to_vec());
    }
    let mut found = SubjectPublicKeyInfoDer::pem_slice_iter(bytes);
    match (found.next(), found.next()) {
        (Some(Ok(der)), None) => Ok(der.to_vec()),
        _ => Err(NotPem),
    }
}

/// Reads a file with one revocation list in PEM, beside which other things may stand, or in DER.
///
/// # Errors
/// Where there is not exactly one.
pub fn read_crl(bytes: &[u8]) -> Result<Vec<u8>, NotPem> {
    use rustls_pki_types::CertificateRevocationListDer;
    use rustls_pki_types::pem::PemObject as _;
    if bytes.first() == Some(&0x30) {
        return Ok(bytes.to_vec());
    }
    let mut lists = CertificateRevocationListDer::pem_slice_iter(bytes);
    match (lists.next(), lists.next()) {
        (Some(Ok(list)), None) => Ok(list.to_vec()),
        _ => Err(NotPem),
    }
}

/// Reads the revocation lists of a file in PEM, beside which other things may stand. What cannot be read is left out.
#[must_use]
pub fn read_crls(bytes: &[u8]) -> Vec<Vec<u8>> {
    use rustls_pki_types::CertificateRevocationListDer;
    use rustls_pki_types::pem::PemObject as _;
    let lists = CertificateRevocationListDer::pem_slice_iter(bytes);
    lists.map_while(Result::ok).map(|list| list.to_vec()).collect()
}

/// Reads a PKCS#8 key in PEM; everything that held it is wiped.
///
/// # Errors
/// Where there is not exactly one.
pub fn read_private_key(text: &str) -> Result<Zeroizing<Vec<u8>>, NotPem> {
    read(PRIVATE_KEY, text)
}

/// Reads an encrypted PKCS#8 key in PEM.
///
/// # Errors
/// Where there is not exactly one.
pub fn read_encrypted_private_key(text: &str) -> Result<Zeroizing<Vec<u8>>, NotPem> {
    read(ENCRYPTED_PRIVATE_KEY, text)
}

fn read(label: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, NotPem> {
    let begin = format!("-----BEGIN {label}-----");
    let (_, rest) = text.split_once(&begin).ok_or(NotPem)?;
    let (body, after) = rest.split_once(&format!("-----END {label}-----")).ok_or(NotPem)?;
    if after.contains(&begin) {
        return Err(NotPem);
    }
    let mut digits = Zeroizing::new(Vec::with_capacity(body.len()));
    digits.extend(body.bytes().filter(|b| !b.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; digits.len()]);
    let length = STANDARD.decode_slice(digits.as_slice(), &mut der).map_err(|_| NotPem)?;
    der.truncate(length);
    Ok(der)
}

/// The bytes are not what was expected in PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not PEM of the expected kind")]
pub struct NotPem;

const PRIVATE_KEY: &str = "PRIVATE KEY";
const REQUEST: &str = "CERTIFICATE REQUEST";
const TPM_KEY: &str = "TPM2 KEY BLOB";
const ENCRYPTED_PRIVATE_KEY: &str = "ENCRYPTED PRIVATE KEY";

/// Of a secret: no copy of it is left behind.
fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let mut body = Zeroizing::new(vec![0; der.len().div_ceil(3) * 4]);
    // The buffer has the length that base64 needs, so nothing is lost where encoding says otherwise.
    let length = STANDARD.encode_slice(der, &mut body).unwrap_or(0);
    body.truncate(length);
    Zeroizing::new(wrap(label, &body))
}

fn encode_public(label: &str, der: &[u8]) -> String {
    wrap(label, STANDARD.encode(der).as_bytes())
}

/// Puts base64 between its lines, into one buffer that does not grow (RFC 7468, section 3).
fn wrap(label: &str, body: &[u8]) -> String {
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 96);
    for part in ["-----BEGIN ", label, "-----\n"] {
        text.push_str(part);
    }
    for line in body.chunks(64) {
        // Base64 is ASCII.
        text.push_str(core::str::from_utf8(line).unwrap_or_default());
        text.push('\n');
    }
    for part in ["-----END ", label, "-----\n"] {
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{NotPem, certificate, private_key, read_certificates, read_private_key};
    use proptest::prelude::*;

    #[test]
    fn what_is_not_pem_is_refused() {
        assert_eq!(read_certificates(b""), Err(NotPem));
        assert_eq!(
            read_certificates(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            Err(NotPem)
        );
        assert_eq!(read_private_key(&certificate(&[1, 2, 3])), Err(NotPem));
        let two = format!("{}{}", *private_key(&[1]), *private_key(&[2]));
        assert_eq!(read_private_key(&two), Err(NotPem));
    }

    proptest! {
        #[test]
        fn round_trip(der in proptest::collection::vec(any::<u8>(), 1..300)) {
            let text = certificate(&der);
            prop_assert!(text.lines().all(|line| line.len() <= 64));
            if der[0] != 0x30 {
                prop_assert!(read_certificates(&der).is_err() || der[0] == b'-');
            }
            prop_assert_eq!(read_certificates(text.as_bytes()), Ok(vec![der.clone()]));
            let key = read_private_key(&private_key(&der)).unwrap();
            prop_assert_eq!(key.as_slice(), der.as_slice());
        }
    }
}
