//! The key schedule of TLS 1.3 (RFC 8446, section 7.1) and its record protection, for one suite:
//! TLS_AES_128_GCM_SHA256. Written for the tests, apart from the library under test.

use aes_gcm::aead::AeadInPlace as _;
use aes_gcm::{Aes128Gcm, KeyInit as _};
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};

/// A hash or a secret.
pub(crate) type Block = [u8; 32];

/// Secrets of the handshake.
#[derive(Clone)]
pub(crate) struct Handshake {
    /// From the server.
    pub(crate) server: Block,
    /// From the client.
    pub(crate) client: Block,
    master: Block,
}

impl Handshake {
    /// From the secret that both sides share and the hash of the messages up to ServerHello.
    pub(crate) fn new(shared: &[u8], transcript: &Block) -> Self {
        let early = extract(&[0; 32], &[0; 32]);
        let handshake = extract(&derived(&early), shared);
        Self {
            server: expand(&handshake, b"s hs traffic", transcript),
            client: expand(&handshake, b"c hs traffic", transcript),
            master: extract(&derived(&handshake), &[0; 32]),
        }
    }

    /// The secrets of the open session, from server and from client; `transcript` ends with the server's Finished.
    pub(crate) fn application(&self, transcript: &Block) -> (Block, Block) {
        let secret = |label: &[u8]| expand(&self.master, label, transcript);
        (secret(b"s ap traffic"), secret(b"c ap traffic"))
    }
}

/// The content of a Finished message (section 4.4.4).
pub(crate) fn finished(secret: &Block, transcript: &Block) -> Block {
    extract(&expand(secret, b"finished", &[]), transcript)
}

/// The protection of records in one direction.
#[derive(Clone)]
pub(crate) struct Traffic {
    cipher: Aes128Gcm,
    iv: [u8; 12],
    sequence: u64,
}

impl Traffic {
    /// From a traffic secret (section 7.3).
    pub(crate) fn new(secret: &Block) -> Self {
        let key: [u8; 16] = expand(secret, b"key", &[]);
        Self { cipher: Aes128Gcm::new(&key.into()), iv: expand(secret, b"iv", &[]), sequence: 0 }
    }

    /// A whole record; `inner` ends with the content type and padding.
    pub(crate) fn seal(&mut self, mut inner: Vec<u8>) -> Vec<u8> {
        let header = record_header(23, inner.len() + 16);
        let tag = self.cipher.encrypt_in_place_detached(&self.nonce().into(), &header, &mut inner).unwrap();
        self.sequence += 1;
        [&header[..], &inner, &tag].concat()
    }

    /// Content type and content of an encrypted record, or `None` where it is not for these keys.
    pub(crate) fn open(&mut self, header: [u8; 5], body: &[u8]) -> Option<(u8, Vec<u8>)> {
        let (content, tag) = body.split_at_checked(body.len().checked_sub(16)?)?;
        let mut content = content.to_vec();
        let nonce = self.nonce().into();
        self.cipher.decrypt_in_place_detached(&nonce, &header, &mut content, tag.into()).ok()?;
        self.sequence += 1;
        while content.last() == Some(&0) {
            content.pop();
        }
        let kind = content.pop()?;
        Some((kind, content))
    }

    fn nonce(&self) -> [u8; 12] {
        let mut nonce = self.iv;
        for (place, byte) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *place ^= byte;
        }
        nonce
    }
}

/// The header of a record.
pub(crate) fn record_header(kind: u8, length: usize) -> [u8; 5] {
    let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
    [kind, 3, 3, high, low]
}

/// HKDF-Extract (RFC 5869, section 2.2), which is HMAC.
fn extract(salt: &Block, secret: &[u8]) -> Block {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(salt).unwrap();
    mac.update(secret);
    mac.finalize().into_bytes().into()
}

/// HKDF-Expand-Label; nothing here needs more than one block.
fn expand<const N: usize>(secret: &Block, label: &[u8], context: &[u8]) -> [u8; N] {
    let mut info = u16::try_from(N).unwrap().to_be_bytes().to_vec();
    info.push(u8::try_from(label.len() + 6).unwrap());
    info.extend_from_slice(b"tls13 ");
    info.extend_from_slice(label);
    info.push(u8::try_from(context.len()).unwrap());
    info.extend_from_slice(context);
    info.push(1);
    *extract(secret, &info).first_chunk().unwrap()
}

fn derived(secret: &Block) -> Block {
    expand(secret, b"derived", &Sha256::digest([]))
}
