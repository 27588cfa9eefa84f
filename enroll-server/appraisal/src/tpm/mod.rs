//! Evidence of a TPM 2.0: an endorsement key that its maker vouches for, an attestation key that lives in the same
//! TPM, the operational key that the attestation key certifies, and a quote over what the platform measured.
//!
//! The chain of trust, each link a rule of its own: maker -> EK certificate -> EK (`endorsement`,
//! `evidence-device`) -> AK by activated credential (`tpm-activation`) -> CSR's key by TPM2_Certify
//! (`evidence-key`) and registers by TPM2_Quote (`tpm-registers`) -> boot by event log (`event-log`). Whether
//! what was measured is good is for `claims` to say.

mod activation;
mod endorsement;
mod event_log;
mod keys;
mod registers;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use shared::evidence::TpmEvidence;
use shared::message::latest::Nonce;
use shared::tpm2::{Attest, Attested, PublicArea, ecdsa_signature};
use shared::{Reject, UnixTime};

use crate::Verified;
use crate::claims::DeviceClaims;
use crate::csr::CheckedCsr;
use crate::key::{PublicKey, hex};
use crate::maker::Endorsements;
use crate::record::{Refusal, Trail, Verdict, rule};

use keys::check_operational;

pub use activation::{ActivationKey, ActivationSecret};
pub use endorsement::{EkError, MAX_EK_CHAIN};
pub use event_log::{ReplayError, Replayed, replay};
pub use keys::{KeyFault, Name, check_ak, check_ek, name, spki_der};

/// Evidence of this kind, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Tpm2<'a> {
    /// [`TpmEvidence`] in CBOR.
    pub body: &'a [u8],
    /// The nonce of the challenge; the server has seen to it that it made this nonce for this device, and that
    /// it is in time and not used up.
    pub nonce: &'a Nonce,
    /// Under which the challenge's credential was made.
    pub activation: &'a ActivationKey,
}

/// The evidence with its structures read; nothing in it is believed yet.
struct Parsed<'a> {
    evidence: TpmEvidence<'a>,
    ek: PublicArea<'a>,
    ak: PublicArea<'a>,
    key: PublicArea<'a>,
    certify: Attest<'a>,
    certify_signature: [u8; 64],
    quote: Attest<'a>,
    quote_signature: [u8; 64],
}

pub(crate) fn verify(
    csr: &CheckedCsr,
    evidence: &Tpm2<'_>,
    makers: &Endorsements,
    now: UnixTime,
    trail: &mut Trail,
) -> Result<Verified, Refusal> {
    let form = "TPM evidence of this protocol";
    let parsed = parse(evidence.body)
        .map_err(|error| trail.refuse(rule::EVIDENCE_FORM, Reject::BadEvidence, error, form))?;
    trail.note(Verdict::Passed, rule::EVIDENCE_FORM, form, form);

    let endorsed = endorsement::verify(&parsed.evidence.ek_chain, makers, now, trail)?;
    let ek_spki = spki_der(&parsed.ek);
    trail.require(
        endorsed.spki == ek_spki,
        rule::EVIDENCE_DEVICE,
        Reject::EvidenceDevice,
        format!("an EK certificate for key {}", hex(&endorsed.spki_sha256)),
        "that of the endorsement key of this TPM",
    )?;
    check_keys(&parsed, trail)?;
    check_signatures(&parsed, trail)?;
    check_nonce(&parsed, evidence.nonce, trail)?;
    check_activation(&parsed, evidence, trail)?;
    check_csr_key(&parsed, csr, trail)?;
    let measurements = registers::check(&parsed.quote, &parsed.evidence.pcrs, trail)?;
    let debug = check_event_log(&parsed, trail)?;
    let claims = DeviceClaims { debug, measurements, ..DeviceClaims::default() };
    let verified = Verified::endorsed(endorsed.spki_sha256, endorsed.maker, claims);
    Ok(verified.looked_up(endorsed.revocation))
}

fn parse(body: &[u8]) -> Result<Parsed<'_>, String> {
    let evidence = TpmEvidence::decode(body).map_err(|error| error.to_string())?;
    let text = |what: &'static str| move |error| format!("{what}: {error}");
    Ok(Parsed {
        ek: PublicArea::parse(evidence.ek_public).map_err(text("endorsement key"))?,
        ak: PublicArea::parse(evidence.ak_public).map_err(text("attestation key"))?,
        key: PublicArea::parse(evidence.key_public).map_err(text("operational key"))?,
        certify: Attest::parse(evidence.certify).map_err(text("certification"))?,
        certify_signature: ecdsa_signature(evidence.certify_signature).map_err(text("certification"))?,
        quote: Attest::parse(evidence.quote).map_err(text("quote"))?,
        quote_signature: ecdsa_signature(evidence.quote_signature).map_err(text("quote"))?,
        evidence,
    })
}

