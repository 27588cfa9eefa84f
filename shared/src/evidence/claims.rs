//! The claims of an EAT, as this protocol's profile has them: all present, in deterministic encoding.

use minicbor::decode::Error as CborError;

use super::confirmation::Thumbprint;
use super::measurement::Measurement;
use crate::codec::{DecodeError, EncodeError, MapReader, Writer, text};
use crate::limits::{MAX_CLAIM_TEXT, MAX_EVIDENCE, MAX_MEASUREMENTS};
use crate::message::latest::Nonce;

/// A Universal Entity ID of type RAND (RFC 9711, section 4.2.1): 0x01 and 32 bytes, here the SHA-256 of the
/// IDevID's SubjectPublicKeyInfo, so that it is derived from the attested key.
pub type Ueid = [u8; 33];

/// Debug state of a device (RFC 9711, section 4.2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DebugStatus {
    /// Debugging is possible now.
    Enabled,
    /// Off now, may have been on.
    Disabled,
    /// Off since this boot.
    DisabledSinceBoot,
    /// Off for ever, except for the maker.
    DisabledPermanently,
    /// Off for ever, for everyone.
    DisabledFullyAndPermanently,
}

impl DebugStatus {
    /// All states, in the order of their numbers on the wire, from 0.
    pub const ALL: [Self; 5] = [
        Self::Enabled,
        Self::Disabled,
        Self::DisabledSinceBoot,
        Self::DisabledPermanently,
        Self::DisabledFullyAndPermanently,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Enabled => 0,
            Self::Disabled => 1,
            Self::DisabledSinceBoot => 2,
            Self::DisabledPermanently => 3,
            Self::DisabledFullyAndPermanently => 4,
        }
    }

    /// The state with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// What a device says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims<'a> {
    /// `cnf`: thumbprint of the CSR's key (RFC 8747, section 3.1, with `ckt` of RFC 9679).
    pub confirmation: Thumbprint,
    /// `eat_nonce`: the nonce of the challenge.
    pub nonce: Nonce,
    /// `ueid`: which entity.
    pub ueid: Ueid,
    /// `oemid`: the maker's private enterprise number (RFC 9711, section 4.2.3.3).
    pub oemid: u32,
    /// `hwmodel`: the model, 1 to 32 bytes, here printable text.
    pub hwmodel: &'a str,
    /// `hwversion`: version of the hardware.
    pub hwversion: &'a str,
    /// `dbgstat`: debug state.
    pub dbgstat: DebugStatus,
    /// `swname`: name of the firmware.
    pub swname: &'a str,
    /// `swversion`: version of the firmware, as `MAJOR.MINOR.PATCH`.
    pub swversion: &'a str,
    /// `measurements`: what runs.
    pub measurements: heapless::Vec<Measurement<'a>, MAX_MEASUREMENTS>,
}

// Claim keys: RFC 8747 (8), RFC 9711, section 10.3.
const CNF: i64 = 8;
const EAT_NONCE: i64 = 10;
const UEID: i64 = 256;
const OEMID: i64 = 258;
const HWMODEL: i64 = 259;
const HWVERSION: i64 = 260;
const DBGSTAT: i64 = 263;
const SWNAME: i64 = 270;
const SWVERSION: i64 = 271;
const MEASUREMENTS: i64 = 273;
/// Confirmation method `ckt` (RFC 9679, section 5.6).
const CKT: i64 = 5;
/// CoAP content format `application/cbor` (RFC 7252, section 12.3, as registered by RFC 8949).
const APPLICATION_CBOR: u64 = 60;
/// Most bytes of `hwmodel` (RFC 9711, section 4.2.4).
const MAX_HWMODEL: usize = 32;

