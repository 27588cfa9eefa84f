//! Verification of a PSA attestation token (RFC 9783), and its binding to this request.
//!
//! The challenge to the device's attestation service is 64 bytes: the server's nonce, then the thumbprint
//! (RFC 9679) of the CSR's key; so a replayed token and one for another key are told apart. The attestation key is
//! one that was registered for the token's instance identifier, or that of a certificate whose chain leads to a
//! maker the server knows. Whether what the token claims is good enough is for `claims` to say.

mod cbor;
mod claims;
mod key;
mod leaf;
mod token;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use shared::evidence::key_thumbprint;
use shared::message::latest::Nonce;
use shared::{DeviceId, Reject, UnixTime};

use crate::Verified;
use crate::csr::CheckedCsr;
use crate::device::KnownDevice;
use crate::key::hex;
use crate::maker::{Endorsements, Maker};
use crate::record::{Refusal, Trail, Verdict, rule};

use claims::PsaClaims;
use leaf::EndorsedKey;
use token::Token;

pub use claims::NO_TYPE;
pub use key::{Algorithm, AttestationKey};

/// What identifies an initial attestation key: the 32 bytes in a UEID of type RAND (RFC 9783, section 4.2.1).
pub type InstanceId = [u8; 32];

/// Evidence of this kind, as it came.
#[derive(Clone, Debug)]
pub struct PsaToken<'a> {
    /// The COSE_Sign1.
    pub token: &'a [u8],
    /// The chain of the attestation key's certificate in DER, leaf first, trust anchor left out; empty where the key
    /// is registered, or its chain stands in the token.
    pub endorsements: &'a [&'a [u8]],
    /// The nonce of the challenge; the server has seen to it that it made this nonce for this device, and that
    /// it is in time and not used up.
    pub nonce: &'a Nonce,
    /// What is registered for the instance identifier that [`claimed_instance`] found in the token.
    pub registered: Option<RegisteredKey>,
}

/// An attestation key that an operator registered: who believes the registration needs no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredKey {
    /// The instance identifier it belongs to.
    pub instance: InstanceId,
    /// The device that it is in.
    pub device: DeviceId,
    /// Its public half.
    pub key: AttestationKey,
    /// The maker who vouches for it, where one was named.
    pub maker: Option<Maker>,
    /// The device's model, where one was named.
    pub model: Option<String>,
}

/// The instance identifier that a token names, to look its key up by (RFC 9711, appendix F.1.4); `None` where the
/// token cannot be read, which [`crate::appraise`] then says. Nothing is verified.
#[must_use]
pub fn claimed_instance(token: &[u8]) -> Option<InstanceId> {
    let token = Token::parse(token).ok()?;
    PsaClaims::decode(token.unverified_payload()).ok().map(|claims| claims.instance)
}

/// The nonce at the head of the challenge that a token answers; nothing is verified.
pub(crate) fn claimed_nonce(token: &[u8]) -> Option<Nonce> {
    let token = Token::parse(token).ok()?;
    let claims = PsaClaims::decode(token.unverified_payload()).ok()?;
    claims.nonce.first_chunk().copied()
}

/// Everything around the evidence.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) device: &'a DeviceId,
    pub(crate) csr: &'a CheckedCsr,
    pub(crate) makers: &'a Endorsements,
    pub(crate) known: Option<&'a KnownDevice>,
    pub(crate) now: UnixTime,
}

pub(crate) fn verify(
    request: &Request<'_>,
    evidence: &PsaToken<'_>,
    trail: &mut Trail,
) -> Result<Verified, Refusal> {
    let form = "a PSA attestation token in COSE_Sign1 (RFC 9783)";
    let refuse_form = |trail: &mut Trail, error: token::TokenError| {
        trail.refuse(rule::EVIDENCE_FORM, Reject::BadEvidence, error.to_string(), form)
    };
    let token = Token::parse(evidence.token).map_err(|error| refuse_form(trail, error))?;
    // The token itself names the key that it is to be verified with.
    let claims = PsaClaims::decode(token.unverified_payload()).map_err(|error| refuse_form(trail, error))?;
    trail.note(Verdict::Passed, rule::EVIDENCE_FORM, form, form);

    let key = find_key(request, evidence, &token, &claims, trail)?;
    trail.require(
        token.signed_with(&key.key),
        rule::EVIDENCE_SIGNATURE,
        Reject::EvidenceSignature,
        format!("a signature with {}", token.algorithm().name()),
        format!("one that verifies under {:?}", key.key),
    )?;
    check_challenge(claims.nonce, evidence.nonce, request.csr, trail)?;
    check_device(request, &claims, &key, trail)?;
    let verified = Verified::endorsed(claims.instance, key.maker, claims.device_claims(key.model));
    Ok(verified.looked_up(key.revocation))
}

