//! OCSP requests, and how long their answers take.

use core::time::Duration;
use std::time::Instant;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ca::{CaCertificate, Serial};
use enroll_server::ocsp::Ocsp;

use super::Outcome;

/// An OCSPRequest (RFC 6960, section 4.1.1) about one certificate, named by SHA-1 as most clients do.
pub(crate) fn question(ca: &CaCertificate, serial: Serial, nonce: Option<&[u8]>) -> Vec<u8> {
    let hash = |bytes| tlv(4, digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
    let id = [
        tlv(0x30, &[6, 5, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 5, 0]),
        hash(ca.subject_der()),
        hash(ca.public_point()),
        tlv(2, &serial.to_der_value()),
    ];
    let list = tlv(0x30, &tlv(0x30, &tlv(0x30, &id.concat())));
    let nonce = nonce.map(|nonce| {
        let oid = [6, 9, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02].to_vec();
        tlv(0xa2, &tlv(0x30, &tlv(0x30, &[oid, tlv(4, &tlv(4, nonce))].concat())))
    });
    tlv(0x30, &tlv(0x30, &[list, nonce.unwrap_or_default()].concat()))
}

/// Asks one after the other; gives how long each took.
pub(crate) async fn ask(ocsp: &Ocsp, questions: &[Vec<u8>]) -> Outcome<Vec<Duration>> {
    let mut took = Vec::with_capacity(questions.len());
    for question in questions {
        let begun = Instant::now();
        let answered = ocsp.answer(question).await;
        took.push(begun.elapsed());
        if !matches!(answered.outcome, "kept" | "signed") {
            return Err(format!("answered with {}", answered.outcome).into());
        }
    }
    Ok(took)
}

/// Contents of less than 128 bytes.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(0x7f);
    let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
    [&head, content].concat()
}
