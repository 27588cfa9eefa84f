//! Signed notes (C2SP signed-note) with Ed25519, and the texts in which their keys are handed around.
//!
//! A verifier is told one key; signatures of others, such as witnesses, are passed over, as the specification asks.

use core::fmt;
use core::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Longest note, in bytes: a checkpoint with sixteen witnesses has far less.
pub const MAX_NOTE: usize = 64 * 1024;
/// Longest name of a key, in bytes.
pub const MAX_NAME: usize = 255;
/// Most signatures that are looked at; the specification asks for at least 16.
const MAX_SIGNATURES: usize = 64;
/// The signature type of Ed25519.
const TYPE_ED25519: u8 = 1;
/// Begins the text of a private key.
const PRIVATE: &str = "PRIVATE+KEY+";
const SIGNATURE_BEGIN: &str = "\u{2014} ";

/// This is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name cannot be one.
    #[error("a key's name is 1 to {MAX_NAME} bytes without spaces, control characters and '+'")]
    Name,
    /// The text of a public key is not one.
    #[error("expected the text of a public key, NAME+HASH+KEY")]
    Verifier,
    /// The text of a private key is not one.
    #[error("expected the text of a private key, PRIVATE+KEY+NAME+HASH+KEY")]
    Signer,
    /// The hash in the text is not that of the key.
    #[error("the key's hash is not that of its name and its bytes")]
    Hash,
    /// The library does not make or take the key.
    #[error("the key cannot be made or used")]
    Refused,
}

/// The note is not one, or not signed by the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is longer than any note.
    #[error("a note has at most {MAX_NOTE} bytes, this has {found}")]
    Long {
        /// Its length.
        found: usize,
    },
    /// It is not text.
    #[error("a note is text in UTF-8 without control characters")]
    NotText,
    /// There is no text followed by an empty line and signatures.
    #[error("a note is a text, an empty line, and one line for each signature")]
    Form,
    /// One of the lines behind the text is no signature.
    #[error("line {line} of the signatures is none")]
    Signature {
        /// Which line, from 1.
        line: usize,
    },
    /// The key did not sign it.
    #[error("the note is not signed by the key that was asked for")]
    Unsigned,
    /// A signature names the key and is not by it.
    #[error("the signature is not by the key that it names")]
    Forged,
}

/// The public key of a signer of notes, with its name.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// The key of this name.
    ///
    /// # Errors
    /// Where the name cannot be one.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), public })
    }

    /// Its name: that of the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Ed25519 public key (RFC 8032).
    #[must_use]
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The key ID: the first four bytes of a hash over the name and the key.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let material = [self.name.as_bytes(), b"\n", &[TYPE_ED25519], &self.public].concat();
        let mut id = [0; 4];
        for (to, from) in id.iter_mut().zip(digest(&SHA256, &material).as_ref()) {
            *to = *from;
        }
        id
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[TYPE_ED25519], self.public.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, id, key) = parts(text).ok_or(KeyError::Verifier)?;
        let verifier = Self::new(name, *key)?;
        if verifier.id() == id { Ok(verifier) } else { Err(KeyError::Hash) }
    }
}

/// Name, key ID and key.
type Parts<'t> = (&'t str, [u8; 4], Zeroizing<[u8; 32]>);

/// Takes NAME+HASH+KEY apart.
fn parts(text: &str) -> Option<Parts<'_>> {
    if text.len() > MAX_NAME + 128 {
        return None;
    }
    let (name, rest) = text.split_once('+')?;
    let (id, key) = rest.split_once('+')?;
    let id: [u8; 4] = hex::decode(id).ok()?.try_into().ok()?;
    let key = Zeroizing::new(STANDARD.decode(key).ok()?);
    let (_, bytes) = key.split_first().filter(|(kind, _)| **kind == TYPE_ED25519)?;
    Some((name, id, Zeroizing::new(bytes.try_into().ok()?)))
}

fn check_name(name: &str) -> Result<(), KeyError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if (1..=MAX_NAME).contains(&name.len()) && !name.contains(bad) { Ok(()) } else { Err(KeyError::Name) }
}

