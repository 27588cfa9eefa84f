//! What holds for every message, over made-up values: what is written is read, unknown fields change nothing,
//! another version is refused, and no bytes make a reader panic or pass a cap.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_cbor::Value as Cbor;
use shared::codec::{DecodeError, EncodeError, check};
use shared::cose::{Content, Sign1};
use shared::evidence::{Claims, DebugStatus, Measurement};
use shared::limits::{
    MAX_ANSWER, MAX_ANSWER_LARGE, MAX_EVIDENCE, MAX_REQUEST, MAX_REQUEST_LARGE, MAX_TRUST_BUNDLE,
};
use shared::message::latest::{
    Answer, BrokerSettings, Challenge, ChallengeRequest, EnrollRequest, EvidenceKind, FreshEvidence, Issued,
    Outcome, Rejected, RenewRequest, TrustBundle,
};
use shared::{DeviceId, UnixTime};

/// Made-up content: bytes, byte strings, a nonce, two numbers, an identifier.
type Seed = (Vec<u8>, Vec<Vec<u8>>, [u8; 32], u64, u64, String);

fn seed() -> impl Strategy<Value = Seed> {
    (
        vec(any::<u8>(), 1..900),
        vec(vec(any::<u8>(), 1..500), 1..=4),
        any::<[u8; 32]>(),
        any::<u64>(),
        any::<u64>(),
        "[A-Za-z0-9]([A-Za-z0-9.-]{0,46}[A-Za-z0-9])?",
    )
}

/// Fails the case where `$bytes` is not `$message`, read as a `$kind`.
macro_rules! reads_as {
    ($kind:ident, $bytes:expr, $message:expr) => {{
        let bytes: &[u8] = &$bytes;
        let read = $kind::decode(bytes);
        prop_assert_eq!(read.as_ref(), Ok(&$message));
    }};
}

