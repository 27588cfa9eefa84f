//! A TLS 1.3 server that says whatever a test wants, in any order, with the right keys.
//!
//! It is as strong as an attacker on the path can be: it takes part in the key exchange, so that its records
//! decrypt and its Finished is right. It has a certificate too; what it does with it is the test's affair.

pub(crate) mod messages;
mod schedule;

use std::io;

use p256::ecdh::EphemeralSecret;
use p256::{EncodedPoint, PublicKey};
use rand_core::OsRng;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::pki::Identity;
use messages::{ECDSA_P256, SERVER_CONTEXT, hash};
use schedule::{Block, Handshake, Traffic, record_header};

/// Content types of records (RFC 8446, section 5.1).
pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION_DATA: u8 = 23;

/// The server's side of one connection.
pub(crate) struct Hostile<'i> {
    stream: TcpStream,
    identity: &'i Identity,
    shared: Vec<u8>,
    point: EncodedPoint,
    /// All messages so far.
    pub(crate) transcript: Sha256,
    secrets: Option<Handshake>,
    application: Option<(Block, Block)>,
    /// Protects what is sent.
    sending: Option<Traffic>,
    keys: ClientKeys,
}

/// What it takes to read what the device wrote.
#[derive(Clone, Default)]
pub(crate) struct ClientKeys {
    handshake: Option<Traffic>,
    application: Option<Traffic>,
}

/// A record of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// In plain text, of this type.
    Plain(u8),
    /// In the handshake, of this type inside.
    Handshake(u8),
    /// In the open session: type and content.
    Session(u8, Vec<u8>),
    /// Under unknown keys.
    Unreadable,
}

impl<'i> Hostile<'i> {
    /// Accepts a connection and reads ClientHello.
    pub(crate) async fn accept(listener: &TcpListener, identity: &'i Identity) -> io::Result<Self> {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (header, hello) = read_record(&mut stream).await?;
        assert_eq!(header[0], HANDSHAKE, "a device begins with ClientHello");
        let secret = EphemeralSecret::random(&mut OsRng);
        let shared = secret.diffie_hellman(&client_share(&hello)).raw_secret_bytes().to_vec();
        Ok(Self {
            stream,
            identity,
            shared,
            point: secret.public_key().into(),
            transcript: Sha256::new().chain_update(&hello),
            secrets: None,
            application: None,
            sending: None,
            keys: ClientKeys::default(),
        })
    }

    /// Sends ServerHello and has the keys of the handshake from then on.
    pub(crate) async fn hello(&mut self) -> io::Result<()> {
        let extensions = [messages::VERSION_13, &messages::key_share(self.point.as_bytes())].concat();
        let message = self.said(&messages::server_hello(&extensions));
        self.derive();
        self.plain(HANDSHAKE, &message).await
    }

    /// Takes the keys of the handshake into use; the transcript ends with ServerHello.
    pub(crate) fn derive(&mut self) {
        let secrets = Handshake::new(&self.shared, &hash(&self.transcript));
        self.sending = Some(Traffic::new(&secrets.server));
        self.keys.handshake = Some(Traffic::new(&secrets.client));
        self.secrets = Some(secrets);
    }

    /// Counts a message as said, and gives it back.
    pub(crate) fn said(&mut self, message: &[u8]) -> Vec<u8> {
        self.transcript.update(message);
        message.to_vec()
    }

    /// EncryptedExtensions.
    pub(crate) fn extensions(&mut self) -> Vec<u8> {
        self.said(&messages::encrypted_extensions())
    }

    /// The right Certificate.
    pub(crate) fn certificate(&mut self) -> Vec<u8> {
        self.said(&messages::certificate(&self.identity.chain))
    }

    /// The right CertificateVerify.
    pub(crate) fn verify(&mut self) -> Vec<u8> {
        self.said(&messages::certificate_verify(ECDSA_P256, &self.signature()))
    }

    /// The right signature over what was said so far.
    pub(crate) fn signature(&self) -> Vec<u8> {
        messages::sign(&self.identity.signing_key(), SERVER_CONTEXT, &hash(&self.transcript))
    }

    /// The right Finished for whatever was said before.
    pub(crate) fn finished(&mut self) -> Vec<u8> {
        let secrets = self.secrets.clone().unwrap();
        let message = messages::finished(&schedule::finished(&secrets.server, &hash(&self.transcript)));
        let message = self.said(&message);
        // A device derives the keys of the session at the first one.
        let application =
            *self.application.get_or_insert_with(|| secrets.application(&hash(&self.transcript)));
        self.keys.application = Some(Traffic::new(&application.1));
        message
    }

