//! What a board reads from the network: HTTP answers, and TLS before, in and after a handshake.

use core::cell::RefCell;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use agent_core::keystore::SoftKey;
use agent_core::platform::{Reply, Server, TransportError};
use agent_core::x509::Validity;
use agent_mcu::net::TimeLimits;
use agent_mcu::tls::bare::When;
use agent_mcu::tls::guard::GuardState;
use agent_mcu::tls::{
    AuthenticatedSession, Buffers, NotOpened, Place, READ_BUFFER, RecordFault, WRITE_BUFFER, bare, open,
};
use embassy_time::Duration;
use embedded_io_async::{Error, ErrorKind, ErrorType, Read, Write};
use firmware_sim::chance::Dice;
use shared::UnixTime;

use crate::exchange;

/// An HTTP answer, as it comes whole and as it comes in parts.
pub(super) fn http(data: &[u8]) -> bool {
    let whole = answer(data, usize::MAX);
    let parts = answer(data, 1 + usize::from(data.last().copied().unwrap_or(0)) % 61);
    match (&whole, &parts) {
        // Something behind an answer is seen only where it comes with it.
        (Err(TransportError::Protocol), Ok(_)) => {}
        _ => assert_eq!(whole, parts, "whole and in parts"),
    }
    let Ok((reply, body)) = parts else { return false };
    let (status, length, rest) = by_lines(data);
    assert_eq!((reply.status, reply.length), (status, length), "another reader finds other numbers");
    assert_eq!(rest.get(..length), Some(body.as_slice()), "another reader finds another body");
    true
}

/// The buffer of a board that expects little.
const ROOM: usize = 256;

fn answer(data: &[u8], step: usize) -> Result<(Reply, Vec<u8>), TransportError> {
    const UNTOUCHED: u8 = 0xee;
    let mut buffer = [UNTOUCHED; ROOM];
    let mut stream = Stream { left: data, step };
    let reply = now(agent_mcu::http::receive(&mut stream, &mut buffer))?;
    let (body, behind) = buffer.split_at(reply.length);
    assert!(behind.iter().all(|byte| *byte == UNTOUCHED), "bytes behind the body");
    Ok((reply, body.to_vec()))
}

/// Status, length and what is behind the head, as somebody would read it who goes by lines.
///
/// # Panics
/// Where the head leaves any doubt.
fn by_lines(data: &[u8]) -> (u16, usize, &[u8]) {
    let start = data.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let mut rest = &data[start..];
    let mut lines = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').expect("a head that ends");
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let (first, fields) = lines.split_first().expect("a first line");
    let status = first.strip_prefix(b"HTTP/1.1 ").expect("the version").get(..3).expect("three digits");
    let number = |digits: &[u8]| -> usize {
        assert!(!digits.is_empty() && digits.iter().all(u8::is_ascii_digit), "{digits:?}");
        core::str::from_utf8(digits).expect("digits").parse().expect("a number")
    };
    let mut lengths = Vec::new();
    for field in fields {
        let colon = field.iter().position(|byte| *byte == b':').expect("a field");
        let (name, value) = field.split_at(colon);
        assert!(!name.eq_ignore_ascii_case(b"transfer-encoding"), "a coding that is not undone");
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths.push(number(value[1..].trim_ascii()));
        }
    }
    let [length] = lengths[..] else { panic!("{} lengths", lengths.len()) };
    (u16::try_from(number(status)).expect("three digits"), length, rest)
}

/// Records, as the guard lets them through to the library. In front: how many bytes come at once, how many are asked for at
/// once, and after how many records the session is open.
pub(super) fn tls_records(data: &[u8]) -> bool {
    const LIMIT: usize = 256;
    let Some((&[step, asked, opens], sent)) = data.split_first_chunk() else { return false };
    let (state, mut parked) = (GuardState::new(), [0; 64]);
    let stream = Stream { left: sent, step: usize::from(step).max(1) };
    let mut guard = bare::guard(stream, &state, &mut parked, LIMIT, Duration::from_secs(60));
    let (mut left, mut passed, mut since) = (sent, Vec::new(), 0);
    let fault = loop {
        let open = usize::from(opens) < passed.len();
        if open {
            if passed.len() == usize::from(opens) + 1 {
                bare::opened(&state);
            }
            bare::next_read(&state);
            since = 0;
        }
        let record = read(&mut guard, 5, asked).and_then(|mut record| {
            let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
            record.extend(read(&mut guard, length, asked)?);
            Ok(record)
        });
        let mut record = match record {
            Ok(record) => record,
            Err(fault) => break fault,
        };
        // The first encrypted record and those of an open session are marked.
        let mark = match (open, record[0]) {
            (true, _) => Some(4),
            (false, 23) if !passed.contains(&23) => Some(5),
            (false, _) => None,
        };
        if let Some(mark) = mark {
            assert_eq!(record[2], mark, "a record is not marked");
            record[2] = 3;
        }
        // Not a byte more, less or other than was sent.
        left = left.strip_prefix(record.as_slice()).expect("what was sent");
        since += 1;
        check(&record, &passed, open, LIMIT);
        assert!(since <= 16, "records without end");
        passed.push(record[0]);
    };
    assert_eq!(state.fault(), Some(fault));
    assert_eq!(read(&mut guard, 1, 1), Err(fault), "something passes after a fault");
    passed.len() > 1
}

