//! What a TPM answers to the client: through its socket, as from a simulator, so that everything behind it is as it runs.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

use shared::tpm2::{MAX_ATTEST, MAX_PUBLIC};
use tpm_client::objects::KeyBlob;
use tpm_client::{AuthValue, EkKind, StandingKey, Tpm, TpmError};

use super::pieces::{join, split};
use crate::tpm_exchange;

/// What is asked of the TPM, in the first byte; then its answers, a piece each. Their lengths are put right unless the byte
/// says otherwise. What comes back was in an answer, and is no longer than it may be.
pub(super) fn answers(data: &[u8]) -> bool {
    let Some((&[asked], pieces)) = data.split_first_chunk() else { return false };
    let answers: Vec<Vec<u8>> = split(pieces)
        .into_iter()
        .map(|piece| {
            let mut answer = piece.to_vec();
            let length = u32::try_from(answer.len()).expect("a short piece");
            if let Some(place) = answer.get_mut(2..6).filter(|_| asked & AS_IT_IS == 0) {
                place.copy_from_slice(&length.to_be_bytes());
            }
            answer
        })
        .collect();
    let said = answers.concat();
    let came = |part: &[u8], limit: usize| {
        assert!(part.len() <= limit, "{} bytes", part.len());
        assert!(part.is_empty() || said.windows(part.len()).any(|found| found == part), "nobody said that");
    };
    let outcome = FAKE.with(|fake| fake.answering(&said, |tpm| ask(asked & !AS_IT_IS, tpm, &came)));
    outcome.is_ok()
}

/// The lengths in the answers stay as they are.
const AS_IT_IS: u8 = 0x80;

fn ask(asked: u8, tpm: &Tpm, came: &dyn Fn(&[u8], usize)) -> Result<(), TpmError> {
    let kind = if asked & 0x10 == 0 { EkKind::Rsa2048 } else { EkKind::P256 };
    let (digest, auth) = ([7; 32], AuthValue::default());
    match asked & 0x0f {
        0 => {
            let (ek, ak) = tpm.identity(kind)?;
            came(&ek, MAX_PUBLIC);
            came(&ak, MAX_PUBLIC);
        }
        1 => {
            if let Some(certificate) = tpm.ek_certificate(kind)? {
                assert!(certificate.len() <= 4096);
            }
        }
        2 => {
            for certificate in tpm.ek_certificate_chain()? {
                let length = u16::from_be_bytes([certificate[2], certificate[3]]);
                assert!(certificate.starts_with(&[0x30, 0x82]));
                assert_eq!(certificate.len(), 4 + usize::from(length));
            }
        }
        3 => came(&tpm.activate(kind, &[1; 64])?, 64),
        4 => {
            let signed = tpm.certify(&blob(), &digest)?;
            came(&signed.attest, MAX_ATTEST);
            came(&signed.signature, 4096);
        }
        5 => {
            let quoted = tpm.quote(&[0, 7], &digest)?;
            came(&quoted.signed.attest, MAX_ATTEST);
            assert!(quoted.values.iter().map(|(register, _)| *register).eq([0, 7]));
            quoted.values.iter().for_each(|(_, value)| came(value, 32));
        }
        6 => drop(tpm.sign(&blob(), &digest)?),
        7 => {
            let made = tpm.make_key()?;
            came(&made.public, MAX_PUBLIC);
            came(&made.private, 512);
            assert_eq!(KeyBlob::from_bytes(&made.to_bytes()).as_ref(), Ok(&made));
        }
        _ => {
            let mut standing = StandingKey::persistent(tpm, 0x8100_0001)?;
            came(standing.public(), MAX_PUBLIC);
            let _signature = standing.sign(&auth, &digest)?;
        }
    }
    Ok(())
}

fn blob() -> KeyBlob {
    KeyBlob { public: vec![3; 88], private: vec![4; 126] }
}

thread_local! {
    static FAKE: Fake = Fake::new();
}

/// Answers whatever it is asked with what it was told to say.
struct Fake {
    tpm: Tpm,
    say: Sender<Vec<u8>>,
    done: Receiver<()>,
    _socket: OwnedFd,
}

impl Fake {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("tpm")).expect("a socket");
        // A fuzzer ends without a goodbye: the socket goes on without its name.
        let flags = rustix::fs::OFlags::PATH;
        let socket = rustix::fs::open(folder.path().join("tpm"), flags, rustix::fs::Mode::empty());
        let socket = socket.expect("the socket");
        let path = PathBuf::from(format!("/proc/self/fd/{}", socket.as_raw_fd()));
        let (say, told) = channel::<Vec<u8>>();
        let (all_said, done) = channel();
        std::thread::spawn(move || {
            for answers in told {
                let (mut stream, _) = listener.accept().expect("a client");
                // A client that has heard enough goes.
                let _said = stream.write_all(&answers);
                let _shut = stream.shutdown(std::net::Shutdown::Write);
                let mut asked = [0; 4096];
                while stream.read(&mut asked).is_ok_and(|count| count > 0) {}
                if all_said.send(()).is_err() {
                    return;
                }
            }
        });
        Self { tpm: Tpm::new(&path), say, done, _socket: socket }
    }

    fn answering<T>(&self, answers: &[u8], work: impl FnOnce(&Tpm) -> T) -> T {
        self.say.send(answers.to_vec()).expect("it listens");
        let outcome = work(&self.tpm);
        self.done.recv().expect("it has said all");
        outcome
    }
}

