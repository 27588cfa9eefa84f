//! What TPMs say: introductions, evidence, the structures in it, event logs, and a whole appraisal.

use std::sync::LazyLock;

use appraisal::tpm::{ActivationKey, Tpm2, replay};
use appraisal::{Basis, CheckedCsr, Endorsements, MakerCa, Policy, Presented, Proof, ReferenceValues};
use shared::DeviceId;
use shared::evidence::{Introduction, TpmEvidence};
use shared::message::latest::Nonce;
use shared::tpm2::{Attest, Bank, PublicArea, ecdsa_signature};

use crate::tpm_exchange;

/// An introduction, up to the credential's keys.
pub(super) fn introduction(data: &[u8]) -> bool {
    let Ok(read) = Introduction::decode(data) else { return false };
    let mut again = vec![0; data.len()];
    let length = read.encode(&mut again).expect("not longer than before");
    assert_eq!(Introduction::decode(&again[..length]), Ok(read));
    enroll_server::tpm_credential::Introduced::read(data).is_ok()
}

/// Evidence as a message.
pub(super) fn evidence(data: &[u8]) -> bool {
    let Ok(read) = TpmEvidence::decode(data) else { return false };
    let mut again = vec![0; data.len()];
    let length = read.encode(&mut again).expect("not longer than before");
    assert_eq!(TpmEvidence::decode(&again[..length]), Ok(read));
    true
}

/// A public area.
pub(super) fn public(data: &[u8]) -> bool {
    let Ok(area) = PublicArea::parse(data) else { return false };
    let _name = appraisal::tpm::name(&area);
    assert!(!appraisal::tpm::spki_der(&area).is_empty());
    true
}

/// An attestation or a signature.
pub(super) fn attest(data: &[u8]) -> bool {
    Attest::parse(data).is_ok() || ecdsa_signature(data).is_ok()
}

/// An event log.
pub(super) fn event_log(data: &[u8]) -> bool {
    let _other_bank = replay(data, Bank::Sha384);
    let Ok(replayed) = replay(data, Bank::Sha256) else { return false };
    assert!((0..24).all(|register| replayed.register(register).len() == 32));
    assert!(replayed.register(24).is_empty());
    true
}

/// A whole appraisal of what came for the recorded challenge.
pub(super) fn appraise(data: &[u8]) -> bool {
    let proof = Proof::Tpm2(Tpm2 { body: data, nonce: &FIXED.nonce, activation: &FIXED.activation });
    let presented = Presented { device: &FIXED.device, csr: &FIXED.csr, proof: &proof };
    let basis = Basis { makers: &FIXED.makers, policy: &FIXED.policy, reference_values: &FIXED.known_good };
    match appraisal::appraise(&presented, &basis, None, tpm_exchange::now()) {
        Ok(appraised) => {
            assert_eq!(appraised.csr(), &FIXED.csr);
            true
        }
        Err(refusal) => {
            assert!(shared::Reject::from_code(refusal.reject.code()).is_some());
            false
        }
    }
}

struct Fixed {
    device: DeviceId,
    nonce: Nonce,
    csr: CheckedCsr,
    activation: ActivationKey,
    makers: Endorsements,
    policy: Policy,
    known_good: ReferenceValues,
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let key = tpm_exchange::bytes("activation_key").try_into().expect("32 bytes");
    let policy = "[evidence]\nkinds = [\"tpm2\"]\n[inventory]\nrequired = false\n\
                  [firmware]\nmeasurements = \"ignore\"\n";
    Fixed {
        device: DeviceId::new("TPM-1").expect("an identifier"),
        nonce: tpm_exchange::bytes("nonce").try_into().expect("32 bytes"),
        csr: appraisal::csr::check(&tpm_exchange::bytes("csr")).expect("the recorded CSR"),
        activation: ActivationKey::new(&key),
        makers: Endorsements::new(vec![
            MakerCa::new("swtpm", &tpm_exchange::bytes("maker_ca")).expect("the recorded maker"),
        ]),
        policy: Policy::parse("policy.toml", policy).expect("a policy"),
        known_good: ReferenceValues::default(),
    }
});
