//! Version 1 of the messages.

mod answer;
mod challenge;
mod request;
mod trust;

pub use answer::{Answer, BrokerSettings, Issued, Outcome, Rejected};
pub use challenge::{Challenge, ChallengeRequest, EvidenceKind, Kinds};
pub use request::{EnrollRequest, FreshEvidence, RenewRequest};
pub use trust::{SIGNER_KEY, TrustBundle, TrustReport};

use crate::codec::{DecodeError, MapReader};
use crate::id::DeviceId;
use crate::limits::NONCE;

/// The number under key 0 of every message here.
pub const VERSION: u64 = 1;

/// A nonce of the server (RFC 9711, section 4.1): to be echoed, never interpreted.
pub type Nonce = [u8; NONCE];

const KEY_VERSION: i64 = 0;

/// Opens a message and checks its version.
fn open<'b>(bytes: &'b [u8], limit: usize, name: &'static str) -> Result<MapReader<'b>, DecodeError> {
    let mut map = MapReader::open(bytes, limit, name)?;
    match map.required(KEY_VERSION, "version", |d| d.u64())? {
        VERSION => Ok(map),
        found => Err(DecodeError::UnsupportedVersion { found }),
    }
}

fn device(map: &mut MapReader<'_>, key: i64) -> Result<DeviceId, DecodeError> {
    let text = map.required(key, "device", |d| d.str())?;
    DeviceId::new(text).map_err(|_| DecodeError::Invalid { field: "device" })
}

fn nonce(bytes: &[u8]) -> Result<Nonce, DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Invalid { field: "nonce" })
}