/// RFC 8446, sections 5 and 5.1, by what has passed before.
fn check(record: &[u8], passed: &[u8], open: bool, limit: usize) {
    let [kind, major, minor, ..] = *record else { panic!("half a header") };
    let length = record.len() - 5;
    let encrypted = open || passed.contains(&22);
    assert!(length <= limit && (major, minor) == (3, 3) || !encrypted && (major, minor) == (3, 1));
    match kind {
        20 => assert!(!open && length == 1 && !passed.contains(&20), "ChangeCipherSpec"),
        21 => assert!(!encrypted && length == 2, "an alert in plain text"),
        22 => assert!(!encrypted, "a handshake message in plain text"),
        23 => assert!(encrypted && length > 16, "an encrypted record without content"),
        other => panic!("a record of type {other}"),
    }
}

/// So many bytes, no more than `asked` of them at once.
fn read<R: Read>(stream: &mut R, length: usize, asked: u8) -> Result<Vec<u8>, R::Error> {
    let mut found = vec![0; length];
    let mut filled = 0;
    while filled < length {
        let end = (filled + usize::from(asked).max(1)).min(length);
        filled += now(stream.read(&mut found[filled..end]))?;
    }
    Ok(found)
}

/// What a record holds, decrypted. The first byte, divided by three, says when it comes.
pub(super) fn tls_content(data: &[u8]) -> bool {
    let Some((when, inner)) = data.split_first() else { return false };
    let when = [When::Handshake, When::Open, When::First][usize::from(*when) % 3];
    if !bare::goes_on(inner, when) {
        return false;
    }
    let open = when == When::Open;
    let end = inner.iter().rposition(|byte| *byte != 0).expect("a content type");
    let (content, kind) = (&inner[..end], inner[end]);
    match kind {
        21 => assert_eq!(content.len(), 2, "an alert"),
        22 => {
            let (mut rest, mut kinds) = (content, Vec::new());
            while let Some((&[kind, a, b, c], behind)) = rest.split_first_chunk() {
                let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).expect("24 bits");
                rest = behind.get(length..).expect("a whole message");
                kinds.push(kind);
            }
            assert!(rest.is_empty() && !kinds.is_empty(), "half a message");
            let (_, before) = kinds.split_last().expect("a message");
            // Tickets alone in an open session; nothing behind Finished in the handshake.
            let fits = if open { kinds.iter().all(|kind| *kind == 4) } else { !before.contains(&20) };
            let extensions: Vec<_> = kinds.iter().map(|kind| *kind == 8).collect();
            let due = when == When::First && extensions[0] && !extensions[1..].contains(&true);
            assert!(fits && (due || !extensions.contains(&true) && when != When::First), "{kinds:?}");
        }
        23 => assert!(open && !content.is_empty(), "data"),
        other => panic!("content of type {other}"),
    }
    true
}

/// A server's first words to a board. Nobody who sends them has a certificate's key.
pub(super) fn tls_handshake(data: &[u8]) -> bool {
    let (root, host) = (exchange::bytes("root_ca"), exchange::text("server_host"));
    let (state, mut stream) = (GuardState::new(), Stream { left: data, step: usize::MAX });
    visit(&mut stream, &state, host, &root, exchange::now(), |opened| match opened {
        Ok(_) => panic!("a session with a server that nobody certified"),
        Err(refused) => assert!(!refused.shown, "the server is said to have proved who it is"),
    });
    if !matches!(state.fault(), None | Some(RecordFault::Ended)) {
        return false;
    }
    // What the guard has nothing against.
    let (mut read, mut passed) = (&data[..data.len() - stream.left.len()], Vec::new());
    while let Some(&[kind, _, _, high, low]) = read.first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((record, rest)) = read.split_at_checked(5 + length) else { break };
        check(record, &passed, false, READ_BUFFER);
        passed.push(kind);
        read = rest;
    }
    state.fault().is_none()
}

/// Lets a board whose randomness is known call whoever is at the other end of `stream`; `then` is given what comes of it.
pub(super) fn visit<S: Read + Write, T>(
    stream: S,
    state: &GuardState,
    host: &str,
    anchor: &[u8],
    at: UnixTime,
    then: impl FnOnce(Result<AuthenticatedSession<'_, '_, S>, NotOpened>) -> T,
) -> T {
    let anchors = [anchor];
    let server = Server { host, port: 8443, anchors: &anchors, validity: Validity::At(at) };
    let (mut read, mut write, mut parked) = (vec![0; READ_BUFFER], vec![0; WRITE_BUFFER], vec![0; 512]);
    let buffers = Buffers { read: &mut read, write: &mut write, parked: &mut parked };
    let mut place = Place::new();
    let rng = Dice::new(1, "board", 1);
    let opening =
        open::<_, SoftKey>(&mut place, stream, buffers, state, server, None, rng, TimeLimits::default());
    then(now(opening))
}