proptest! {
    #[test]
    fn challenge_request(device in seed().prop_map(|s| s.5), kinds in vec(any::<bool>(), 0..=8)) {
        let kinds = kinds.into_iter().map(|b| EvidenceKind::NATIVE[usize::from(b)]).collect();
        let message = ChallengeRequest { device: DeviceId::new(&device).unwrap(), kinds, introduction: None };
        let bytes = written(|out| message.encode(out));
        reads_as!(ChallengeRequest, bytes, message);
        reads_as!(ChallengeRequest, with_unknown_fields(&bytes), message);
        prop_assert!(refused_version(&with_version(&bytes, 2), |b| ChallengeRequest::decode(b).map(drop)));
    }

    #[test]
    fn challenge((_, _, nonce, a, b, _) in seed(), kind in 0_usize..7, renewal_wanted: bool) {
        let message = Challenge {
            server_time: UnixTime::from_secs(a), nonce, valid_until: UnixTime::from_secs(b), kind: EvidenceKind::NATIVE[kind], credential: None, renewal_wanted,
        };
        let bytes = written(|out| message.encode(out));
        reads_as!(Challenge, bytes, message);
        reads_as!(Challenge, with_unknown_fields(&bytes), message);
        prop_assert!(refused_version(&with_version(&bytes, 0), |b| Challenge::decode(b).map(drop)));
    }

    #[test]
    fn enroll_and_renew_request((csr, chain, nonce, _, _, device) in seed(), body in vec(any::<u8>(), 1..2048), kind in 0_usize..7, with_chain: bool, with_evidence: bool, trust: Option<u64>) {
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let evidence = FreshEvidence {
            nonce, kind: EvidenceKind::NATIVE[kind], body: &body,
            endorsements: if with_chain { heapless_list(&chain) } else { heapless::Vec::new() },
        };
        let device = DeviceId::new(&device).unwrap();
        let enroll = EnrollRequest { device: device.clone(), csr: &csr, evidence: evidence.clone(), trust };
        let bytes = written(|out| enroll.encode(out));
        reads_as!(EnrollRequest, bytes, enroll);
        reads_as!(EnrollRequest, with_unknown_fields(&bytes), enroll);
        prop_assert!(refused_version(&with_version(&bytes, 2), |b| EnrollRequest::decode(b).map(drop)));

        let renew = RenewRequest { device, csr: &csr, evidence: with_evidence.then_some(evidence), trust };
        let bytes = written(|out| renew.encode(out));
        reads_as!(RenewRequest, bytes, renew);
        reads_as!(RenewRequest, with_unknown_fields(&bytes), renew);
        prop_assert_eq!(EnrollRequest::decode(&bytes).is_ok(), with_evidence);
    }

    #[test]
    fn answer((bundle, chain, _, a, b, topic) in seed(), port: u16, keep_alive: u16, retry: Option<u32>, code: u16, which in 0..3) {
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let retry_after = retry.map(|secs| Duration::from_secs(secs.into()));
        let outcome = match which {
            0 => Outcome::Issued(Issued {
                chain: heapless_list(&chain),
                renew_from: UnixTime::from_secs(a.min(b)),
                renew_by: UnixTime::from_secs(a.max(b)),
                trust_bundle: &bundle,
                broker: BrokerSettings {
                    host: &topic, port, telemetry_topic: &topic, status_topic: &topic, command_topic: &topic, keep_alive,
                },
            }),
            1 => Outcome::Pending { retry_after: retry_after.unwrap_or_default() },
            _ => Outcome::Rejected(Rejected { code, message: &topic, retry_after }),
        };
        let message = Answer { server_time: UnixTime::from_secs(b), outcome };
        let bytes = written(|out| message.encode(out));
        reads_as!(Answer, bytes, message);
        reads_as!(Answer, with_unknown_fields(&bytes), message);
        prop_assert!(refused_version(&with_version(&bytes, u64::MAX), |b| Answer::decode(b).map(drop)));
    }

    #[test]
    fn trust_bundle((_, anchors, half, number, made, _) in seed()) {
        let anchors: Vec<&[u8]> = anchors.iter().map(Vec::as_slice).collect();
        let mut signer = [4; 65];
        signer[1..33].copy_from_slice(&half);
        let message = TrustBundle {
            number, made: UnixTime::from_secs(made), anchors: heapless_list(&anchors), signer: &signer,
        };
        let bytes = written(|out| message.encode(out));
        reads_as!(TrustBundle, bytes, message);
        reads_as!(TrustBundle, with_unknown_fields(&bytes), message);
        prop_assert!(refused_version(&with_version(&bytes, 2), |b| TrustBundle::decode(b).map(drop)));
    }

    #[test]
    fn claims(
        (_, _, nonce, _, _, _) in seed(), confirmation: [u8; 32], entity: [u8; 32], oemid: u32, debug in 0_usize..5,
        model in "[ -~]{1,32}", texts in vec("[^\\x00]{0,16}", 3), parts in vec(("\\PC{0,16}", "\\PC{0,16}", any::<[u8; 32]>()), 0..=4),
    ) {
        let mut ueid = [1; 33];
        ueid[1..].copy_from_slice(&entity);
        let measurements = parts.iter().map(|(component, version, digest)| Measurement { component, version, digest: *digest });
        let message = Claims {
            confirmation, nonce, ueid, oemid, hwmodel: &model, hwversion: &texts[0], dbgstat: DebugStatus::ALL[debug],
            swname: &texts[1], swversion: &texts[2], measurements: measurements.collect(),
        };
        let bytes = written(|out| message.encode(out));
        reads_as!(Claims, bytes, message);
        reads_as!(Claims, with_unknown_fields(&bytes), message);
    }

    /// Whole messages with a few bytes changed, cut or doubled: nearer to the readers' edges than noise is.
    #[test]
    fn damaged_messages_never_panic_a_reader(pick in any::<prop::sample::Index>(), edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..6)) {
        let messages = messages_of_the_vectors();
        let mut bytes = pick.get(&messages).clone();
        for (at, byte, how) in edits {
            if bytes.is_empty() { break; }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        read_as_everything(&bytes)?;
    }

    #[test]
    fn noise_never_panics_a_reader(bytes in vec(any::<u8>(), 0..600)) {
        read_as_everything(&bytes)?;
    }

    #[test]
    fn a_buffer_that_is_too_short_is_an_error(pick in any::<prop::sample::Index>(), length in 0_usize..40) {
        let device = DeviceId::new("SN-0001").unwrap();
        let message = RenewRequest { device, csr: &[0x30; 64], evidence: None, trust: None };
        let mut whole = [0; 128];
        let needed = message.encode(&mut whole).unwrap();
        let capacity = pick.index(needed).min(length);
        prop_assert_eq!(message.encode(&mut whole[..capacity]), Err(EncodeError::BufferTooShort { capacity }));
    }
}

