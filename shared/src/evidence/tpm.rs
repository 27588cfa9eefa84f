//! Evidence of a TPM 2.0: the introduction that a challenge is asked with, and the evidence that answers it.
//!
//! Defines the maps and what is computed over; verifies nothing.

use crate::codec::{DecodeError, EncodeError, MapReader, Writer};
use crate::limits::{MAX_EVENT_LOG, MAX_INTRODUCTION, MAX_TPM_CERTIFICATE, MAX_TPM_CHAIN, MAX_TPM_EVIDENCE};
use crate::message::latest::Nonce;
use crate::tpm2::{MAX_ATTEST, MAX_PCRS, MAX_PUBLIC, MAX_SIGNATURE};

/// The secret in a credential: 32 bytes that only the introduced TPM can read.
pub const ACTIVATION_SECRET: usize = 32;
/// HMAC-SHA-256 under the activation secret; shows that it was read.
pub type ActivationProof = [u8; 32];

/// What a server has to know of a TPM before it can challenge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction<'a> {
    /// The endorsement key's public area (TPMT_PUBLIC).
    pub ek_public: &'a [u8],
    /// The attestation key's.
    pub ak_public: &'a [u8],
}

/// Register values, ascending by register.
pub type PcrValues<'a> = heapless::Vec<(u8, &'a [u8]), MAX_PCRS>;

/// Evidence of a TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmEvidence<'a> {
    /// The endorsement key's certificate and what leads from it to its maker, in DER, leaf first, trust anchor
    /// left out.
    pub ek_chain: heapless::Vec<&'a [u8], MAX_TPM_CHAIN>,
    /// The endorsement key's public area (TPMT_PUBLIC), as introduced.
    pub ek_public: &'a [u8],
    /// The attestation key's, as introduced.
    pub ak_public: &'a [u8],
    /// Shows that the credential was activated: see [`activation_message`].
    pub activation: ActivationProof,
    /// The public area of the key that the CSR is for.
    pub key_public: &'a [u8],
    /// TPM2_Certify of that key by the attestation key: TPMS_ATTEST with the nonce as extra data.
    pub certify: &'a [u8],
    /// Its TPMT_SIGNATURE.
    pub certify_signature: &'a [u8],
    /// TPM2_Quote by the attestation key: TPMS_ATTEST with the nonce as extra data.
    pub quote: &'a [u8],
    /// Its TPMT_SIGNATURE.
    pub quote_signature: &'a [u8],
    /// The values of the quoted registers.
    pub pcrs: PcrValues<'a>,
    /// The firmware's event log, where the device gives it (TCG PC Client Platform Firmware Profile, section 10,
    /// crypto-agile form).
    pub event_log: Option<&'a [u8]>,
}

/// What an [`ActivationProof`] is computed over, part by part: a label, the nonce and the public area of the key
/// that the CSR is for, so that it is worth nothing in other evidence.
#[must_use]
pub const fn activation_message<'m>(nonce: &'m Nonce, key_public: &'m [u8]) -> [&'m [u8]; 3] {
    [b"tpm2 activation v1\0", nonce, key_public]
}

const VERSION: u64 = 1;

const KEY_VERSION: i64 = 0;
const EK_PUBLIC: i64 = 1;
const AK_PUBLIC: i64 = 2;
const EK_CHAIN: i64 = 3;
const ACTIVATION: i64 = 4;
const KEY_PUBLIC: i64 = 5;
const CERTIFY: i64 = 6;
const CERTIFY_SIGNATURE: i64 = 7;
const QUOTE: i64 = 8;
const QUOTE_SIGNATURE: i64 = 9;
const PCRS: i64 = 10;
const EVENT_LOG: i64 = 11;

impl<'a> Introduction<'a> {
    /// Writes it to `out`; returns its length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut w = Writer::new(out);
        w.map(3)?.uint(KEY_VERSION, VERSION)?;
        w.bytes(EK_PUBLIC, self.ek_public)?.bytes(AK_PUBLIC, self.ak_public)?;
        Ok(w.finish())
    }

    /// Reads it.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut map = open(bytes, MAX_INTRODUCTION, "introduction")?;
        Ok(Self {
            ek_public: sized(&mut map, EK_PUBLIC, "EK public area", MAX_PUBLIC)?,
            ak_public: sized(&mut map, AK_PUBLIC, "AK public area", MAX_PUBLIC)?,
        })
    }
}

