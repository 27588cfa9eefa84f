//! What a server says to a board under encryption: its flight behind ServerHello, and the session after it.
//!
//! The server is as strong as one can be: it has the keys of the session and the key of its certificate. So nothing is refused
//! for a key that is wrong, and what is changed is read to the end.

use std::sync::LazyLock;

use agent_mcu::tls::guard::GuardState;
use embedded_io_async::Read as _;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::elliptic_curve::ecdh::diffie_hellman;
use p256::{PublicKey, SecretKey};
use sha2::{Digest as _, Sha256};

use super::boards::{HANDSHAKE, Stream, client_hello, now, visit};
use super::hostile::messages::{self, ECDSA_P256, SERVER_CONTEXT, hash};
use super::hostile::schedule::{self, Handshake, Traffic, record_header};
use super::pieces::{join, split};
use super::tls_pki::{HOST, NOW, PKI};

/// How many bytes come at once, then what stands in each record: content, type and padding. A certificate of one byte stands
/// for the one with this number, an empty signature and an empty Finished for the right ones.
pub(super) fn tls_session(data: &[u8]) -> bool {
    let pieces = split(data);
    let Some((step, records)) = pieces.split_first() else { return false };
    let said = Said::new(records);
    let step = step.first().copied().filter(|step| *step > 0).map_or(usize::MAX, usize::from);
    let state = GuardState::new();
    let stream = Stream { left: &said.bytes, step };
    visit(stream, &state, HOST, &PKI.root, NOW, |opened| match opened {
        Err(refused) => {
            assert!(!refused.shown || said.is_shown(), "the server is said to have proved who it is");
            false
        }
        Ok(mut session) => {
            said.is_honest();
            let (mut read, mut room) = (Vec::new(), [0; 700]);
            while let Ok(count @ 1..) = now(session.read(&mut room)) {
                read.extend_from_slice(&room[..count]);
            }
            let due = said.data();
            assert!(
                due.starts_with(&read),
                "{} is read where this was sent: {}",
                hex::encode(&read),
                hex::encode(due)
            );
            true
        }
    })
}

/// What is sent to the board.
struct Said {
    /// All of it, encrypted.
    bytes: Vec<u8>,
    /// What is in the records up to Finished, whose place the missing parts have taken.
    flight: Vec<Vec<u8>>,
    /// And in those behind it.
    session: Vec<Vec<u8>>,
}

impl Said {
    fn new(records: &[&[u8]]) -> Self {
        let mut said = Self { bytes: RECORD.clone(), flight: Vec::new(), session: Vec::new() };
        let (mut transcript, mut sending) = (TRANSCRIPT.clone(), Traffic::new(&SECRETS.server));
        let mut open = false;
        for record in records.iter().take_while(|record| record.len() < LONGEST) {
            if open {
                said.bytes.extend(sending.seal(record.to_vec()));
                said.session.push(record.to_vec());
                continue;
            }
            let record = completed(record, &mut transcript);
            said.bytes.extend(sending.seal(record.clone()));
            // The keys change behind the first Finished.
            if let Some((messages, _)) = handshake(&record)
                && messages.iter().any(|message| message.kind == FINISHED)
            {
                sending = Traffic::new(&SECRETS.application(&hash(&transcript)).0);
                open = true;
            }
            said.flight.push(record);
        }
        said
    }

    /// Whether the right Certificate and the right CertificateVerify are in it, in this order.
    fn is_shown(&self) -> bool {
        let messages: Vec<_> =
            self.flight.iter().filter_map(|record| handshake(record)).flat_map(|(all, _)| all).collect();
        let certificate = messages.iter().position(|message| message.is_certificate());
        certificate.is_some_and(|at| messages[at..].iter().any(|message| message.kind == CERTIFICATE_VERIFY))
    }

    /// # Panics
    /// Where it is not the flight of an honest server (RFC 8446, sections 2 and 4.3 to 4.4).
    fn is_honest(&self) {
        let (mut transcript, mut kinds) = (TRANSCRIPT.clone(), Vec::new());
        for record in &self.flight {
            let (messages, rest) = handshake(record).expect("a record of handshake messages");
            assert!(rest.is_empty() && !messages.is_empty(), "half a message");
            for message in messages {
                match message.kind {
                    ENCRYPTED_EXTENSIONS => extensions(message.body),
                    CERTIFICATE_REQUEST => match message.body {
                        // In a handshake there is no context.
                        [0, body @ ..] => extensions(body),
                        other => panic!("a request with a context: {other:?}"),
                    },
                    CERTIFICATE => assert!(message.is_certificate(), "another certificate"),
                    CERTIFICATE_VERIFY => proves(message.body, &transcript),
                    FINISHED => {
                        assert_eq!(message.body, schedule::finished(&SECRETS.server, &hash(&transcript)));
                    }
                    other => panic!("a message of type {other}"),
                }
                transcript.update(message.whole);
                kinds.push(message.kind);
            }
        }
        // A request is taken late and twice too: the library does not say where it comes, and who asks has shown itself.
        kinds.retain(|kind| *kind != CERTIFICATE_REQUEST);
        assert_eq!(kinds, [ENCRYPTED_EXTENSIONS, CERTIFICATE, CERTIFICATE_VERIFY, FINISHED]);
    }