    /// The whole flight of an honest server, each message by itself.
    pub(crate) fn flight(&mut self) -> [Vec<u8>; 4] {
        [self.extensions(), self.certificate(), self.verify(), self.finished()]
    }

    /// ServerHello and the whole honest flight as bytes, not sent yet.
    pub(crate) fn recorded_flight(&mut self) -> Vec<u8> {
        let extensions = [messages::VERSION_13, &messages::key_share(self.point.as_bytes())].concat();
        let hello = self.said(&messages::server_hello(&extensions));
        self.derive();
        let mut bytes = [&record_header(HANDSHAKE, hello.len())[..], &hello].concat();
        for message in self.flight() {
            bytes.extend(self.seal([&message[..], &[HANDSHAKE]].concat()));
        }
        bytes
    }

    /// Sends a record in plain text.
    pub(crate) async fn plain(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let record = [&record_header(kind, content.len())[..], content].concat();
        self.raw(&record).await
    }

    /// Sends an encrypted record with this content.
    pub(crate) async fn sealed(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        self.sealed_inner([content, &[kind]].concat()).await
    }

    /// Sends an encrypted record whose inner text is free.
    pub(crate) async fn sealed_inner(&mut self, inner: Vec<u8>) -> io::Result<()> {
        let record = self.seal(inner);
        self.raw(&record).await
    }

    /// An encrypted record, not sent yet.
    pub(crate) fn seal(&mut self, inner: Vec<u8>) -> Vec<u8> {
        self.sending.as_mut().unwrap().seal(inner)
    }

    /// Sends each message in a record of its own.
    pub(crate) async fn messages(&mut self, messages: &[Vec<u8>]) -> io::Result<()> {
        for message in messages {
            self.sealed(HANDSHAKE, message).await?;
        }
        Ok(())
    }

    /// Sends bytes.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// An honest handshake to its end, checked, and the device's first words.
    pub(crate) async fn open(&mut self) -> io::Result<Vec<u8>> {
        self.hello().await?;
        let flight = self.flight().concat();
        self.sealed(HANDSHAKE, &flight).await?;
        let expected = {
            let secrets = self.secrets.as_ref().unwrap();
            messages::finished(&schedule::finished(&secrets.client, &hash(&self.transcript)))
        };
        let (header, body) = read_record(&mut self.stream).await?;
        let finished = self.keys.clone().handshake.unwrap().open(header, &body);
        assert_eq!(finished, Some((HANDSHAKE, expected)), "the device's Finished");
        let (server, client) = self.application.unwrap();
        self.sending = Some(Traffic::new(&server));
        let (header, body) = read_record(&mut self.stream).await?;
        let (kind, greeting) = Traffic::new(&client).open(header, &body).unwrap();
        assert_eq!(kind, APPLICATION_DATA);
        Ok(greeting)
    }

    /// Says that nothing more will come.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Waits until the device is gone; the keys to read what it wrote.
    pub(crate) async fn outlast(mut self) -> ClientKeys {
        let mut rest = Vec::new();
        let _reset = self.stream.read_to_end(&mut rest).await;
        self.keys
    }
}

impl ClientKeys {
    /// Reads what the device wrote, record by record.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Vec<Wrote> {
        let mut wrote = Vec::new();
        while !bytes.is_empty() {
            let (header, rest) = bytes.split_first_chunk::<5>().expect("whole records");
            let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
            let (body, rest) = rest.split_at_checked(length).expect("whole records");
            wrote.push(self.read_one(*header, body));
            bytes = rest;
        }
        wrote
    }

    fn read_one(&mut self, header: [u8; 5], body: &[u8]) -> Wrote {
        if header[0] != APPLICATION_DATA {
            return Wrote::Plain(header[0]);
        }
        if let Some((kind, _)) = self.handshake.as_mut().and_then(|keys| keys.open(header, body)) {
            return Wrote::Handshake(kind);
        }
        match self.application.as_mut().and_then(|keys| keys.open(header, body)) {
            Some((kind, content)) => Wrote::Session(kind, content),
            None => Wrote::Unreadable,
        }
    }
}

async fn read_record(stream: &mut TcpStream) -> io::Result<([u8; 5], Vec<u8>)> {
    let mut header = [0; 5];
    stream.read_exact(&mut header).await?;
    let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
    stream.read_exact(&mut body).await?;
    Ok((header, body))
}

/// The device's share of the key exchange: the one point of group secp256r1 in its ClientHello.
fn client_share(hello: &[u8]) -> PublicKey {
    let share = [0, 23, 0, 65, 4];
    let at = hello.windows(share.len()).position(|five| five == share).expect("a key share of secp256r1");
    PublicKey::from_sec1_bytes(&hello[at + 4..at + 4 + 65]).unwrap()
}