impl<'a> TpmEvidence<'a> {
    /// Writes it to `out`; returns its length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut w = Writer::new(out);
        w.map(11 + u64::from(self.event_log.is_some()))?.uint(KEY_VERSION, VERSION)?;
        w.bytes(EK_PUBLIC, self.ek_public)?.bytes(AK_PUBLIC, self.ak_public)?;
        w.byte_strings(EK_CHAIN, &self.ek_chain)?.bytes(ACTIVATION, &self.activation)?;
        w.bytes(KEY_PUBLIC, self.key_public)?.bytes(CERTIFY, self.certify)?;
        w.bytes(CERTIFY_SIGNATURE, self.certify_signature)?.bytes(QUOTE, self.quote)?;
        w.bytes(QUOTE_SIGNATURE, self.quote_signature)?;
        w.put(|e| {
            e.i64(PCRS)?.map(self.pcrs.len() as u64)?;
            for (register, value) in &self.pcrs {
                e.u8(*register)?.bytes(value)?;
            }
            Ok(())
        })?;
        if let Some(log) = self.event_log {
            w.bytes(EVENT_LOG, log)?;
        }
        Ok(w.finish())
    }

    /// Reads it.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut map = open(bytes, MAX_TPM_EVIDENCE, "TPM evidence")?;
        let ek_public = sized(&mut map, EK_PUBLIC, "EK public area", MAX_PUBLIC)?;
        let ak_public = sized(&mut map, AK_PUBLIC, "AK public area", MAX_PUBLIC)?;
        let ek_chain = map.required(EK_CHAIN, "EK chain", |d| {
            let mut chain = heapless::Vec::new();
            for _ in 0..d.array()?.unwrap_or(0) {
                let der = d.bytes()?;
                if der.is_empty() || der.len() > MAX_TPM_CERTIFICATE {
                    return Err(minicbor::decode::Error::message("certificate length"));
                }
                chain.push(der).map_err(|_| minicbor::decode::Error::message("too many"))?;
            }
            if chain.is_empty() { Err(minicbor::decode::Error::message("empty")) } else { Ok(chain) }
        })?;
        let activation = map.required(ACTIVATION, "activation", |d| d.bytes())?;
        let activation = activation.try_into().map_err(|_| DecodeError::Invalid { field: "activation" })?;
        Ok(Self {
            ek_chain,
            ek_public,
            ak_public,
            activation,
            key_public: sized(&mut map, KEY_PUBLIC, "public area", MAX_PUBLIC)?,
            certify: sized(&mut map, CERTIFY, "certification", MAX_ATTEST)?,
            certify_signature: sized(&mut map, CERTIFY_SIGNATURE, "its signature", MAX_SIGNATURE)?,
            quote: sized(&mut map, QUOTE, "quote", MAX_ATTEST)?,
            quote_signature: sized(&mut map, QUOTE_SIGNATURE, "its signature", MAX_SIGNATURE)?,
            pcrs: map.required(PCRS, "registers", |d| {
                let mut pcrs = PcrValues::new();
                for _ in 0..d.map()?.unwrap_or(0) {
                    pcrs.push((d.u8()?, d.bytes()?))
                        .map_err(|_| minicbor::decode::Error::message("too many"))?;
                }
                Ok(pcrs)
            })?,
            event_log: match map.optional(EVENT_LOG, "event log", |d| d.bytes())? {
                Some(log) if log.is_empty() || log.len() > MAX_EVENT_LOG => {
                    return Err(DecodeError::Invalid { field: "event log" });
                }
                log => log,
            },
        })
    }
}

fn open<'b>(bytes: &'b [u8], limit: usize, name: &'static str) -> Result<MapReader<'b>, DecodeError> {
    let mut map = MapReader::open(bytes, limit, name)?;
    match map.required(KEY_VERSION, "version", |d| d.u64())? {
        VERSION => Ok(map),
        found => Err(DecodeError::UnsupportedVersion { found }),
    }
}

fn sized<'b>(
    map: &mut MapReader<'b>,
    key: i64,
    field: &'static str,
    limit: usize,
) -> Result<&'b [u8], DecodeError> {
    match map.required(key, field, |d| d.bytes())? {
        bytes if (1..=limit).contains(&bytes.len()) => Ok(bytes),
        _ => Err(DecodeError::Invalid { field }),
    }
}