    /// What was sent as data before anything that has no place in a session.
    fn data(&self) -> Vec<u8> {
        let mut data = Vec::new();
        for record in &self.session {
            match inner(record) {
                Some((content, DATA)) if !content.is_empty() => data.extend_from_slice(content),
                Some((_, HANDSHAKE)) => {
                    let (messages, rest) = handshake(record).expect("its type is looked at");
                    let tickets = messages.iter().all(|message| message.kind == TICKET);
                    if !(tickets && rest.is_empty()) {
                        break;
                    }
                }
                _ => break,
            }
        }
        data
    }
}

/// Longer ones fit into no record.
const LONGEST: usize = 20_000;

const DATA: u8 = 23;

const TICKET: u8 = 4;
const ENCRYPTED_EXTENSIONS: u8 = 8;
const CERTIFICATE: u8 = 11;
const CERTIFICATE_REQUEST: u8 = 13;
const CERTIFICATE_VERIFY: u8 = 15;
const FINISHED: u8 = 20;

/// Content and type of what was encrypted (RFC 8446, section 5.2).
fn inner(record: &[u8]) -> Option<(&[u8], u8)> {
    let end = record.iter().rposition(|byte| *byte != 0)?;
    Some((&record[..end], record[end]))
}

/// A handshake message.
struct Message<'r> {
    kind: u8,
    body: &'r [u8],
    whole: &'r [u8],
}

impl Message<'_> {
    /// Whether it is Certificate with the right one in front.
    fn is_certificate(&self) -> bool {
        self.kind == CERTIFICATE
            && entries(self.body).is_some_and(|all| all.first().is_some_and(|(der, _)| *der == PKI.chain[0]))
    }
}

/// The whole messages of a record that is one of the handshake, and what stands behind them.
fn handshake(record: &[u8]) -> Option<(Vec<Message<'_>>, &[u8])> {
    let (mut rest, kind) = inner(record)?;
    let mut messages = Vec::new();
    while let Some((&[kind, a, b, c], behind)) = rest.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).expect("24 bits");
        let Some((body, next)) = behind.split_at_checked(length) else { break };
        messages.push(Message { kind, body, whole: &rest[..4 + length] });
        rest = next;
    }
    (kind == HANDSHAKE).then_some((messages, rest))
}

/// The record with what stands for something else in it put in; its messages count as said.
fn completed(record: &[u8], transcript: &mut Sha256) -> Vec<u8> {
    let Some((messages, rest)) = handshake(record) else { return record.to_vec() };
    let end = messages.iter().map(|message| message.whole.len()).sum::<usize>() + rest.len();
    let mut out = Vec::new();
    for message in messages {
        let message = match (message.kind, message.body) {
            (CERTIFICATE, body) => with_certificates(body).unwrap_or_else(|| message.whole.to_vec()),
            (CERTIFICATE_VERIFY, [high, low, 0, 0]) => {
                let signature = messages::sign(&PKI.key, SERVER_CONTEXT, &hash(transcript));
                messages::certificate_verify(u16::from_be_bytes([*high, *low]), &signature)
            }
            (FINISHED, []) => messages::finished(&schedule::finished(&SECRETS.server, &hash(transcript))),
            _ => message.whole.to_vec(),
        };
        transcript.update(&message);
        out.extend(message);
    }
    transcript.update(rest);
    [&out[..], rest, &record[end..]].concat()
}

/// The message Certificate with the certificates that numbers stand for.
fn with_certificates(body: &[u8]) -> Option<Vec<u8>> {
    let named = |der: &[u8]| match der {
        [number] => PKI.chain.get(usize::from(*number)).cloned(),
        _ => None,
    };
    let mut list = Vec::new();
    for (der, more) in entries(body)? {
        let der = named(der).unwrap_or_else(|| der.to_vec());
        list.extend([&length3(der.len())[..], &der, &length2(more.len()), more].concat());
    }
    Some(messages::message(CERTIFICATE, &[&[0], &length3(list.len())[..], &list].concat()))
}

/// The certificates of a message without a context, each with its extensions; `None` where it is not well-formed.
fn entries(body: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let (context, list) = body.split_first()?;
    let (mut list, behind) = counted::<3>(list)?;
    let mut found = Vec::new();
    while !list.is_empty() {
        let (der, rest) = counted::<3>(list)?;
        let (more, rest) = counted::<2>(rest)?;
        found.push((der, more));
        list = rest;
    }
    (*context == 0 && behind.is_empty()).then_some(found)
}

