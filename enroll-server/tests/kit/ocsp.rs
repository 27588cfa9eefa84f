//! A client of OCSP that writes its requests byte by byte.

use core::net::SocketAddr;

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use tokio::net::TcpStream;

use super::client::{Reply, exchange};

/// Which hash names the issuer.
#[derive(Clone, Copy)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
}

/// A Request about the certificate `serial` of the CA whose certificate is `issuer`.
pub(crate) fn asked(issuer: &[u8], hash: Hash, serial: &[u8]) -> Vec<u8> {
    let (oid, algorithm): (&[u8], &'static Algorithm) = match hash {
        Hash::Sha1 => (&[6, 5, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 5, 0], &SHA1_FOR_LEGACY_USE_ONLY),
        Hash::Sha256 => (&[6, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 5, 0], &SHA256),
    };
    let (_, issuer) = x509_parser::parse_x509_certificate(issuer).unwrap();
    let name = digest(algorithm, issuer.subject().as_raw());
    let key = digest(algorithm, &issuer.public_key().subject_public_key.data);
    let id = [tlv(0x30, oid), tlv(4, name.as_ref()), tlv(4, key.as_ref()), tlv(2, serial)];
    tlv(0x30, &tlv(0x30, &id.concat()))
}

/// An OCSPRequest, with a nonce if there is one.
pub(crate) fn request(list: &[Vec<u8>], nonce: Option<&[u8]>) -> Vec<u8> {
    let nonce = nonce.map(|nonce| {
        let oid = [6, 9, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02].to_vec();
        tlv(0xa2, &tlv(0x30, &tlv(0x30, &[oid, tlv(4, &tlv(4, nonce))].concat())))
    });
    tlv(0x30, &tlv(0x30, &[tlv(0x30, &list.concat()), nonce.unwrap_or_default()].concat()))
}

/// Sends a request in the body.
pub(crate) async fn post(address: SocketAddr, kind: &str, body: &[u8]) -> Reply {
    let stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST /ocsp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    exchange(stream, &[head.as_bytes(), body].concat()).await.unwrap()
}

/// The status of each certificate in an answer: the tag of its CertStatus; `None` where the answer is a failure.
pub(crate) fn statuses(answer: &[u8]) -> Option<Vec<u8>> {
    let basic = x509_ocsp_basic(answer)?;
    Some(basic.tbs_response_data.responses.iter().map(|single| tag(&single.cert_status)).collect())
}

/// The nonce in an answer.
pub(crate) fn nonce(answer: &[u8]) -> Option<Vec<u8>> {
    Some(x509_ocsp_basic(answer)?.nonce()?.0.as_bytes().to_vec())
}

fn x509_ocsp_basic(answer: &[u8]) -> Option<x509_ocsp::BasicOcspResponse> {
    use der::Decode as _;
    let response = x509_ocsp::OcspResponse::from_der(answer).unwrap();
    let bytes = response.response_bytes?;
    Some(x509_ocsp::BasicOcspResponse::from_der(bytes.response.as_bytes()).unwrap())
}

const fn tag(status: &x509_ocsp::CertStatus) -> u8 {
    match status {
        x509_ocsp::CertStatus::Good(_) => 0,
        x509_ocsp::CertStatus::Revoked(_) => 1,
        x509_ocsp::CertStatus::Unknown(_) => 2,
    }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let head = match length {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}