/// Seeds of this target: the answers to each thing that is asked, with what a TPM said once in them.
pub(super) fn seeds(target: &str) -> Option<Vec<(String, Vec<u8>)>> {
    if target != "tpm_answers" {
        return None;
    }
    let bytes = |name: &str| tpm_exchange::bytes(name);
    let (ek, ak) = (loaded(&bytes("ek_public")), loaded(&bytes("ak_public")));
    let root = loaded(&bytes("key_public"));
    let signed = |name: &str| with_sessions(&[&sized(&bytes(name)), &bytes("quote_signature")[..]]);
    let no_index = plain(0x18b, &[]);
    let named = |name: &str, asked: u8, answers: &[Vec<u8>]| {
        // Nothing is left over from others.
        let all = [&[no_handles(), no_handles()], answers].concat();
        let pieces: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        (name.to_owned(), [&[asked][..], &join(&pieces)].concat())
    };
    let certificate = [&[0x30, 0x82, 1, 0][..], &[5; 256], &[0xff; 40]].concat();
    let area = [&[0x01, 0xc0, 0, 0x0a, 0, 0x0b, 0, 0, 0, 0, 0, 0][..], &length(&certificate)].concat();
    let index = plain(0, &[&sized(&area), &sized(&[0; 34])]);
    let read = with_sessions(&[&sized(&certificate)]);
    let chain_index = plain(0, &[&[0, 0, 0, 0, 1, 0, 0, 0, 1, 0x01, 0xc0, 0x01, 0x00]]);
    let register = plain(0, &[&[0; 4], &[0, 0, 0, 1, 0, 0x0b, 3, 1, 0, 0], &[0, 0, 0, 1], &sized(&[6; 32])]);
    let load = [&[0x80, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 1][..], &[0, 0, 0, 0], &[0; 5]].concat();
    let session = plain(0, &[&[3, 0, 0, 0], &sized(&[8; 16])]);
    let flushed = || plain(0, &[]);
    let key = || [root.clone(), load.clone(), flushed()];
    let four = || [register.clone(), register.clone()];
    Some(vec![
        named("identity", 0x10, &[ek.clone(), flushed(), ak.clone(), flushed()]),
        named("identity-kept", 0, &[plain(0, &[&sized(&bytes("ek_public"))]), ak.clone(), flushed()]),
        named("certificate", 1, &[index.clone(), read.clone()]),
        named("no-certificate", 1, &[no_index]),
        named("chain", 2, &[chain_index, index, read]),
        named(
            "activate",
            0x13,
            &[
                ak.clone(),
                ek,
                session,
                with_sessions(&[]),
                with_sessions(&[&sized(&[9; 32])]),
                flushed(),
                flushed(),
            ],
        ),
        named("certify", 4, &[&key()[..], &[ak.clone(), signed("certify"), flushed(), flushed()]].concat()),
        named("quote", 5, &[&four()[..], &[ak, signed("quote"), flushed()], &four()].concat()),
        named("sign", 6, &[&key()[..], &[with_sessions(&[&bytes("quote_signature")]), flushed()]].concat()),
        named(
            "make",
            7,
            &[root, with_sessions(&[&sized(&[4; 126]), &sized(&bytes("key_public"))]), flushed()],
        ),
        named(
            "persistent",
            8,
            &[plain(0, &[&sized(&bytes("key_public"))]), with_sessions(&[&bytes("quote_signature")])],
        ),
        named("busy", 0x11, &[plain(0x922, &[]), plain(0x922, &[]), plain(0x9a2, &[])]),
    ])
}

/// An answer without sessions; its length is put right later.
fn plain(code: u32, parts: &[&[u8]]) -> Vec<u8> {
    [&[0x80, 1, 0, 0, 0, 0][..], &code.to_be_bytes(), &parts.concat()].concat()
}

/// A good answer with the parameters' length before them and a session's answer behind.
fn with_sessions(parts: &[&[u8]]) -> Vec<u8> {
    let parameters = parts.concat();
    let length = u32::try_from(parameters.len()).expect("short").to_be_bytes();
    [&[0x80, 2, 0, 0, 0, 0, 0, 0, 0, 0][..], &length, &parameters, &[0; 5]].concat()
}

/// An object that was made and loaded.
fn loaded(public: &[u8]) -> Vec<u8> {
    let mut answer = with_sessions(&[&sized(public), &sized(&[]), &sized(&[2; 32])]);
    answer.splice(10..10, [0x80, 0, 0, 0]);
    answer
}

/// No handles are in use.
fn no_handles() -> Vec<u8> {
    plain(0, &[&[0, 0, 0, 0, 1, 0, 0, 0, 0]])
}

fn sized(content: &[u8]) -> Vec<u8> {
    [&length(content)[..], content].concat()
}

fn length(content: &[u8]) -> [u8; 2] {
    u16::try_from(content.len()).expect("short").to_be_bytes()
}