/// The message with which it begins.
pub(super) fn client_hello(host: &str, anchor: &[u8], at: UnixTime) -> Vec<u8> {
    let (wrote, state) = (RefCell::new(Vec::new()), GuardState::new());
    visit(Deaf { wrote: &wrote }, &state, host, anchor, at, |opened| assert!(opened.is_err()));
    let record = wrote.into_inner();
    assert_eq!(record[0], HANDSHAKE, "a board begins with ClientHello");
    record[5..].to_vec()
}

/// The type of records of the handshake.
pub(super) const HANDSHAKE: u8 = 22;

/// Nothing comes; what is written is kept.
struct Deaf<'w> {
    wrote: &'w RefCell<Vec<u8>>,
}

impl ErrorType for Deaf<'_> {
    type Error = Never;
}

impl Read for Deaf<'_> {
    async fn read(&mut self, _: &mut [u8]) -> Result<usize, Never> {
        Ok(0)
    }
}

impl Write for Deaf<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Never> {
        self.wrote.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Never> {
        Ok(())
    }
}

/// Bytes that come in steps; what is written goes nowhere.
pub(super) struct Stream<'d> {
    pub(super) left: &'d [u8],
    pub(super) step: usize,
}

/// Never comes.
#[derive(Debug)]
pub(super) struct Never;

impl core::fmt::Display for Never {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("never")
    }
}

impl core::error::Error for Never {}

impl Error for Never {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl From<Never> for TransportError {
    fn from(_: Never) -> Self {
        Self::Closed
    }
}

impl ErrorType for Stream<'_> {
    type Error = Never;
}

impl Read for Stream<'_> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Never> {
        let count = out.len().min(self.step).min(self.left.len());
        let (now, later) = self.left.split_at(count);
        out[..count].copy_from_slice(now);
        self.left = later;
        Ok(count)
    }
}

impl Write for Stream<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Never> {
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Never> {
        Ok(())
    }
}

/// Nothing here waits.
pub(super) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("bytes in memory never wait"),
    }
}

/// Seeds of these targets.
pub(super) fn seeds(target: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let named = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    Some(match target {
        "board_http" => vec![
            named(
                "issued",
                b"HTTP/1.1 200 OK\r\ncontent-type: application/cbor\r\ncontent-length: 7\r\n\r\n\xa2\x00\x01\x01\x18\x2a\xf6",
            ),
            named("refused", b"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"),
            named("bare-lines", b"HTTP/1.1 404 Not Found\nContent-Length:2\n\n{}"),
            named("more-than-it-says", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"),
        ],
        "board_tls_records" => {
            let records = [hello_record(), vec![20, 3, 3, 0, 1, 1], record(40), record(90), record(17)].concat();
            vec![
                named("session", &[&[255, 255, 3][..], &records].concat()),
                named("in-parts", &[&[3, 2, 2][..], &records].concat()),
                named("alert", &[255, 255, 1, 21, 3, 3, 0, 2, 2, 40]),
            ]
        }
        "board_tls_content" => vec![
            named("data", b"\x01hello\x17\x00\x00"),
            named("tickets", &[1, 4, 0, 0, 2, 9, 9, 4, 0, 0, 0, 22, 0]),
            named("alert", &[1, 1, 0, 21]),
            named("finished", &[0, 15, 0, 0, 1, 0, 20, 0, 0, 1, 9, 22]),
            named("flight", &[2, 8, 0, 0, 2, 0, 0, 11, 0, 0, 1, 0, 15, 0, 0, 1, 0, 20, 0, 0, 1, 9, 22]),
        ],
        "board_tls_handshake" => {
            let all = [hello_record(), vec![20, 3, 3, 0, 1, 1], record(40)].concat();
            vec![
                named("hello", &hello_record()),
                named("hello-and-more", &all),
                named("two-changes", &[hello_record(), [20, 3, 3, 0, 1, 1].repeat(2)].concat()),
                named("alert", &[21, 3, 3, 0, 2, 2, 40]),
            ]
        }
        _ => return None,
    })
}

/// An encrypted record of so many bytes.
fn record(length: u8) -> Vec<u8> {
    [&[23, 3, 3, 0, length][..], &vec![0x5a; length.into()]].concat()
}

/// ServerHello with the suite, version and group that boards ask for; the share is the generator of P-256.
fn hello_record() -> Vec<u8> {
    let generator = p256::SecretKey::from_slice(&[&[0; 31][..], &[1]].concat()).expect("the number one");
    let point = p256::ecdsa::SigningKey::from(generator).verifying_key().to_encoded_point(false);
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).expect("short");
    let extensions = [&[0, 43, 0, 2, 3, 4, 0, 51, 0, 69, 0, 23, 0, 65][..], point.as_bytes()].concat();
    // Version, random, no session to go on with, TLS_AES_128_GCM_SHA256, no compression.
    let body = [&[3, 3][..], &[7; 32], &[0, 0x13, 0x01, 0, 0], &[length(&extensions)], &extensions].concat();
    let message = [&[2, 0, 0, length(&body)][..], &body].concat();
    [&[22, 3, 3, 0, length(&message)][..], &message].concat()
}
