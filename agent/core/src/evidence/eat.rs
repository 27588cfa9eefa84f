//! What the kinds of evidence that are an EAT (RFC 9711) have in common: the claims, and COSE around them.

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use shared::cose::{self, Content, Kid};
use shared::evidence::{Claims, DebugStatus, Measurement, Ueid, key_thumbprint};
use shared::limits::{MAX_EVIDENCE, MAX_MEASUREMENTS};
use shared::message::latest::Nonce;

use crate::platform::{AttestError, PublicPoint, SigningKey};

/// What runs on the device, as the boot chain measured it.
#[derive(Clone, Debug)]
pub struct Firmware<'d> {
    /// The maker's private enterprise number.
    pub oemid: u32,
    /// The model, 1 to 32 printable characters.
    pub hwmodel: &'d str,
    /// Version of the hardware.
    pub hwversion: &'d str,
    /// Name of the firmware.
    pub swname: &'d str,
    /// Version of the firmware, as `MAJOR.MINOR.PATCH`.
    pub swversion: &'d str,
    /// State of the debug port.
    pub debug: DebugStatus,
    /// Measured components.
    pub measurements: heapless::Vec<Measurement<'d>, MAX_MEASUREMENTS>,
}

impl Firmware<'_> {
    /// The claims for one request.
    pub(super) fn claims(&self, nonce: &Nonce, csr_key: &PublicPoint, ueid: Ueid) -> Claims<'_> {
        Claims {
            confirmation: key_thumbprint(csr_key),
            nonce: *nonce,
            ueid,
            oemid: self.oemid,
            hwmodel: self.hwmodel,
            hwversion: self.hwversion,
            dbgstat: self.debug,
            swname: self.swname,
            swversion: self.swversion,
            measurements: self.measurements.clone(),
        }
    }
}

/// Writes the claims, signed with `key`, as COSE_Sign1 into `out`; returns its length.
pub(super) fn signed(
    claims: &Claims<'_>,
    key: &impl SigningKey,
    out: &mut [u8],
) -> Result<usize, AttestError> {
    let (front, payload) = at_the_end(claims, out)?;
    capped(sign1(Content::Eat, payload, key, front)?)
}

/// Writes `payload`, signed with `key`, as COSE_Sign1 into `out`; returns its length.
pub(super) fn sign1(
    content: Content,
    payload: &[u8],
    key: &impl SigningKey,
    out: &mut [u8],
) -> Result<usize, AttestError> {
    let mut hash = Sha256::new();
    cose::signed_bytes(content, payload, |part| hash.update(part));
    let signature = key.sign_digest(&hash.finalize().into())?;
    cose::encode(content, payload, &signature, out).map_err(|_| AttestError::TooLong)
}

/// Writes the claims, authenticated with `mac` (HMAC 256/256, RFC 9053, section 3.1), as COSE_Mac0 into `out`;
/// returns its length.
pub(super) fn authenticated(
    claims: &Claims<'_>,
    kid: &Kid,
    mut mac: Hmac<Sha256>,
    out: &mut [u8],
) -> Result<usize, AttestError> {
    let (front, payload) = at_the_end(claims, out)?;
    cose::mac_bytes(kid, payload, |part| mac.update(part));
    let length = cose::encode_mac0(kid, payload, &mac.finalize().into_bytes().into(), front);
    capped(length.map_err(|_| AttestError::TooLong)?)
}

/// The claims are written to the front and moved to the end, to be wrapped from there to the front again: one
/// buffer is enough.
fn at_the_end<'o>(claims: &Claims<'_>, out: &'o mut [u8]) -> Result<(&'o mut [u8], &'o [u8]), AttestError> {
    let length = claims.encode(out).map_err(|_| AttestError::TooLong)?;
    let end = out.len().checked_sub(length).ok_or(AttestError::TooLong)?;
    out.copy_within(..length, end);
    let (front, payload) = out.split_at_mut_checked(end).ok_or(AttestError::TooLong)?;
    Ok((front, payload))
}

const fn capped(length: usize) -> Result<usize, AttestError> {
    if length > MAX_EVIDENCE { Err(AttestError::TooLong) } else { Ok(length) }
}