impl<'a> Claims<'a> {
    /// Writes the claims to `out`; returns their length.
    ///
    /// # Errors
    /// Where `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut w = Writer::new(out);
        w.map(10)?;
        w.put(|e| e.i64(CNF)?.map(1)?.i64(CKT)?.bytes(&self.confirmation)?.ok())?;
        w.bytes(EAT_NONCE, &self.nonce)?.bytes(UEID, &self.ueid)?.uint(OEMID, self.oemid.into())?;
        w.bytes(HWMODEL, self.hwmodel.as_bytes())?;
        w.put(|e| e.i64(HWVERSION)?.array(1)?.str(self.hwversion)?.ok())?;
        w.uint(DBGSTAT, self.dbgstat.code().into())?.text(SWNAME, self.swname)?;
        w.put(|e| e.i64(SWVERSION)?.array(1)?.str(self.swversion)?.ok())?;
        w.put(|e| {
            e.i64(MEASUREMENTS)?.array(self.measurements.len() as u64)?;
            for measurement in &self.measurements {
                e.array(2)?.u64(APPLICATION_CBOR)?.bytes_len(measurement.encoded_length())?;
                measurement.encode(e)?;
            }
            Ok(())
        })?;
        Ok(w.finish())
    }

    /// Reads the claims; unknown ones are skipped.
    ///
    /// # Errors
    /// Says which claim is missing or wrong.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut map = MapReader::open(bytes, MAX_EVIDENCE, "claims")?;
        let confirmation = map.raw(CNF, "cnf")?.ok_or(DecodeError::Missing { field: "cnf" })?;
        let confirmation =
            MapReader::open(confirmation, MAX_EVIDENCE, "cnf")?.required(CKT, "ckt", fixed_bytes)?;
        Ok(Self {
            confirmation,
            nonce: map.required(EAT_NONCE, "eat_nonce", fixed_bytes)?,
            ueid: map.required(UEID, "ueid", fixed_bytes)?,
            oemid: map.required(OEMID, "oemid", |d| d.u32())?,
            hwmodel: model(map.required(HWMODEL, "hwmodel", |d| d.bytes())?)?,
            hwversion: map.required(HWVERSION, "hwversion", version)?,
            dbgstat: DebugStatus::from_code(map.required(DBGSTAT, "dbgstat", |d| d.u8())?)
                .ok_or(DecodeError::Invalid { field: "dbgstat" })?,
            swname: map.required(SWNAME, "swname", |d| text(d, MAX_CLAIM_TEXT))?,
            swversion: map.required(SWVERSION, "swversion", version)?,
            measurements: measurements(&mut map)?,
        })
    }
}

fn fixed_bytes<const N: usize>(d: &mut minicbor::Decoder<'_>) -> Result<[u8; N], CborError> {
    d.bytes()?.try_into().map_err(|_| CborError::message("length"))
}

/// `hwversion` and `swversion` are arrays: the version, and a scheme that may be left out.
fn version<'b>(d: &mut minicbor::Decoder<'b>) -> Result<&'b str, CborError> {
    match d.array()? {
        Some(count @ 1..=2) => {
            let version = text(d, MAX_CLAIM_TEXT)?;
            for _ in 1..count {
                d.skip()?;
            }
            Ok(version)
        }
        _ => Err(CborError::message("not a version")),
    }
}

fn model(bytes: &[u8]) -> Result<&str, DecodeError> {
    let invalid = DecodeError::Invalid { field: "hwmodel" };
    let text = core::str::from_utf8(bytes).map_err(|_| invalid)?;
    let printable = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if text.is_empty() || text.len() > MAX_HWMODEL || !printable { Err(invalid) } else { Ok(text) }
}

fn measurements<'b>(
    map: &mut MapReader<'b>,
) -> Result<heapless::Vec<Measurement<'b>, MAX_MEASUREMENTS>, DecodeError> {
    let invalid = DecodeError::Invalid { field: "measurements" };
    let bodies = map.required(MEASUREMENTS, "measurements", |d| {
        let mut bodies: heapless::Vec<&'b [u8], MAX_MEASUREMENTS> = heapless::Vec::new();
        for _ in 0..d.array()?.unwrap_or(0) {
            if d.array()? != Some(2) || d.u64()? != APPLICATION_CBOR {
                return Err(CborError::message("format"));
            }
            bodies.push(d.bytes()?).map_err(|_| CborError::message("too many"))?;
        }
        Ok(bodies)
    })?;
    let mut list = heapless::Vec::new();
    for body in bodies {
        list.push(Measurement::decode(body)?).map_err(|_| invalid)?;
    }
    Ok(list)
}
