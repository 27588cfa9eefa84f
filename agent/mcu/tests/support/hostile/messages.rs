//! Handshake messages as bytes (RFC 8446, section 4), right ones and wrong ones.

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use sha2::{Digest as _, Sha256};

use super::schedule::Block;

/// ecdsa_secp256r1_sha256.
pub(crate) const ECDSA_P256: u16 = 0x0403;
/// What a server signs in front of the hash.
pub(crate) const SERVER_CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\0";

/// A handshake message of a type.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &length3(body.len())[..], body].concat()
}

/// ServerHello with these extensions.
pub(crate) fn server_hello(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[0x5a; 32]);
    // No session identifier, TLS_AES_128_GCM_SHA256, no compression.
    body.extend_from_slice(&[0, 0x13, 0x01, 0]);
    body.extend_from_slice(&length2(extensions.len()));
    body.extend_from_slice(extensions);
    message(2, &body)
}

/// The extension that says TLS 1.3.
pub(crate) const VERSION_13: &[u8] = &[0, 43, 0, 2, 3, 4];

/// The extension with a key share of group secp256r1.
pub(crate) fn key_share(point: &[u8]) -> Vec<u8> {
    [&[0, 51][..], &length2(point.len() + 4), &[0, 23], &length2(point.len()), point].concat()
}

/// EncryptedExtensions without any.
pub(crate) fn encrypted_extensions() -> Vec<u8> {
    message(8, &[0, 0])
}

/// CertificateRequest for ecdsa_secp256r1_sha256.
pub(crate) fn certificate_request() -> Vec<u8> {
    message(13, &[0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3])
}

/// Certificate.
pub(crate) fn certificate(chain: &[Vec<u8>]) -> Vec<u8> {
    let entries: Vec<u8> =
        chain.iter().flat_map(|der| [&length3(der.len())[..], der, &[0, 0]].concat()).collect();
    message(11, &[&[0], &length3(entries.len())[..], &entries].concat())
}

/// CertificateVerify that claims `scheme`.
pub(crate) fn certificate_verify(scheme: u16, signature: &[u8]) -> Vec<u8> {
    message(15, &[&scheme.to_be_bytes()[..], &length2(signature.len()), signature].concat())
}

/// A signature over a transcript, for whoever `context` says.
pub(crate) fn sign(key: &SigningKey, context: &[u8], transcript: &Block) -> Vec<u8> {
    let signed = [&[b' '; 64][..], context, transcript].concat();
    let signature: DerSignature = key.sign(&signed);
    signature.as_bytes().to_vec()
}

/// Finished.
pub(crate) fn finished(content: &Block) -> Vec<u8> {
    message(20, content)
}

/// NewSessionTicket.
pub(crate) fn ticket() -> Vec<u8> {
    message(4, &[0, 0, 1, 0, 1, 2, 3, 4, 1, 7, 0, 3, 9, 9, 9, 0, 0])
}

/// A hash of messages.
pub(crate) fn hash(transcript: &Sha256) -> Block {
    transcript.clone().finalize().into()
}

/// A length in two bytes.
pub(crate) fn length2(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap().to_be_bytes()
}

fn length3(length: usize) -> [u8; 3] {
    let [_, a, b, c] = u32::try_from(length).unwrap().to_be_bytes();
    [a, b, c]
}
