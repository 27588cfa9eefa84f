//! `POST /v1/challenge`: who asks, and the nonce to answer.

use super::{KEY_VERSION, Nonce, VERSION, device, nonce, open};
use crate::codec::{DecodeError, EncodeError, Writer};
use crate::id::DeviceId;
use crate::limits::{
    MAX_ANSWER, MAX_CREDENTIAL, MAX_EVIDENCE, MAX_INTRODUCTION, MAX_KINDS, MAX_REQUEST, MAX_TPM_EVIDENCE,
};
use crate::time::UnixTime;

/// How a device proves what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EvidenceKind {
    /// An EAT signed with the IDevID key, with the IDevID's chain as endorsement.
    IdevidEat,
    /// A one-time token that an operator handed out: proves possession of the token, nothing about the device.
    OneTimeToken,
    /// A PSA attestation token (RFC 9783), signed by the platform's initial attestation key.
    PsaToken,
    /// A TPM 2.0: endorsement key, attestation key, certified operational key, quote.
    Tpm2,
    /// A layered DICE certificate chain, its alias key signing the binding.
    Dice,
    /// An EAT authenticated with a symmetric key (COSE_Mac0), the device's own or one derived from its group's.
    SymmetricKey,
    /// An EAT signed with the key of a claim certificate that a whole batch of devices shares.
    ClaimCertificate,
    /// TLS client authentication with the IDevID key, in the connection that the CSR came over: EST only, never a part
    /// of a message of this protocol.
    IdevidTls,
}

impl EvidenceKind {
    /// All kinds that this build knows.
    pub const ALL: &'static [Self] = &[
        Self::IdevidEat,
        Self::OneTimeToken,
        Self::PsaToken,
        Self::Tpm2,
        Self::Dice,
        Self::SymmetricKey,
        Self::ClaimCertificate,
        Self::IdevidTls,
    ];

    /// The kinds that a message of this protocol can name.
    pub const NATIVE: &'static [Self] = &[
        Self::IdevidEat,
        Self::OneTimeToken,
        Self::PsaToken,
        Self::Tpm2,
        Self::Dice,
        Self::SymmetricKey,
        Self::ClaimCertificate,
    ];

    /// The number on the wire, in records and in object identifiers.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::IdevidEat => 1,
            Self::OneTimeToken => 2,
            Self::PsaToken => 3,
            Self::Tpm2 => 4,
            Self::Dice => 5,
            Self::SymmetricKey => 6,
            Self::ClaimCertificate => 7,
            Self::IdevidTls => 8,
        }
    }

    /// Longest body of such evidence, in bytes.
    #[must_use]
    pub const fn max_body(self) -> usize {
        match self {
            Self::Tpm2 => MAX_TPM_EVIDENCE,
            _ => MAX_EVIDENCE,
        }
    }

    /// The kind with this number, if this build knows it.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }

    /// The kind with this number, if this build knows it and a message of this protocol can name it.
    #[must_use]
    pub fn from_wire(code: u64) -> Option<Self> {
        Self::NATIVE.iter().copied().find(|kind| kind.code() == code)
    }

    /// The stable name, as in policies, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdevidEat => "idevid-eat",
            Self::OneTimeToken => "one-time-token",
            Self::PsaToken => "psa-token",
            Self::Tpm2 => "tpm2",
            Self::Dice => "dice",
            Self::SymmetricKey => "symmetric-key",
            Self::ClaimCertificate => "claim-certificate",
            Self::IdevidTls => "idevid-tls",
        }
    }
}

/// The kinds a device offers, best first.
pub type Kinds = heapless::Vec<EvidenceKind, MAX_KINDS>;

/// What a device sends to get a nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeRequest<'a> {
    /// Who asks; not proved yet.
    pub device: DeviceId,
    /// Evidence it can give; kinds unknown to the reader are left out.
    pub kinds: Kinds,
    /// What the server has to know before it can challenge: the keys of a TPM. Most kinds have none.
    pub introduction: Option<&'a [u8]>,
}

const DEVICE: i64 = 1;
const KINDS: i64 = 2;
const INTRODUCTION: i64 = 3;