/// The private key of a signer of notes.
pub struct SignerKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl SignerKey {
    /// Makes a key.
    ///
    /// # Errors
    /// Where the name cannot be one, or the random generator fails.
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        Self::of(name, Ed25519KeyPair::generate().map_err(|_| KeyError::Refused)?)
    }

    fn of(name: &str, pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Refused)?;
        Ok(Self { verifier: VerifierKey::new(name, public)?, pair })
    }

    /// Reads the text of a private key.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let (name, id, seed) =
            parts(text.strip_prefix(PRIVATE).ok_or(KeyError::Signer)?).ok_or(KeyError::Signer)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).map_err(|_| KeyError::Refused)?;
        let key = Self::of(name, pair)?;
        if key.verifier.id() == id { Ok(key) } else { Err(KeyError::Hash) }
    }

    /// The text of the private key: a secret.
    ///
    /// # Errors
    /// Where the library does not give it out.
    pub fn to_secret_text(&self) -> Result<Zeroizing<String>, KeyError> {
        let seed = self.pair.seed().map_err(|_| KeyError::Refused)?;
        let seed = seed.as_be_bytes().map_err(|_| KeyError::Refused)?;
        let seed = Zeroizing::new(seed.as_ref().to_vec());
        let key = Zeroizing::new([&[TYPE_ED25519], seed.as_slice()].concat());
        let key = Zeroizing::new(STANDARD.encode(&*key));
        // All at once: a text that grows would leave copies behind.
        Ok(Zeroizing::new(
            [PRIVATE, self.verifier.name(), "+", &hex::encode(self.verifier.id()), "+", key.as_str()]
                .concat(),
        ))
    }

    /// The public key.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs `text`, which ends with a line end: the whole note.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let signature = [self.verifier.id().as_slice(), signature.as_ref()].concat();
        format!("{text}\n{SIGNATURE_BEGIN}{} {}\n", self.verifier.name(), STANDARD.encode(signature))
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({}, secret)", self.verifier)
    }
}

/// A note, taken apart and not verified.
#[derive(Clone, Debug)]
pub struct SignedNote<'n> {
    text: &'n str,
    signatures: Vec<Signature<'n>>,
}

#[derive(Clone, Debug)]
struct Signature<'n> {
    name: &'n str,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl<'n> SignedNote<'n> {
    /// Takes a note apart.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(note: &'n [u8]) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::Long { found: note.len() });
        }
        let note = core::str::from_utf8(note).map_err(|_| NoteError::NotText)?;
        if note.contains(|c: char| c < ' ' && c != '\n') {
            return Err(NoteError::NotText);
        }
        // The last empty line is the border.
        let border = note.rfind("\n\n").ok_or(NoteError::Form)?;
        let (text, rest) = note.split_at_checked(border + 1).ok_or(NoteError::Form)?;
        let lines =
            rest.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n')).ok_or(NoteError::Form)?;
        let mut signatures = Vec::new();
        for (number, line) in (1..).zip(lines.split('\n')) {
            let signature = signature(line).filter(|_| number <= MAX_SIGNATURES);
            signatures.push(signature.ok_or(NoteError::Signature { line: number })?);
        }
        Ok(Self { text, signatures })
    }

    /// The text, if `key` signed it.
    ///
    /// # Errors
    /// Where it did not, or a signature in its name is not by it.
    pub fn verified_text(&self, key: &VerifierKey) -> Result<&'n str, NoteError> {
        let mut signed = false;
        for signature in self.signatures.iter().filter(|found| found.name == key.name && found.id == key.id())
        {
            let public = UnparsedPublicKey::new(&ED25519, key.public);
            public.verify(self.text.as_bytes(), &signature.bytes).map_err(|_| NoteError::Forged)?;
            signed = true;
        }
        if signed { Ok(self.text) } else { Err(NoteError::Unsigned) }
    }
}

