//! What the core needs of the world, as traits: keys, storage, time, proof of identity, HTTPS and MQTT.
//!
//! Each trait says how to implement it. The core never blocks and never looks at a clock of its own; all
//! futures run on one task and need not be `Send`. Randomness is [`rand_core::CryptoRngCore`]; the core uses
//! `try_fill_bytes` for keys and treats a failure as "no key", never as zeros.

use core::time::Duration;

use rand_core::CryptoRngCore;
use shared::message::latest::{EvidenceKind, Nonce};
use shared::{DeviceId, UnixTime, limits};

use crate::x509::Validity;

/// A P-256 public key as an uncompressed point (SEC 1, section 2.3.3): 4, x, y.
pub type PublicPoint = [u8; 65];
/// An ECDSA signature on P-256: r and s, 32 bytes each, big-endian.
pub type RawSignature = [u8; 64];

/// One of the two places for an operational key and its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The other slot.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A private key that is ready to sign. Holds no secret longer than it lives: implementations zeroize on drop.
pub trait SigningKey {
    /// The public half.
    fn public_point(&self) -> PublicPoint;

    /// Signs a SHA-256 digest with ECDSA on P-256.
    ///
    /// # Errors
    /// Where the hardware that holds the key fails.
    fn sign_digest(&self, digest: &[u8; 32]) -> Result<RawSignature, KeyError>;
}

/// Makes, opens and erases operational keys.
///
/// To implement: [`generate`](Self::generate) returns only after the key is durable. A software key store
/// writes through `storage` (records [`Record::KeyA`] and [`Record::KeyB`]); a secure element ignores it.
pub trait KeyStore {
    /// An opened key.
    type Key: SigningKey;

    /// Makes a new key in `slot`, in place of whatever is there.
    ///
    /// # Errors
    /// Where randomness, storage or the hardware fails; the slot may then be empty, never half written.
    async fn generate(
        &mut self,
        slot: Slot,
        storage: &mut impl Storage,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Self::Key, KeyError>;

    /// Opens the key in `slot`, or `None` where there is none.
    ///
    /// # Errors
    /// Where the key is there but cannot be used.
    async fn open(&mut self, slot: Slot, storage: &mut impl Storage) -> Result<Option<Self::Key>, KeyError>;

    /// Erases the key in `slot`, so that a read-out of the memory does not show it any more.
    ///
    /// # Errors
    /// Where the erasure is not known to be complete.
    async fn erase(&mut self, slot: Slot, storage: &mut impl Storage) -> Result<(), KeyError>;
}

/// Why a key operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The random generator gave no bytes.
    #[error("the random generator failed")]
    Random,
    /// The stored key is damaged.
    #[error("the stored key is damaged")]
    Damaged,
    /// The key hardware does not answer or refuses.
    #[error("the key hardware failed")]
    Hardware,
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The records a device keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// The lifecycle's state.
    State,
    /// The signed trust bundle in force (COSE_Sign1).
    Trust,
    /// Certificate chain and broker settings of slot A.
    IdentityA,
    /// Certificate chain and broker settings of slot B.
    IdentityB,
    /// Private key of slot A, for software key stores.
    KeyA,
    /// Private key of slot B, for software key stores.
    KeyB,
}

impl Record {
    /// All records, in a fixed order.
    pub const ALL: [Self; 6] =
        [Self::State, Self::Trust, Self::IdentityA, Self::IdentityB, Self::KeyA, Self::KeyB];

    /// Longest content of any record, in bytes.
    pub const MAX: usize = limits::MAX_ANSWER_LARGE;

    /// Its number where it is stored, and in its checksum; never changes.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::State => 1,
            Self::Trust => 2,
            Self::IdentityA => 3,
            Self::IdentityB => 4,
            Self::KeyA => 5,
            Self::KeyB => 6,
        }
    }
}

/// Durable records.
///
/// To implement: `store` is atomic and durable. When it returns, a power cut cannot undo it; when power fails
/// before, the old content is there, complete. `erase` leaves no readable copy of a key behind. The content needs no
/// checksum of the implementation: the core puts one into each record. Futures are never dropped half-way.
pub trait Storage {
    /// Reads a record into `buffer`; its length, or `None` where it was never stored or was erased.
    ///
    /// # Errors
    /// Where the medium fails or `buffer` is too short.
    async fn load(&mut self, record: Record, buffer: &mut [u8]) -> Result<Option<usize>, StorageError>;

    /// Replaces a record.
    ///
    /// # Errors
    /// Where the medium fails or is full; the old content is kept.
    async fn store(&mut self, record: Record, content: &[u8]) -> Result<(), StorageError>;