/// Each key has to be bound to its TPM, and of the kind that its part in this takes.
fn check_keys(parsed: &Parsed<'_>, trail: &mut Trail) -> Result<(), Refusal> {
    let checked = check_ek(&parsed.ek)
        .and_then(|()| check_ak(&parsed.ak))
        .and_then(|()| check_operational(&parsed.key));
    let wanted = "keys that this TPM made, that cannot leave it, each good for its own purpose";
    match checked {
        Ok(()) => {
            trail.note(Verdict::Passed, rule::TPM_KEY, wanted, wanted);
            Ok(())
        }
        Err(fault) => Err(trail.refuse(rule::TPM_KEY, Reject::BadEvidence, fault.to_string(), wanted)),
    }
}

fn check_signatures(parsed: &Parsed<'_>, trail: &mut Trail) -> Result<(), Refusal> {
    let ak = parsed.ak.point().and_then(|point| PublicKey::from_point(&point));
    let signed = ak.is_some_and(|ak| {
        ak.signed_fixed(parsed.certify.bytes, &parsed.certify_signature)
            && ak.signed_fixed(parsed.quote.bytes, &parsed.quote_signature)
    });
    trail.require(
        signed,
        rule::EVIDENCE_SIGNATURE,
        Reject::EvidenceSignature,
        "signatures over certification and quote",
        format!("ones that verify under the attestation key {}", hex(&name(&parsed.ak))),
    )
}

fn check_nonce(parsed: &Parsed<'_>, nonce: &Nonce, trail: &mut Trail) -> Result<(), Refusal> {
    for (what, attest) in [("certification", &parsed.certify), ("quote", &parsed.quote)] {
        trail.require(
            verify_slices_are_equal(attest.extra_data, nonce).is_ok(),
            rule::EVIDENCE_NONCE,
            Reject::EvidenceNonce,
            format!("extra data {} in the {what}", hex(attest.extra_data)),
            format!("the nonce of this challenge {}", hex(nonce)),
        )?;
    }
    Ok(())
}

/// A TPM gives a credential's secret only where both keys are its own (TPM 2.0 Library, part 1, section 24).
fn check_activation(parsed: &Parsed<'_>, evidence: &Tpm2<'_>, trail: &mut Trail) -> Result<(), Refusal> {
    let secret = evidence.activation.secret(evidence.nonce, &parsed.ek, &parsed.ak);
    trail.require(
        secret.is_proved_by(&parsed.evidence.activation, evidence.nonce, parsed.key.bytes),
        rule::TPM_ACTIVATION,
        Reject::EvidenceDevice,
        "a proof of activation",
        "one by the secret that only the TPM with both endorsement key and attestation key could read",
    )
}

fn check_csr_key(parsed: &Parsed<'_>, csr: &CheckedCsr, trail: &mut Trail) -> Result<(), Refusal> {
    let certified = match parsed.certify.attested {
        Attested::Certify { name } => name,
        Attested::Quote { .. } => {
            let found = "a quote in the place of a certification";
            return Err(trail.refuse(
                rule::EVIDENCE_FORM,
                Reject::BadEvidence,
                found,
                "TPM2_Certify of the CSR's key",
            ));
        }
    };
    let wanted = name(&parsed.key);
    trail.require(
        certified == wanted,
        rule::EVIDENCE_KEY,
        Reject::EvidenceKey,
        format!("a certification of {}", hex(certified)),
        format!("one of the presented public area {}", hex(&wanted)),
    )?;
    let point = parsed.key.point();
    trail.require(
        point.is_some_and(|point| point == *csr.point()),
        rule::EVIDENCE_KEY,
        Reject::EvidenceKey,
        format!("a certified key with the name {}", hex(&wanted)),
        format!("the CSR's key {}", hex(csr.spki_sha256())),
    )
}

fn check_event_log(
    parsed: &Parsed<'_>,
    trail: &mut Trail,
) -> Result<Option<shared::evidence::DebugStatus>, Refusal> {
    let Attested::Quote { registers: set, .. } = parsed.quote.attested else { return Ok(None) };
    let wanted = "an event log that comes to the quoted registers";
    let Some(log) = parsed.evidence.event_log else {
        trail.note(Verdict::Skipped, rule::EVENT_LOG, "no event log", wanted);
        return Ok(None);
    };
    let replayed = replay(log, set.bank)
        .map_err(|error| trail.refuse(rule::EVENT_LOG, Reject::BadEvidence, error.to_string(), wanted))?;
    for (register, value) in &parsed.evidence.pcrs {
        let found = replayed.register(*register);
        trail.require(
            found == *value,
            rule::EVENT_LOG,
            Reject::FirmwareUnknown,
            format!("register {register} is {} by the event log", hex(found)),
            format!("{}, as quoted", hex(value)),
        )?;
    }
    // What the log says of register 7 counts only where the TPM vouches for that register.
    Ok(replayed.debug().filter(|_| set.contains(event_log::SECURE_BOOT_REGISTER)))
}
