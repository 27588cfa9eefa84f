//! `POST /v1/challenge`: who asks, and the nonce to answer.

use super::{KEY_VERSION, Nonce, VERSION, device, nonce, open};
use crate::codec::{DecodeError, EncodeError, Writer};
use crate::id::DeviceId;
use crate::limits::{MAX_ANSWER, MAX_KINDS, MAX_REQUEST};
use crate::time::UnixTime;

/// How a device proves what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EvidenceKind {
    /// An EAT signed with the IDevID key, with the IDevID's chain as endorsement.
    IdevidEat,
    /// A one-time token that an operator handed out: proves possession of the token, nothing about the device.
    OneTimeToken,
}

impl EvidenceKind {
    /// All kinds that this build knows.
    pub const ALL: &'static [Self] = &[Self::IdevidEat, Self::OneTimeToken];

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::IdevidEat => 1,
            Self::OneTimeToken => 2,
        }
    }

    /// The kind with this number, if this build knows it.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }

    /// The stable name, as in policies, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdevidEat => "idevid-eat",
            Self::OneTimeToken => "one-time-token",
        }
    }
}

/// The kinds a device offers, best first.
pub type Kinds = heapless::Vec<EvidenceKind, MAX_KINDS>;

/// What a device sends to get a nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeRequest {
    /// Who asks; not proved yet.
    pub device: DeviceId,
    /// Evidence it can give; kinds unknown to the reader are left out.
    pub kinds: Kinds,
}

const DEVICE: i64 = 1;
const KINDS: i64 = 2;

impl ChallengeRequest {
    /// Writes the message to `out`; returns its length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut w = Writer::new(out);
        w.map(3)?.uint(KEY_VERSION, VERSION)?.text(DEVICE, self.device.as_str())?;
        w.put(|e| {
            e.i64(KINDS)?.array(self.kinds.len() as u64)?;
            for kind in &self.kinds {
                e.u64(kind.code())?;
            }
            Ok(())
        })?;
        Ok(w.finish())
    }

    /// Reads the message.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut map = open(bytes, MAX_REQUEST, "challenge request")?;
        let device = device(&mut map, DEVICE)?;
        let kinds = map.required(KINDS, "kinds", |d| {
            let mut kinds = Kinds::new();
            for _ in 0..d.array()?.unwrap_or(0) {
                if let Some(kind) = EvidenceKind::from_code(d.u64()?) {
                    kinds.push(kind).map_err(|_| minicbor::decode::Error::message("too many"))?;
                }
            }
            Ok(kinds)
        })?;
        Ok(Self { device, kinds })
    }
}

/// What the server answers to a [`ChallengeRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The server's time.
    pub server_time: UnixTime,
    /// To be bound into the evidence.
    pub nonce: Nonce,
    /// Until when the nonce is taken.
    pub valid_until: UnixTime,
    /// The evidence the server wants.
    pub kind: EvidenceKind,
}

const SERVER_TIME: i64 = 1;
const NONCE_KEY: i64 = 2;
const VALID_UNTIL: i64 = 3;
const KIND: i64 = 4;

impl Challenge {
    /// Writes the message to `out`; returns its length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut w = Writer::new(out);
        w.map(5)?.uint(KEY_VERSION, VERSION)?.uint(SERVER_TIME, self.server_time.as_secs())?;
        w.bytes(NONCE_KEY, &self.nonce)?.uint(VALID_UNTIL, self.valid_until.as_secs())?;
        w.uint(KIND, self.kind.code())?;
        Ok(w.finish())
    }

    /// Reads the message.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut map = open(bytes, MAX_ANSWER, "challenge")?;
        Ok(Self {
            server_time: UnixTime::from_secs(map.required(SERVER_TIME, "server time", |d| d.u64())?),
            nonce: nonce(map.required(NONCE_KEY, "nonce", |d| d.bytes())?)?,
            valid_until: UnixTime::from_secs(map.required(VALID_UNTIL, "valid until", |d| d.u64())?),
            kind: EvidenceKind::from_code(map.required(KIND, "kind", |d| d.u64())?)
                .ok_or(DecodeError::Invalid { field: "kind" })?,
        })
    }
}
