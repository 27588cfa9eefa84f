//! The bytes that are to be signed, without a signature: written by the library that writes certificates, whose signing
//! key here keeps what it is given and signs nothing.

use core::cell::RefCell;

use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey};

use crate::certificate::CaCertificate;
use crate::der::{self, tlv};
use crate::issuer::Subject;
use crate::template::{ECDSA_WITH_SHA256, Template};

/// Writes the TBSCertificate (RFC 5280, section 4.1) for `ca`, or for the key in it where there is none.
pub(crate) fn write(template: &Template, ca: Option<&CaCertificate>) -> Result<Vec<u8>, rcgen::Error> {
    let params = template.params(ca.is_none())?;
    let written = match ca {
        Some(ca) => {
            let keeper = Keeper::new(ca.public_point());
            let issuer = rcgen::Issuer::from_ca_cert_der(&ca.to_pki(), &keeper)?;
            keeper.kept(params.signed_by(&Subject(&template.point), &issuer))
        }
        None => {
            let keeper = Keeper::new(&template.point);
            keeper.kept(params.self_signed(&keeper))
        }
    };
    written.ok_or(rcgen::Error::RemoteKeyError)
}

/// Puts a certificate or a revocation list together.
pub(crate) fn assemble(tbs: &[u8], signature: &[u8]) -> Vec<u8> {
    tlv(der::SEQUENCE, &[tbs, &behind(signature)])
}

/// Whether `der` is what [`assemble`] makes of these: without a copy, since a revocation list has megabytes.
pub(crate) fn is_assembled(der: &[u8], tbs: &[u8], signature: &[u8]) -> bool {
    let behind = behind(signature);
    let head = der.strip_suffix(behind.as_slice()).and_then(|front| front.strip_suffix(tbs));
    head.is_some_and(|head| head == der::head(der::SEQUENCE, tbs.len() + behind.len()))
}

/// What follows the signed part: the algorithm and the signature.
fn behind(signature: &[u8]) -> Vec<u8> {
    let algorithm = tlv(der::SEQUENCE, &[&tlv(der::OID, &[ECDSA_WITH_SHA256])]);
    [algorithm, tlv(der::BIT_STRING, &[&[0], signature])].concat()
}

/// Longest ECDSA-Sig-Value on P-256: two integers of 33 bytes with their heads.
pub(crate) const MAX_SIGNATURE: usize = 72;

/// A key that keeps the message.
struct Keeper<'a> {
    point: &'a [u8; 65],
    message: RefCell<Option<Vec<u8>>>,
}

impl<'a> Keeper<'a> {
    const fn new(point: &'a [u8; 65]) -> Self {
        Self { point, message: RefCell::new(None) }
    }

    /// What was to be signed; nothing where the library came back with a certificate all the same.
    fn kept(&self, signed: Result<rcgen::Certificate, rcgen::Error>) -> Option<Vec<u8>> {
        signed.is_err().then(|| self.message.take()).flatten()
    }
}

impl PublicKeyData for Keeper<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Keeper<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.message.replace(Some(message.to_vec()));
        Err(rcgen::Error::RemoteKeyError)
    }
}
