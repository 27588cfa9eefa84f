//! Enrollments with an EAT authenticated with a symmetric key.

use appraisal::record::rule;
use appraisal::{
    Appraised, Approval, CredentialGrant, CredentialScope, Decision, DeviceKey, DeviceState, KnownDevice,
    Proof, Refusal, Standing, SymmetricCredential, SymmetricEat, group_key_identity, own_key_identity,
};
use aws_lc_rs::hmac;
use core::time::Duration;
use shared::cose::{Kid, encode_mac0, mac_bytes};
use shared::evidence::{Claims, DebugStatus, ueid_of_name};
use shared::message::latest::EvidenceKind;
use shared::{DeviceId, Reject};

use crate::support::{NONCE, NOW, World, csr, registered};

const GROUP_KEY: [u8; 32] = [0xc0; 32];
const KID: Kid = [0x11; 8];

fn world() -> World {
    World::new().policy("[evidence]\nkinds = [\"symmetric-key\"]")
}

/// The key of a group that may bring in two devices and has brought in one.
fn group() -> CredentialGrant {
    CredentialGrant {
        id: "1111111111111111".into(),
        scope: CredentialScope::Many,
        group: Some("lot-7".parse().unwrap()),
        expires: Some(NOW),
        standing: Standing::Good,
        quota: Some(2),
        used: 1,
        brought_in: false,
    }
}

fn own() -> CredentialGrant {
    let scope = CredentialScope::Device(DeviceId::new("SN-0001").unwrap());
    CredentialGrant { scope, group: None, expires: None, quota: None, used: 0, ..group() }
}

/// Evidence for the world's device and CSR by `key`.
fn mac0(world: &World, key: &[u8], change: impl FnOnce(&mut Claims<'_>)) -> Vec<u8> {
    let payload = world.device.payload(&world.csr, |claims| {
        claims.ueid = ueid_of_name(&world.device.id);
        change(claims);
    });
    authenticate(key, &payload)
}

fn authenticate(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut covered = Vec::new();
    mac_bytes(&KID, payload, |part| covered.extend_from_slice(part));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &covered);
    let mut eat = vec![0; 2048];
    let length = encode_mac0(&KID, payload, tag.as_ref().try_into().unwrap(), &mut eat).unwrap();
    eat.truncate(length);
    eat
}

fn appraise(world: &World, eat: &[u8], grant: CredentialGrant) -> Result<Appraised, Refusal> {
    let key = match grant.scope {
        CredentialScope::Device(_) => DeviceKey::own(&GROUP_KEY),
        CredentialScope::Many => DeviceKey::derived(&GROUP_KEY, &world.device.id),
    };
    let credential = Some(SymmetricCredential { grant, key });
    world.appraise_proof(&Proof::SymmetricKey(Box::new(SymmetricEat { eat, nonce: &NONCE, credential })))
}

fn derived(world: &World) -> Vec<u8> {
    appraisal::derive(&GROUP_KEY, &world.device.id).to_vec()
}