    /// Erases a record; nothing happens where there is none.
    ///
    /// # Errors
    /// Where the medium fails.
    async fn erase(&mut self, record: Record) -> Result<(), StorageError>;
}

/// Why storage failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The medium does not read or write.
    #[error("the storage medium failed")]
    Medium,
    /// No space is left.
    #[error("storage is full")]
    Full,
    /// The content is longer than the buffer or than [`Record::MAX`].
    #[error("the record is too long")]
    TooLong,
}

/// Time.
///
/// To implement: `uptime` never goes back while the device runs. `wall` is `Some` only where a real-time clock
/// is set and believed; the core learns time from the server otherwise.
pub trait Clock {
    /// Wall-clock time, if there is a clock.
    fn wall(&self) -> Option<UnixTime>;

    /// Time since start.
    fn uptime(&self) -> Duration;

    /// Waits.
    async fn sleep(&mut self, duration: Duration);
}

/// Proves what the device is.
///
/// To implement: over an IDevID key, use [`crate::evidence::IdevidAttester`]; over a PSA attestation service,
/// [`crate::evidence::PsaAttester`]; over a one-time token, return the token's text as the evidence.
pub trait Attester {
    /// The device's identifier.
    fn device_id(&self) -> &DeviceId;

    /// The kind of evidence that it gives.
    fn kind(&self) -> EvidenceKind;

    /// Writes what the server has to know before it can challenge into `out`; returns its length. Nothing by
    /// default: a TPM introduces its keys, so that the challenge can carry a credential for them.
    ///
    /// # Errors
    /// Where the hardware fails.
    fn introduce(&mut self, _out: &mut [u8]) -> Result<usize, AttestError> {
        Ok(0)
    }

    /// Takes the encrypted credential that came with a challenge. To implement: open it and keep the secret as
    /// durably as the nonce is kept, since the evidence may be asked for after a restart.
    ///
    /// # Errors
    /// Where it cannot be opened, or is not expected.
    fn take_credential(&mut self, _nonce: &Nonce, _credential: &[u8]) -> Result<(), AttestError> {
        Err(AttestError::Kind)
    }

    /// Writes evidence of its [`kind`](Self::kind), bound to `nonce` and to the CSR key `csr_key`, into `out`; returns
    /// its length.
    ///
    /// # Errors
    /// Where the identity key or the service fails, or `out` is too short.
    fn attest(&mut self, nonce: &Nonce, csr_key: &PublicPoint, out: &mut [u8]) -> Result<usize, AttestError>;

    /// The IDevID's chain in DER, leaf first, trust anchor left out; empty where there is none.
    fn endorsements(&self) -> heapless::Vec<&[u8], { limits::MAX_CHAIN }>;
}

/// Why no evidence could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// The server wants a kind this device does not have.
    #[error("this kind of evidence is not available here")]
    Kind,
    /// The identity key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The platform's attestation service failed.
    #[error("the platform's attestation service failed")]
    Service,
    /// The evidence is longer than the buffer.
    #[error("the evidence does not fit its buffer")]
    TooLong,
}

/// Whom to call and whom to believe: the address of a TLS server and the rules for its certificate.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    /// Host name or IP address; the certificate must carry it (RFC 9525).
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
    /// Trust anchors in DER.
    pub anchors: &'a [&'a [u8]],
    /// What the certificate's dates are held against.
    pub validity: Validity,
}

/// A device's own certificate and key, for mutual TLS.
#[derive(Clone, Copy, Debug)]
pub struct ClientIdentity<'a, K> {
    /// The key of the leaf.
    pub key: &'a K,
    /// Certificates in DER, leaf first.
    pub chain: &'a [&'a [u8]],
}

/// An HTTPS request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// One of [`shared::endpoint`].
    pub path: &'a str,
    /// `Some`: `POST` with this body; `None`: `GET`.
    pub body: Option<&'a [u8]>,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Bytes of the body, written to the front of the answer buffer.
    pub length: usize,
}

/// HTTPS.
///
/// To implement: each call opens its own TLS 1.3 connection, verifies the server with
/// [`crate::x509::verify_server`] and closes. Everything has a time limit. A body longer than the buffer is
/// [`TransportError::TooLarge`], not a cut one.
pub trait Transport<K> {
    /// Sends `request`, with `identity` as the TLS client certificate where there is one, and reads the whole
    /// answer into `answer`.
    ///
    /// # Errors
    /// Says how far it came.
    async fn exchange(
        &mut self,
        server: Server<'_>,
        identity: Option<ClientIdentity<'_, K>>,
        request: Request<'_>,
        answer: &mut [u8],
    ) -> Result<Reply, TransportError>;
}