/// # Panics
/// Where these are no extensions.
fn extensions(body: &[u8]) {
    let (mut list, behind) = counted::<2>(body).expect("a list of extensions");
    assert!(behind.is_empty(), "bytes behind the extensions");
    while !list.is_empty() {
        let (_, rest) = list.split_first_chunk::<2>().expect("the type of an extension");
        list = counted::<2>(rest).expect("an extension").1;
    }
}

/// What stands behind its own length of so many bytes, and the rest.
fn counted<const N: usize>(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<N>()?;
    rest.split_at_checked(length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
}

/// # Panics
/// Where it is no signature of the server's over what was said.
fn proves(body: &[u8], transcript: &Sha256) {
    let (scheme, rest) = body.split_first_chunk::<2>().expect("a scheme");
    assert_eq!(u16::from_be_bytes(*scheme), ECDSA_P256);
    let (signature, behind) = counted::<2>(rest).expect("a signature");
    assert!(behind.is_empty(), "bytes behind the signature");
    let signature = DerSignature::from_bytes(signature).expect("a signature in DER");
    let signed = [&[b' '; 64][..], SERVER_CONTEXT, &hash(transcript)].concat();
    PKI.key.verifying_key().verify(&signed, &signature).expect("the server's signature");
}

fn length2(length: usize) -> [u8; 2] {
    messages::length2(length)
}

fn length3(length: usize) -> [u8; 3] {
    let [_, a, b, c] = u32::try_from(length).expect("a short message").to_be_bytes();
    [a, b, c]
}

/// The server's half of the key exchange is known, as is the board's randomness.
static EXCHANGE: LazyLock<SecretKey> =
    LazyLock::new(|| SecretKey::from_slice(&[9; 32]).expect("a number below the order"));

/// The message ServerHello ...
static HELLO: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let point = SigningKey::from(&*EXCHANGE).verifying_key().to_encoded_point(false);
    messages::server_hello(&[messages::VERSION_13, &messages::key_share(point.as_bytes())].concat())
});

/// ... and its record.
static RECORD: LazyLock<Vec<u8>> =
    LazyLock::new(|| [&record_header(HANDSHAKE, HELLO.len())[..], &HELLO].concat());

/// Both hellos.
static TRANSCRIPT: LazyLock<Sha256> =
    LazyLock::new(|| Sha256::new().chain_update(&*CLIENT_HELLO).chain_update(&*HELLO));

/// The message that a board with the known randomness begins with.
static CLIENT_HELLO: LazyLock<Vec<u8>> = LazyLock::new(|| client_hello(HOST, &PKI.root, NOW));

static SECRETS: LazyLock<Handshake> = LazyLock::new(|| {
    // The one point of group secp256r1.
    let share = [0, 23, 0, 65, 4];
    let at = CLIENT_HELLO.windows(share.len()).position(|five| five == share).expect("a share of secp256r1");
    let public = PublicKey::from_sec1_bytes(&CLIENT_HELLO[at + 4..][..65]).expect("a point");
    let shared = diffie_hellman(EXCHANGE.to_nonzero_scalar(), public.as_affine());
    Handshake::new(shared.raw_secret_bytes(), &hash(&TRANSCRIPT))
});

/// Seeds of this target.
pub(super) fn seeds(target: &str) -> Option<Vec<(String, Vec<u8>)>> {
    if target != "board_tls_session" {
        return None;
    }
    let (hello, certificate) = (messages::encrypted_extensions(), messages::certificate(&[vec![0]]));
    let proof = messages::certificate_verify(ECDSA_P256, &[]);
    let finished = messages::message(FINISHED, &[]);
    let of = |kind: u8, content: &[u8]| [content, &[kind]].concat();
    let named = |name: &str, step: u8, records: &[Vec<u8>]| {
        let parts: Vec<_> = core::iter::once(vec![step]).chain(records.iter().cloned()).collect();
        (name.to_owned(), join(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>()))
    };
    let request = messages::certificate_request();
    let [hello_record, certificate_record, proof_record, finished_record, request_record] =
        [&hello, &certificate, &proof, &finished, &request].map(|message| of(HANDSHAKE, message));
    let asked = [&hello_record, &request_record, &certificate_record, &proof_record, &finished_record]
        .map(Vec::clone);
    let session = [of(HANDSHAKE, &messages::ticket()), of(DATA, b"welcome"), of(21, &[1, 0])];
    let joined = [&hello[..], &certificate, &proof, &finished].concat();
    let chain = messages::certificate(&[vec![0], vec![1], vec![2], vec![3]]);
    Some(vec![
        named("flight", 0, &[&asked[..], &session].concat()),
        named("one-record-in-parts", 7, &[of(HANDSHAKE, &joined), [of(DATA, b"hello"), vec![0; 9]].concat()]),
        named("other-certificates", 0, &[of(HANDSHAKE, &[hello, chain, proof, finished].concat())]),
    ])
}
