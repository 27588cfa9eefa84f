//! Who signed a certificate or a revocation list (RFC 5280, sections 4.1.1 and 5.1.1), where no path is walked: a list
//! of a maker, and the CAs that lead to its issuer. By the algorithms that makers' CAs may sign with, and by no other.

use rustls_pki_types::SignatureVerificationAlgorithm;
use x509_parser::certificate::X509Certificate;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::AlgorithmIdentifier;

use crate::der::{Malformed, Reader, tag};
use crate::path::ECDSA_OR_RSA;

/// What is signed, and its signature.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'s> {
    content: &'s [u8],
    algorithm: &'s AlgorithmIdentifier<'s>,
    signature: &'s [u8],
}

impl<'s> Signed<'s> {
    pub(crate) fn certificate(certificate: &'s X509Certificate<'_>) -> Self {
        Self {
            content: certificate.tbs_certificate.as_ref(),
            algorithm: &certificate.signature_algorithm,
            signature: &certificate.signature_value.data,
        }
    }

    pub(crate) fn list(list: &'s CertificateRevocationList<'_>) -> Self {
        Self {
            content: list.tbs_cert_list.as_ref(),
            algorithm: &list.signature_algorithm,
            signature: &list.signature_value.data,
        }
    }

    /// Whether it is signed in a way that can be verified here.
    pub(crate) fn is_supported(self) -> bool {
        self.algorithms().next().is_some()
    }

    /// Whether this CA's key signed it.
    pub(crate) fn is_by(self, issuer: &X509Certificate<'_>) -> bool {
        let Ok(kind) = key_algorithm(issuer.public_key().raw) else { return false };
        let key = &issuer.public_key().subject_public_key.data;
        self.algorithms()
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == kind)
            .any(|algorithm| algorithm.verify_signature(key, self.content, self.signature).is_ok())
    }

    /// One for each kind of key.
    fn algorithms(self) -> impl Iterator<Item = &'static dyn SignatureVerificationAlgorithm> {
        ECDSA_OR_RSA.iter().copied().filter(move |algorithm| {
            let id = algorithm.signature_alg_id();
            let mut reader = Reader::new(&id);
            // RFC 5758, section 3.2, and RFC 4055, section 5: no parameters for ECDSA, NULL for RSA.
            reader.oid() == Ok(self.algorithm.algorithm.as_bytes())
                && reader.is_empty() == self.algorithm.parameters.is_none()
        })
    }
}

/// The content of the AlgorithmIdentifier in a SubjectPublicKeyInfo.
fn key_algorithm(spki: &[u8]) -> Result<&[u8], Malformed> {
    Reader::new(spki).nested(tag::SEQUENCE)?.read(tag::SEQUENCE)
}