impl<'a> ChallengeRequest<'a> {
    /// Writes the message to `out`; returns its length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut w = Writer::new(out);
        let pairs = 3 + u64::from(self.introduction.is_some());
        w.map(pairs)?.uint(KEY_VERSION, VERSION)?.text(DEVICE, self.device.as_str())?;
        w.put(|e| {
            e.i64(KINDS)?.array(self.kinds.len() as u64)?;
            for kind in &self.kinds {
                e.u64(kind.code())?;
            }
            Ok(())
        })?;
        if let Some(introduction) = self.introduction {
            w.bytes(INTRODUCTION, introduction)?;
        }
        Ok(w.finish())
    }

    /// Reads the message.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut map = open(bytes, MAX_REQUEST, "challenge request")?;
        let device = device(&mut map, DEVICE)?;
        let kinds = map.required(KINDS, "kinds", |d| {
            let mut kinds = Kinds::new();
            for _ in 0..d.array()?.unwrap_or(0) {
                if let Some(kind) = EvidenceKind::from_wire(d.u64()?) {
                    kinds.push(kind).map_err(|_| minicbor::decode::Error::message("too many"))?;
                }
            }
            Ok(kinds)
        })?;
        let introduction = map.optional(INTRODUCTION, "introduction", |d| d.bytes())?;
        if introduction.is_some_and(|bytes| bytes.is_empty() || bytes.len() > MAX_INTRODUCTION) {
            return Err(DecodeError::Invalid { field: "introduction" });
        }
        Ok(Self { device, kinds, introduction })
    }
}

/// What the server answers to a [`ChallengeRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// The server's time.
    pub server_time: UnixTime,
    /// To be bound into the evidence.
    pub nonce: Nonce,
    /// Until when the nonce is taken.
    pub valid_until: UnixTime,
    /// The evidence the server wants.
    pub kind: EvidenceKind,
    /// A secret that only the introduced TPM can open (TPM 2.0 Library, part 1, section 24): the encrypted
    /// credential.
    pub credential: Option<&'a [u8]>,
    /// Whether an operator wants the device to renew: a device that asked for another reason does so soon.
    pub renewal_wanted: bool,
}

const SERVER_TIME: i64 = 1;
const NONCE_KEY: i64 = 2;
const VALID_UNTIL: i64 = 3;
const KIND: i64 = 4;
const CREDENTIAL: i64 = 5;
const RENEWAL_WANTED: i64 = 6;

impl<'a> Challenge<'a> {
    /// Writes the message to `out`; returns its length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut w = Writer::new(out);
        w.map(5 + u64::from(self.credential.is_some()) + u64::from(self.renewal_wanted))?
            .uint(KEY_VERSION, VERSION)?
            .uint(SERVER_TIME, self.server_time.as_secs())?;
        w.bytes(NONCE_KEY, &self.nonce)?.uint(VALID_UNTIL, self.valid_until.as_secs())?;
        w.uint(KIND, self.kind.code())?;
        if let Some(credential) = self.credential {
            w.bytes(CREDENTIAL, credential)?;
        }
        if self.renewal_wanted {
            w.put(|e| e.i64(RENEWAL_WANTED)?.bool(true)?.ok())?;
        }
        Ok(w.finish())
    }

    /// Reads the message.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut map = open(bytes, MAX_ANSWER, "challenge")?;
        Ok(Self {
            server_time: UnixTime::from_secs(map.required(SERVER_TIME, "server time", |d| d.u64())?),
            nonce: nonce(map.required(NONCE_KEY, "nonce", |d| d.bytes())?)?,
            valid_until: UnixTime::from_secs(map.required(VALID_UNTIL, "valid until", |d| d.u64())?),
            kind: EvidenceKind::from_wire(map.required(KIND, "kind", |d| d.u64())?)
                .ok_or(DecodeError::Invalid { field: "kind" })?,
            credential: map.optional(CREDENTIAL, "credential", |d| match d.bytes()? {
                bytes if (1..=MAX_CREDENTIAL).contains(&bytes.len()) => Ok(bytes),
                _ => Err(minicbor::decode::Error::message("credential length")),
            })?,
            renewal_wanted: map.optional(RENEWAL_WANTED, "renewal wanted", |d| d.bool())?.unwrap_or(false),
        })
    }
}