/// How a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No address, no route, or nobody listens.
    #[error("the server cannot be reached")]
    Unreachable,
    /// The server ended the connection before it had proved who it is. It cannot have seen a client certificate by then,
    /// which goes out last (RFC 8446, section 2): a server with too much to do, or one that went away.
    #[error("the server closed the connection before it showed itself")]
    TurnedAway,
    /// The server's certificate was refused.
    #[error("the server's certificate was refused: {0}")]
    Certificate(crate::x509::PathError),
    /// TLS failed before the server had proved who it is: it refuses everybody, or what is there is no server of ours.
    #[error("the TLS connection failed before the server had shown itself")]
    NotShown,
    /// TLS failed after the server had proved who it is.
    #[error("the TLS connection failed")]
    Tls,
    /// The connection ended early.
    #[error("the connection was closed")]
    Closed,
    /// A time limit passed.
    #[error("the server is too slow")]
    TimedOut,
    /// The answer is longer than the buffer.
    #[error("the answer is too long")]
    TooLarge,
    /// The answer is not HTTP, or not MQTT.
    #[error("the answer cannot be understood")]
    Protocol,
    /// The broker refused the login with this MQTT reason code (MQTT 5, section 3.2.2.2).
    #[error("the broker refused the login with reason {0:#04x}")]
    Refused(u8),
}

impl TransportError {
    /// Of a failed handshake: what it says where the server had not `shown` who it is, and so cannot have seen the client's
    /// certificate.
    #[must_use]
    pub const fn of_handshake(self, shown: bool) -> Self {
        match self {
            Self::Closed if !shown => Self::TurnedAway,
            Self::Tls if !shown => Self::NotShown,
            error => error,
        }
    }
}

/// A login at the MQTT broker. The client identifier is the device identifier.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a, K> {
    /// The broker.
    pub server: Server<'a>,
    /// The operational identity.
    pub identity: ClientIdentity<'a, K>,
    /// MQTT client identifier.
    pub client_id: &'a str,
    /// Topic of the commands to subscribe to, with QoS 1.
    pub command_topic: &'a str,
    /// Topic of the retained last will.
    pub will_topic: &'a str,
    /// Payload of the last will, published by the broker when the device is lost.
    pub will_payload: &'a [u8],
    /// MQTT keep-alive.
    pub keep_alive: Duration,
}

/// MQTT 5.
///
/// To implement: connect with TLS 1.3, verify the broker with [`crate::x509::verify_server`], log in, subscribe
/// with QoS 1, await [`Session::accepted`], and then do what [`Session::next`] says until it says
/// [`Step::Leave`] or the connection fails. While a step waits, keep reading: each message on the command topic
/// goes to [`Session::command`], and then `next` is asked again.
pub trait Broker<K> {
    /// Serves one connection to its end. `Ok` after [`Step::Leave`].
    ///
    /// # Errors
    /// Says how the connection failed; an error before [`Session::accepted`] means that the broker has not
    /// accepted this identity.
    async fn serve(&mut self, login: Login<'_, K>, session: &mut impl Session) -> Result<(), TransportError>;
}

/// What the core wants of a connection to the broker: a state machine without I/O that a [`Broker`] drives.
pub trait Session {
    /// The broker accepted the login and the subscription. Writes to storage when a new identity was on trial,
    /// so its future must be awaited to its end, never dropped by a timeout or a `select`.
    async fn accepted(&mut self);

    /// What to do now.
    fn next(&mut self) -> Step<'_>;

    /// The publication that the last [`Step::Publish`] asked for is acknowledged (QoS 1).
    fn published(&mut self);

    /// A message on the command topic.
    fn command(&mut self, payload: &[u8]);
}

/// One step of a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'s> {
    /// Publish with QoS 1 and wait for the acknowledgement.
    Publish {
        /// Topic.
        topic: &'s str,
        /// Content.
        payload: &'s [u8],
        /// Whether the broker keeps it.
        retain: bool,
    },
    /// Wait for a message, at most this long.
    Wait(Duration),
    /// Disconnect in order (MQTT reason 0), then return `Ok`.
    Leave,
}

/// Told what happens, for logs, progress, files of other programs and hooks. Decides nothing.
///
/// To implement: return soon; an error of your own is yours to report.
pub trait Observer {
    /// Something happened.
    fn notice(&mut self, notice: &crate::flow::Notice<'_>);
}
