//! Verification of a layered DICE certificate chain and of the binding that its alias key signs.
//!
//! The certificates say what the device is and runs; the binding ties them to this request. Whether what they
//! claim is good enough is for `claims` to say.

mod chain;
mod layers;
mod open_profile;
mod tcb_info;

#[cfg(test)]
mod tests;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use shared::codec::DecodeError;
use shared::cose::{Content, Sign1};
use shared::evidence::{Binding, key_thumbprint};
use shared::message::latest::Nonce;
use shared::{DeviceId, Reject, UnixTime, limits};

use self::chain::DiceChain;
use self::layers::Layers;
use crate::csr::CheckedCsr;
use crate::key::hex;
use crate::maker::Endorsements;
use crate::record::{Refusal, Trail, Verdict, rule};
use crate::{Verified, revocation};

/// Evidence of this kind, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Dice<'a> {
    /// The COSE_Sign1 over the binding, made with the alias key.
    pub binding: &'a [u8],
    /// The chain in DER, the alias certificate first, up to the device's root; the maker's CA left out.
    pub endorsements: &'a [&'a [u8]],
    /// The nonce of the challenge; the server has seen to it that it made this nonce for this device, and that
    /// it is in time and not used up.
    pub nonce: &'a Nonce,
}

/// Whether both extensions' parsers take these bytes: DiceTcbInfo and DiceMultiTcbInfo, and that of the Open Profile.
/// For fuzzing.
#[must_use]
pub fn extensions_are_read(value: &[u8]) -> (bool, bool) {
    let tcb_info = tcb_info::one(value).is_ok() || tcb_info::several(value).is_ok();
    (tcb_info, open_profile::read(value).is_ok())
}

pub(crate) fn verify(
    device: &DeviceId,
    csr: &CheckedCsr,
    evidence: &Dice<'_>,
    makers: &Endorsements,
    now: UnixTime,
    trail: &mut Trail,
) -> Result<Verified, Refusal> {
    let chain = endorsed(evidence.endorsements, makers, now, trail)?;
    let layers = layers(&chain, trail)?;
    let binding = signed(evidence.binding, &chain, trail)?;
    trail.require(
        verify_slices_are_equal(&binding.nonce, evidence.nonce).is_ok(),
        rule::EVIDENCE_NONCE,
        Reject::EvidenceNonce,
        format!("eat_nonce {}", hex(&binding.nonce)),
        format!("the nonce of this challenge {}", hex(evidence.nonce)),
    )?;
    let thumbprint = key_thumbprint(csr.point());
    trail.require(
        verify_slices_are_equal(&binding.confirmation, &thumbprint).is_ok(),
        rule::EVIDENCE_KEY,
        Reject::EvidenceKey,
        format!("cnf {}", hex(&binding.confirmation)),
        format!("the thumbprint of the CSR's key {}", hex(&thumbprint)),
    )?;
    trail.require(
        chain.device() == device,
        rule::EVIDENCE_DEVICE,
        Reject::EvidenceDevice,
        format!("the DICE root of {}", chain.device()),
        format!("that of {device}, who asks"),
    )?;
    let findings = revocation::look_up(core::slice::from_ref(chain.link()), makers, now);
    let verified = Verified::endorsed(chain.root_spki_sha256(), chain.maker().clone(), layers.claims());
    Ok(verified.looked_up(findings))
}

fn endorsed<'c>(
    chain: &[&'c [u8]],
    makers: &Endorsements,
    now: UnixTime,
    trail: &mut Trail,
) -> Result<DiceChain<'c>, Refusal> {
    let wanted = "layers up to a device's root that a maker this server knows has issued";
    match chain::verify(chain, makers, now) {
        Ok(chain) => {
            let (device, maker) = (chain.device(), &chain.maker().name);
            let found = format!(
                "{} certificates up to the root of {device} by maker {maker:?}",
                chain.certificates().len()
            );
            trail.note(Verdict::Passed, rule::ENDORSEMENT, found, wanted);
            Ok(chain)
        }
        Err(error) => {
            let source = core::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
            Err(trail.refuse(rule::ENDORSEMENT, error.reject(), format!("{error}{source}"), wanted))
        }
    }
}

fn layers(chain: &DiceChain<'_>, trail: &mut Trail) -> Result<Layers, Refusal> {
    let wanted = "readable extensions, and a digest of every layer below the root";
    match Layers::read(chain.certificates()) {
        Ok(layers) => {
            trail.note(Verdict::Passed, rule::DICE_LAYERS, layers.to_string(), wanted);
            Ok(layers)
        }
        Err(error) => Err(trail.refuse(rule::DICE_LAYERS, Reject::BadEndorsement, error.to_string(), wanted)),
    }
}

/// The binding, read only once it is known that the alias key signed it.
fn signed(bytes: &[u8], chain: &DiceChain<'_>, trail: &mut Trail) -> Result<Binding, Refusal> {
    let form = "a binding of this protocol in COSE_Sign1";
    let refuse = |trail: &mut Trail, error: DecodeError| {
        trail.refuse(rule::EVIDENCE_FORM, Reject::BadEvidence, error.to_string(), form)
    };
    let sign1 = Sign1::decode(bytes, Content::DiceBinding, limits::MAX_EVIDENCE)
        .map_err(|error| refuse(trail, error))?;
    let mut signed = Vec::with_capacity(bytes.len());
    sign1.signed_bytes(|part| signed.extend_from_slice(part));
    trail.require(
        chain.alias().signed_fixed(&signed, sign1.signature()),
        rule::EVIDENCE_SIGNATURE,
        Reject::EvidenceSignature,
        "a signature",
        format!("one that verifies under the alias key {}", hex(chain.alias().spki_sha256())),
    )?;
    let binding = Binding::decode(sign1.unverified_payload()).map_err(|error| refuse(trail, error))?;
    trail.note(Verdict::Passed, rule::EVIDENCE_FORM, form, form);
    Ok(binding)
}
