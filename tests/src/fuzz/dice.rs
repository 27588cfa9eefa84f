//! DICE: the extensions of a certificate, the binding, whole evidence; and makers' revocation lists.

use std::sync::LazyLock;

use appraisal::{Basis, Dice, Endorsements, MakerCa, MakerCrl, Policy, Presented, Proof, ReferenceValues};
use shared::DeviceId;
use shared::evidence::Binding;

use super::pieces::split;
use crate::dice;

/// DiceTcbInfo, DiceMultiTcbInfo and the extension of the Open Profile.
pub(super) fn extensions(data: &[u8]) -> bool {
    let (tcb_info, open_profile) = appraisal::dice::extensions_are_read(data);
    tcb_info || open_profile
}

/// What an alias key signs.
pub(super) fn binding(data: &[u8]) -> bool {
    let Ok(binding) = Binding::decode(data) else { return false };
    let mut again = [0; 128];
    let length = binding.encode(&mut again).expect("a binding has one length");
    assert_eq!(Binding::decode(&again[..length]), Ok(binding));
    true
}

/// A whole appraisal: CSR, binding and chain, in pieces, under the maker of the recorded evidence.
pub(super) fn evidence(data: &[u8]) -> bool {
    let pieces = split(data);
    let [csr, binding, chain @ ..] = pieces.as_slice() else { return false };
    let Ok(csr) = appraisal::csr::check(csr) else { return false };
    let nonce = dice::bytes("nonce").try_into().expect("32 bytes");
    let proof = Proof::Dice(Dice { binding, endorsements: chain, nonce: &nonce });
    let presented = Presented { device: &FIXED.device, csr: &csr, proof: &proof };
    let basis = Basis { makers: &FIXED.makers, policy: &FIXED.policy, reference_values: &FIXED.known_good };
    match appraisal::appraise(&presented, &basis, None, dice::now()) {
        Ok(appraised) => {
            // The maker certified one root; any other name would be a forgery.
            assert_eq!(appraised.device(), &FIXED.device);
            true
        }
        Err(_) => false,
    }
}

/// A maker's CA, its revocation list, and certificates of CAs between, in pieces.
pub(super) fn maker_crl(data: &[u8]) -> bool {
    let pieces = split(data);
    let [maker, list, chain @ ..] = pieces.as_slice() else { return false };
    let Ok(maker) = MakerCa::new("fuzz", maker) else { return false };
    match MakerCrl::new(list, chain, &maker) {
        Ok(list) => {
            assert!(list.this_update() < list.next_update());
            assert!(!list.number_text().is_empty());
            true
        }
        Err(_) => false,
    }
}

struct Fixed {
    device: DeviceId,
    makers: Endorsements,
    policy: Policy,
    known_good: ReferenceValues,
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let maker = MakerCa::new("example", &dice::bytes("maker_ca")).expect("the maker of the evidence");
    let policy = "[evidence]\nkinds = [\"dice\"]\n[inventory]\nrequired = false\n\
                  [firmware]\nmeasurements = \"ignore\"\n";
    Fixed {
        device: DeviceId::new("SN-0001").expect("an identifier"),
        makers: Endorsements::new(vec![maker]),
        policy: Policy::parse("policy.toml", policy).expect("a policy"),
        known_good: ReferenceValues::default(),
    }
});