/// The key that the token has to be signed with. A registered key rules out any other: whoever registered it knows
/// what is in the device.
fn find_key(
    request: &Request<'_>,
    evidence: &PsaToken<'_>,
    token: &Token<'_>,
    claims: &PsaClaims<'_>,
    trail: &mut Trail,
) -> Result<EndorsedKey, Refusal> {
    let wanted = "a registered attestation key, or one whose chain leads to a maker this server knows";
    let instance = hex(&claims.instance);
    if let Some(registered) = evidence.registered.as_ref().filter(|key| key.instance == claims.instance) {
        let found = format!("the key registered for instance {instance} of {}", registered.device);
        trail.note(Verdict::Passed, rule::ENDORSEMENT, found, wanted);
        return Ok(EndorsedKey {
            key: registered.key.clone(),
            device: Some(registered.device.clone()),
            maker: registered.maker.clone(),
            model: registered.model.clone(),
            revocation: crate::revocation::Findings::default(),
        });
    }
    let chain = match evidence.endorsements {
        [] => token.unverified_chain(),
        chain => chain,
    };
    if chain.is_empty() {
        let found = format!("no key registered for instance {instance}, and no certificate");
        return Err(trail.refuse(rule::ENDORSEMENT, Reject::UnknownMaker, found, wanted));
    }
    match leaf::verify(chain, request.makers, request.now) {
        Ok(key) => {
            let maker = key.maker.as_ref().map(|maker| maker.name.as_str()).unwrap_or_default();
            let found = format!("an attestation key by maker {maker:?}");
            trail.note(Verdict::Passed, rule::ENDORSEMENT, found, wanted);
            Ok(key)
        }
        Err(error) => {
            let source = core::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
            Err(trail.refuse(rule::ENDORSEMENT, error.reject(), format!("{error}{source}"), wanted))
        }
    }
}

fn check_challenge(found: &[u8], nonce: &Nonce, csr: &CheckedCsr, trail: &mut Trail) -> Result<(), Refusal> {
    // A token over 32 or 48 bytes has no room for both halves.
    let (found_nonce, found_key) = found.split_at_checked(nonce.len()).unwrap_or((found, &[]));
    trail.require(
        found.len() == 64 && verify_slices_are_equal(found_nonce, nonce).is_ok(),
        rule::EVIDENCE_NONCE,
        Reject::EvidenceNonce,
        format!("a challenge of {} bytes that begins with {}", found.len(), hex(found_nonce)),
        format!("64 bytes that begin with the nonce of this challenge {}", hex(nonce)),
    )?;
    let thumbprint = key_thumbprint(csr.point());
    trail.require(
        verify_slices_are_equal(found_key, &thumbprint).is_ok(),
        rule::EVIDENCE_KEY,
        Reject::EvidenceKey,
        format!("a challenge that ends with {}", hex(found_key)),
        format!("the thumbprint of the CSR's key {}", hex(&thumbprint)),
    )
}

/// The instance is a device's by its registered key, by the name in its certificate, or, where that has none, because
/// the inventory has the instance identifier for it. A maker's word for a key alone says nothing of which device.
fn check_device(
    request: &Request<'_>,
    claims: &PsaClaims<'_>,
    key: &EndorsedKey,
    trail: &mut Trail,
) -> Result<(), Refusal> {
    let device = request.device;
    let instance = hex(&claims.instance);
    let pinned = request.known.and_then(|known| known.idevid_spki_sha256) == Some(claims.instance);
    let found = match &key.device {
        Some(named) => format!("instance {instance} of {named}, by its attestation key"),
        None if pinned => format!("instance {instance}, as the inventory has it for {device}"),
        None => {
            format!("instance {instance}, which neither a certificate nor the inventory ties to a device")
        }
    };
    trail.require(
        key.device.as_ref().map_or(pinned, |named| named == device),
        rule::EVIDENCE_DEVICE,
        Reject::EvidenceDevice,
        found,
        format!("the instance of {device}, who asks"),
    )
}

#[cfg(test)]
mod tests;
