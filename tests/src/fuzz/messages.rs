//! CBOR: the check of a whole item, every message, the claims, COSE_Sign1.

use shared::codec::{DecodeError, EncodeError, check};
use shared::cose::{self, Content, Mac0, Sign1, encode_mac0};
use shared::evidence::Claims;
use shared::keytext::KeyText;
use shared::limits::{MAX_EVIDENCE, MAX_REQUEST, MAX_TRUST_BUNDLE};
use shared::message::latest::{
    Answer, Challenge, ChallengeRequest, EnrollRequest, RenewRequest, TrustBundle, TrustReport,
};
use shared::tokentext;

use super::oracle;

/// One body: reads, writes, reads again and compares.
macro_rules! round_trip {
    ($(#[$doc:meta] $name:ident: $message:ident;)+) => {
        $(
            #[$doc]
            pub(super) fn $name(data: &[u8]) -> bool {
                let read: Result<$message<'_>, DecodeError> = $message::decode(data);
                let Ok(message) = read else { return false };
                let again = written(|out| message.encode(out));
                assert_eq!($message::decode(&again).as_ref(), Ok(&message));
                true
            }
        )+
    };
}

round_trip! {
    /// `POST /v1/enroll`.
    enroll_request: EnrollRequest;
    /// `POST /v1/renew`.
    renew_request: RenewRequest;
    /// What a device reads.
    answer: Answer;
    /// The payload of a trust bundle.
    trust_bundle: TrustBundle;
    /// The payload of an EAT.
    claims: Claims;
}

/// `POST /v1/challenge`.
pub(super) fn challenge_request(data: &[u8]) -> bool {
    let Ok(message) = ChallengeRequest::decode(data) else { return false };
    let again = written(|out| message.encode(out));
    assert_eq!(ChallengeRequest::decode(&again).as_ref(), Ok(&message));
    true
}

/// What a device reads first.
pub(super) fn challenge(data: &[u8]) -> bool {
    let Ok(message) = Challenge::decode(data) else { return false };
    let again = written(|out| message.encode(out));
    assert_eq!(Challenge::decode(&again).as_ref(), Ok(&message));
    true
}

/// `POST /v1/trust`.
pub(super) fn trust_report(data: &[u8]) -> bool {
    let Ok(message) = TrustReport::decode(data) else { return false };
    let again = written(|out| message.encode(out));
    assert!(again.len() <= TrustReport::MAX);
    assert_eq!(TrustReport::decode(&again).as_ref(), Ok(&message));
    true
}

/// The check before all reading.
pub(super) fn cbor_check(data: &[u8]) -> bool {
    let verdict = check(data, MAX_REQUEST);
    if verdict.is_ok() {
        // One item, and nothing shorter is one.
        assert!(data.split_last().is_none_or(|(_, shorter)| check(shorter, MAX_REQUEST).is_err()));
        oracle::deterministic(data);
    }
    verdict.is_ok()
}

/// Signed messages of both kinds.
pub(super) fn cose_sign1(data: &[u8]) -> bool {
    let kinds = [(Content::Eat, MAX_EVIDENCE), (Content::TrustBundle, MAX_TRUST_BUNDLE)];
    let mut taken = 0;
    for (content, limit) in kinds {
        if let Ok(sign1) = Sign1::decode(data, content, limit) {
            let again =
                written(|out| cose::encode(content, sign1.unverified_payload(), sign1.signature(), out));
            assert_eq!(again, data);
            taken += 1;
        }
    }
    assert!(taken < 2, "taken for both kinds");
    taken == 1
}

/// Evidence under a symmetric key.
pub(super) fn cose_mac0(data: &[u8]) -> bool {
    let Ok(mac0) = Mac0::decode(data, MAX_EVIDENCE) else { return false };
    let again = written(|out| encode_mac0(mac0.kid(), mac0.unverified_payload(), mac0.tag(), out));
    assert_eq!(again, data);
    assert!(Sign1::decode(data, Content::Eat, MAX_EVIDENCE).is_err(), "taken for a signature");
    true
}

/// A symmetric key as text.
pub(super) fn key_text(data: &[u8]) -> bool {
    let Some(key) = core::str::from_utf8(data).ok().and_then(|text| KeyText::parse(text).ok()) else {
        return false;
    };
    let again: String = key.characters().collect();
    assert_eq!(KeyText::parse(&again).as_ref(), Ok(&key));
    true
}

/// A one-time token in the short form.
pub(super) fn token_text(data: &[u8]) -> bool {
    let Ok(symbols) = tokentext::canonical(data) else { return false };
    assert_eq!(tokentext::canonical(&symbols), Ok(symbols));
    true
}

fn written(encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>) -> Vec<u8> {
    let mut out = vec![0; 2 * MAX_REQUEST];
    let length = encode(&mut out).expect("what was read fits");
    out.truncate(length);
    out
}