fn signature(line: &str) -> Option<Signature<'_>> {
    let (name, signature) = line.strip_prefix(SIGNATURE_BEGIN)?.split_once(' ')?;
    check_name(name).ok()?;
    let bytes = STANDARD.decode(signature).ok()?;
    let (id, bytes) = bytes.split_first_chunk::<4>()?;
    Some(Signature { name, id: *id, bytes: bytes.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::{KeyError, NoteError, SignedNote, SignerKey, VerifierKey};
    use proptest::prelude::*;

    /// RFC 8032, section 7.1, TEST 1: the seed and its public key.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    #[test]
    fn the_public_key_is_that_of_the_seed() {
        use base64::Engine as _;
        let public: [u8; 32] = hex::decode(PUBLIC).unwrap().try_into().unwrap();
        let verifier = VerifierKey::new("test", public).unwrap();
        let seed = [&[1], hex::decode(SEED).unwrap().as_slice()].concat();
        let text =
            format!("PRIVATE+KEY+test+{}+{}", hex::encode(verifier.id()), super::STANDARD.encode(&seed));
        let signer = SignerKey::from_text(&text).unwrap();
        assert_eq!(signer.verifier(), &verifier);
        assert_eq!(signer.to_secret_text().unwrap().as_str(), text);
        assert_eq!(verifier.to_string().parse::<VerifierKey>().unwrap(), verifier);
        assert!(!format!("{signer:?}").contains(&super::STANDARD.encode(&seed)));
    }

    #[test]
    fn a_note_is_verified_by_its_signer_only() {
        let (signer, other) =
            (SignerKey::generate("a.example/log").unwrap(), SignerKey::generate("a.example/log").unwrap());
        let note = signer.sign("some\n\ntext\n");
        let parsed = SignedNote::parse(note.as_bytes()).unwrap();
        assert_eq!(parsed.verified_text(signer.verifier()), Ok("some\n\ntext\n"));
        assert_eq!(parsed.verified_text(other.verifier()), Err(NoteError::Unsigned));
        // With a witness's signature below, which nobody here knows.
        let line = other.sign("some\n\ntext\n").lines().last().unwrap().to_owned();
        let both = format!("{note}{line}\n");
        let parsed = SignedNote::parse(both.as_bytes()).unwrap();
        parsed.verified_text(signer.verifier()).unwrap();
        parsed.verified_text(other.verifier()).unwrap();
        let bent = note.replacen("text", "texT", 1);
        let parsed = SignedNote::parse(bent.as_bytes()).unwrap();
        assert_eq!(parsed.verified_text(signer.verifier()), Err(NoteError::Forged));
    }

    #[test]
    fn broken_notes_and_keys_are_refused() {
        for (note, error) in [
            ("", NoteError::Form),
            ("text\n", NoteError::Form),
            ("text\n\n", NoteError::Form),
            ("text\n\n- a AAAAAAAA\n", NoteError::Signature { line: 1 }),
            ("text\n\n\u{2014} a AAAA\n", NoteError::Signature { line: 1 }),
            ("text\n\n\u{2014} a+b AAAAAAAA\n", NoteError::Signature { line: 1 }),
            ("te\txt\n\n\u{2014} a AAAAAAAA\n", NoteError::NotText),
        ] {
            assert_eq!(SignedNote::parse(note.as_bytes()).unwrap_err(), error, "{note:?}");
        }
        let many = format!("text\n\n{}", "\u{2014} a AAAAAAAA\n".repeat(65));
        assert_eq!(SignedNote::parse(many.as_bytes()).unwrap_err(), NoteError::Signature { line: 65 });
        SignedNote::parse(&vec![b'a'; 70_000]).unwrap_err();
        for name in ["", "a b", "a+b", "a\nb", "a\u{3000}b", &"x".repeat(256)] {
            assert_eq!(SignerKey::generate(name).unwrap_err(), KeyError::Name, "{name:?}");
        }
        let text = SignerKey::generate("a").unwrap().verifier().to_string();
        for bad in [
            &text.replacen("a+", "b+", 1),
            "a",
            "a+00000000",
            "",
            text.strip_suffix('=').unwrap_or(&text.replacen('+', "", 1)),
        ] {
            bad.parse::<VerifierKey>().unwrap_err();
        }
        assert_eq!(SignerKey::from_text(&text).unwrap_err(), KeyError::Signer);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_note_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _parsed = SignedNote::parse(&bytes).is_ok();
        }
    }
}