#[test]
fn nothing_longer_than_its_cap_is_read() {
    let long = |limit: usize| {
        let mut bytes = vec![0x5a];
        bytes.extend(u32::try_from(limit).unwrap().to_be_bytes());
        bytes.resize(limit + 1, 0);
        bytes
    };
    let too_long = |limit: usize| Some(DecodeError::TooLong { limit, found: limit + 1 });
    assert_eq!(ChallengeRequest::decode(&long(MAX_REQUEST)).err(), too_long(MAX_REQUEST));
    assert_eq!(EnrollRequest::decode(&long(MAX_REQUEST_LARGE)).err(), too_long(MAX_REQUEST_LARGE));
    assert_eq!(RenewRequest::decode(&long(MAX_REQUEST_LARGE)).err(), too_long(MAX_REQUEST_LARGE));
    assert_eq!(Challenge::decode(&long(MAX_ANSWER)).err(), too_long(MAX_ANSWER));
    assert_eq!(Answer::decode(&long(MAX_ANSWER_LARGE)).err(), too_long(MAX_ANSWER_LARGE));
    assert_eq!(TrustBundle::decode(&long(MAX_TRUST_BUNDLE)).err(), too_long(MAX_TRUST_BUNDLE));
    assert_eq!(Claims::decode(&long(MAX_EVIDENCE)).err(), too_long(MAX_EVIDENCE));
}

#[test]
fn a_hundred_thousand_levels_end_on_a_small_stack() {
    // 16 KiB is what a task on a small device has.
    let reader = std::thread::Builder::new().stack_size(16 * 1024).spawn(|| {
        let mut deep = vec![0x81; 100_000];
        deep.push(0);
        check(&deep, usize::MAX).is_err()
    });
    assert!(reader.unwrap().join().unwrap());
}

fn read_as_everything(bytes: &[u8]) -> Result<(), TestCaseError> {
    // What is read must also be written and read again as the same: no two encodings of one message.
    if let Ok(message) = ChallengeRequest::decode(bytes) {
        reads_as!(ChallengeRequest, written(|out| message.encode(out)), message);
    }
    if let Ok(message) = Challenge::decode(bytes) {
        reads_as!(Challenge, written(|out| message.encode(out)), message);
    }
    if let Ok(message) = RenewRequest::decode(bytes) {
        reads_as!(RenewRequest, written(|out| message.encode(out)), message);
    }
    if let Ok(message) = EnrollRequest::decode(bytes) {
        reads_as!(EnrollRequest, written(|out| message.encode(out)), message);
    }
    if let Ok(message) = Answer::decode(bytes) {
        reads_as!(Answer, written(|out| message.encode(out)), message);
    }
    if let Ok(message) = TrustBundle::decode(bytes) {
        reads_as!(TrustBundle, written(|out| message.encode(out)), message);
    }
    if let Ok(message) = Claims::decode(bytes) {
        reads_as!(Claims, written(|out| message.encode(out)), message);
    }
    for content in [Content::Eat, Content::TrustBundle] {
        if let Ok(sign1) = Sign1::decode(bytes, content, MAX_TRUST_BUNDLE) {
            prop_assert!(sign1.unverified_payload().len() < bytes.len());
        }
    }
    Ok(())
}

fn messages_of_the_vectors() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let file: serde_json::Value = serde_json::from_str(&text).unwrap();
        for vector in file["vectors"].as_array().into_iter().flatten() {
            found.push(hex::decode(vector["hex"].as_str().unwrap()).unwrap());
        }
    }
    assert!(found.len() > 50, "the vectors are gone");
    found
}

fn written(encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>) -> Vec<u8> {
    let mut out = vec![0; 16 * 1024];
    let length = encode(&mut out).unwrap();
    out.truncate(length);
    out
}

fn heapless_list<'a, const N: usize>(items: &[&'a [u8]]) -> heapless::Vec<&'a [u8], N> {
    heapless::Vec::from_slice(items).unwrap()
}

/// Adds what a later version might: keys before, between and behind those known, with nested content.
fn with_unknown_fields(bytes: &[u8]) -> Vec<u8> {
    edited(bytes, |map| {
        map.insert(Cbor::Integer(99), Cbor::Text("later".into()));
        for key in [77, 9_000, -1, -300] {
            let nested = [(Cbor::Integer(1), Cbor::Array(vec![Cbor::Null, Cbor::Bytes(vec![0; 3])]))];
            map.insert(Cbor::Integer(key), Cbor::Map(nested.into_iter().collect()));
        }
    })
}

fn with_version(bytes: &[u8], version: u64) -> Vec<u8> {
    edited(bytes, |map| {
        map.insert(Cbor::Integer(0), Cbor::Integer(version.into()));
    })
}

fn edited(bytes: &[u8], edit: impl FnOnce(&mut std::collections::BTreeMap<Cbor, Cbor>)) -> Vec<u8> {
    let Cbor::Map(mut map) = serde_cbor::from_slice(bytes).unwrap() else { panic!("no map") };
    edit(&mut map);
    serde_cbor::to_vec(&Cbor::Map(map)).unwrap()
}

fn refused_version(bytes: &[u8], read: impl FnOnce(&[u8]) -> Result<(), DecodeError>) -> bool {
    matches!(read(bytes), Err(DecodeError::UnsupportedVersion { .. }))
}