fn by_group(world: &World, change: impl FnOnce(&mut Claims<'_>)) -> Result<Appraised, Refusal> {
    appraise(world, &mac0(world, &derived(world), change), group())
}

#[track_caller]
fn refused(result: Result<Appraised, Refusal>, reject: Reject, rule: &str) {
    let refusal = result.unwrap_err();
    assert_eq!((refusal.reject, refusal.rule), (reject, rule), "{refusal}");
}

#[test]
fn a_device_of_a_group_and_one_with_a_key_of_its_own_get_in() {
    let world = world();
    let appraised = by_group(&world, |_| ()).unwrap();
    assert_eq!(appraised.kind(), Some(EvidenceKind::SymmetricKey));
    assert_eq!((appraised.decision(), appraised.maker()), (Decision::Accept, None));
    assert_eq!(appraised.credential(), Some("1111111111111111"));
    assert_eq!(appraised.group().unwrap().as_str(), "lot-7");
    let identity = group_key_identity("1111111111111111", &world.device.id);
    assert_eq!(appraised.idevid_spki_sha256(), Some(&identity));
    let rules: Vec<_> = appraised.rules().iter().map(|r| r.rule).collect();
    for wanted in [rule::CREDENTIAL, rule::EVIDENCE_SIGNATURE, rule::QUOTA, rule::DEBUG, rule::MEASUREMENTS] {
        assert!(rules.contains(&wanted), "{wanted} is not in {rules:?}");
    }

    let appraised = appraise(&world, &mac0(&world, &GROUP_KEY, |_| ()), own()).unwrap();
    assert_eq!(appraised.idevid_spki_sha256(), Some(&own_key_identity(&world.device.id)));
    assert_eq!(appraised.group(), None);
}

/// The rows of the refusal matrix, by the names of their rules.
#[test]
fn each_fault_is_refused_by_its_rule() {
    let mut world = world();
    refused(by_group(&world, |c| c.nonce[0] ^= 1), Reject::EvidenceNonce, rule::EVIDENCE_NONCE);
    refused(by_group(&world, |c| c.confirmation[0] ^= 1), Reject::EvidenceKey, rule::EVIDENCE_KEY);
    refused(by_group(&world, |c| c.ueid[1] ^= 1), Reject::EvidenceDevice, rule::EVIDENCE_DEVICE);
    refused(by_group(&world, |c| c.dbgstat = DebugStatus::Enabled), Reject::DebugOpen, rule::DEBUG);
    let changed = |c: &mut Claims<'_>| c.measurements[0].digest[0] ^= 1;
    refused(by_group(&world, changed), Reject::FirmwareUnknown, rule::MEASUREMENTS);

    let good = mac0(&world, &derived(&world), |_| ());
    let mut broken = good.clone();
    *broken.last_mut().unwrap() ^= 1;
    refused(appraise(&world, &broken, group()), Reject::EvidenceSignature, rule::EVIDENCE_SIGNATURE);
    let cut = good.get(..good.len() / 2).unwrap();
    refused(appraise(&world, cut, group()), Reject::BadEvidence, rule::EVIDENCE_FORM);
    let mut long = good.clone();
    long.resize(shared::limits::MAX_EVIDENCE + 1, 0);
    refused(appraise(&world, &long, group()), Reject::BadEvidence, rule::EVIDENCE_FORM);
    // Another device's evidence: its derived key is another one.
    let other = DeviceId::new("SN-0002").unwrap();
    let others = mac0(&world, appraisal::derive(&GROUP_KEY, &other).as_slice(), |_| ());
    refused(appraise(&world, &others, group()), Reject::EvidenceSignature, rule::EVIDENCE_SIGNATURE);
    // The group's key itself is no device's.
    let groups = mac0(&world, &GROUP_KEY, |_| ());
    refused(appraise(&world, &groups, group()), Reject::EvidenceSignature, rule::EVIDENCE_SIGNATURE);
    // Authenticated nonsense.
    let nonsense = authenticate(&derived(&world), b"\xa1\x01\x02");
    refused(appraise(&world, &nonsense, group()), Reject::BadEvidence, rule::EVIDENCE_FORM);
    world.csr = csr();
    refused(appraise(&world, &good, group()), Reject::EvidenceKey, rule::EVIDENCE_KEY);

    // A policy that names makers is not satisfied by evidence that no maker vouches for.
    let head = "[evidence]\nkinds = [\"symmetric-key\"]\n";
    let world = world.policy(&format!("{head}[[maker]]\nname = \"example\""));
    refused(by_group(&world, |_| ()), Reject::ModelNotAllowed, rule::MAKER);
    let world = world.policy(&format!("{head}[[model]]\nname = \"sensor-a\"\nminimum_firmware = \"1.3.0\""));
    refused(by_group(&world, |_| ()), Reject::FirmwareTooOld, rule::FIRMWARE_VERSION);
    let world = world.policy("");
    refused(by_group(&world, |_| ()), Reject::NoAcceptedEvidenceKind, rule::EVIDENCE_KIND);
}

#[test]
fn scope_end_standing_and_quota_of_a_credential_are_kept() {
    let mut world = world();
    let eat = mac0(&world, &derived(&world), |_| ());
    let bad = |grant: CredentialGrant| {
        refused(appraise(&world, &eat, grant), Reject::BadCredential, rule::CREDENTIAL);
    };
    bad(CredentialGrant { expires: Some(NOW.before(Duration::from_secs(1))), ..group() });
    bad(CredentialGrant { standing: Standing::Revoked, ..group() });
    bad(CredentialGrant { standing: Standing::Overridden, ..group() });
    bad(CredentialGrant { scope: CredentialScope::Device(DeviceId::new("SN-0002").unwrap()), ..own() });
    let unknown = SymmetricEat { eat: &eat, nonce: &NONCE, credential: None };
    let unknown = world.appraise_proof(&Proof::SymmetricKey(Box::new(unknown)));
    refused(unknown, Reject::BadCredential, rule::CREDENTIAL);

    let full = CredentialGrant { used: 2, ..group() };
    refused(appraise(&world, &eat, full.clone()), Reject::QuotaReached, rule::QUOTA);
    appraise(&world, &eat, CredentialGrant { brought_in: true, ..full }).unwrap();

    world.known.as_mut().unwrap().group = "lot-8".parse().unwrap();
    refused(appraise(&world, &eat, group()), Reject::BadCredential, rule::CREDENTIAL);
    world.known.as_mut().unwrap().group = "lot-7".parse().unwrap();
    appraise(&world, &eat, group()).unwrap();
}

#[test]
fn only_a_key_made_for_the_device_stands_in_for_the_inventory() {
    let mut world = world();
    world.known = None;
    refused(by_group(&world, |_| ()), Reject::NotInInventory, rule::INVENTORY);
    appraise(&world, &mac0(&world, &GROUP_KEY, |_| ()), own()).unwrap();
    let world = world.policy("[evidence]\nkinds = [\"symmetric-key\"]\n[inventory]\nrequired = false");
    by_group(&world, |_| ()).unwrap();
}

/// Whoever has a group's key can be any of its devices, and must not become another one.
#[test]
fn a_groups_key_leads_to_no_device_that_did_not_come_in_by_it() {
    let mut world = world();
    let id = world.device.id.clone();
    let enrolled = |pinned| KnownDevice {
        state: DeviceState::Enrolled { key: [7; 32] },
        idevid_spki_sha256: pinned,
        ..registered()
    };
    for pinned in [
        *world.device.public_key().spki_sha256(),
        own_key_identity(&id),
        group_key_identity("another", &id),
        group_key_identity("1111111111111111", &DeviceId::new("SN-0002").unwrap()),
    ] {
        world.known = Some(enrolled(Some(pinned)));
        refused(by_group(&world, |_| ()), Reject::IdentityConflict, rule::PINNED_KEY);
    }
    // One that enrolled with a token has nothing pinned.
    world.known = Some(enrolled(None));
    refused(by_group(&world, |_| ()), Reject::IdentityConflict, rule::SECOND_ENROLLMENT);
    world.known.as_mut().unwrap().approval = Approval::Key(*world.csr.spki_sha256());
    by_group(&world, |_| ()).unwrap();
    // The device that came in by this key is the same device.
    world.known = Some(enrolled(Some(group_key_identity("1111111111111111", &id))));
    assert_eq!(by_group(&world, |_| ()).unwrap().decision(), Decision::Accept);
    // The key of the device's own never stands in for its IDevID.
    let eat = mac0(&world, &GROUP_KEY, |_| ());
    world.known = Some(enrolled(Some(*world.device.public_key().spki_sha256())));
    refused(appraise(&world, &eat, own()), Reject::IdentityConflict, rule::PINNED_KEY);
    world.known = Some(enrolled(None));
    appraise(&world, &eat, own()).unwrap();
}

#[test]
fn keys_are_not_shown() {
    let credential = SymmetricCredential { grant: own(), key: DeviceKey::own(&GROUP_KEY) };
    let shown = format!("{credential:?}");
    assert!(shown.contains("redacted") && !shown.contains("192"), "{shown}");
}
