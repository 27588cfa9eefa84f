//! Evidence by DICE: layered chains in TCG's form and in that of the Open Profile, and everything that is wrong.

use appraisal::record::rule;
use appraisal::{Appraised, Dice, Endorsements, MakerCa, Proof, Refusal};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use shared::Reject;
use shared::cose::Content;
use shared::evidence::{Binding, DebugStatus, key_thumbprint};

use crate::hostile_der::replacements;
use crate::maker_crl::{list, serial};
use crate::support::der::Node;
use crate::support::{Device, GOOD, Maker, NONCE, World};

const P256: &rcgen::SignatureAlgorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let head = if length < 0x80 {
        vec![tag, u8::try_from(length).unwrap()]
    } else {
        let [.., high, low] = length.to_be_bytes();
        if high == 0 { vec![tag, 0x81, low] } else { vec![tag, 0x82, high, low] }
    };
    [head, content].concat()
}

/// A DiceTcbInfo: model, version, digest, the first byte of the flags, type.
fn tcb_info(version: &str, digest: &[u8], flags: Option<u8>, kind: &str) -> Vec<u8> {
    let fwid = tlv(0x30, &[&tlv(0x06, &[SHA256]), &tlv(0x04, &[digest])]);
    let flags = flags.map(|flags| tlv(0x87, &[&[0, flags]])).unwrap_or_default();
    tlv(
        0x30,
        &[
            &tlv(0x81, &[b"sensor-a"]),
            &tlv(0x82, &[version.as_bytes()]),
            &tlv(0xa6, &[&fwid]),
            &flags,
            &tlv(0x89, &[kind.as_bytes()]),
        ],
    )
}

/// A DiceTcbInfo that measured nothing: version and flags of a layer whose code may be anything.
fn unmeasured() -> Vec<u8> {
    tlv(0x30, &[&tlv(0x82, &[b"1.2.0"]), &tlv(0x87, &[&[0, 0]]), &tlv(0x89, &[b"loader"])])
}

/// An extension of the Open Profile.
fn open_dice(code: [u8; 64], mode: u8) -> Vec<u8> {
    let octets = |tag: u8, content: &[u8]| tlv(tag, &[&tlv(0x04, &[content])]);
    tlv(
        0x30,
        &[
            &octets(0xa0, &code),
            &octets(0xa3, b"configuration"),
            &octets(0xa4, &[0; 64]),
            &tlv(0xa6, &[&[0x02, 0x01, mode]]),
        ],
    )
}

fn extension(arcs: &[u64], value: Vec<u8>, critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(arcs, value);
    extension.set_criticality(critical);
    extension
}

fn with_tcb_info(params: &mut CertificateParams, value: Vec<u8>) {
    params.custom_extensions.push(extension(&[2, 23, 133, 5, 4, 1], value, true));
}

fn with_open_dice(params: &mut CertificateParams, value: Vec<u8>) {
    params.custom_extensions.push(extension(&[1, 3, 6, 1, 4, 1, 11129, 2, 1, 24], value, true));
}

fn named(params: &mut CertificateParams, serial: &str) {
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), serial);
    params.not_after = date_time_ymd(9999, 12, 31);
}

/// A device in TCG's form: the root certifies the alias of the firmware it measured.
pub(crate) struct Boot {
    root: Maker,
    pub(crate) alias: Device,
}

impl Boot {
    pub(crate) fn new(maker: &Maker, id: &str) -> Self {
        Self::with(maker, id, tcb_info("1.2.0", &GOOD, Some(0), "application"))
    }

    fn with(maker: &Maker, id: &str, info: Vec<u8>) -> Self {
        let root = maker.below("root", |p| named(p, id));
        Self::under(root, |p| with_tcb_info(p, info))
    }

    fn under(root: Maker, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut alias = root.device_with("alias", P256, change);
        alias.chain.push(root.der.clone());
        Self { root, alias }
    }
}

impl World {
    pub(crate) fn dice() -> (Self, Boot) {
        let mut world = Self::new().policy("[evidence]\nkinds = [\"dice\"]\n");
        world.device.chain.clear();
        let boot = Boot::new(&world.maker, "SN-0001");
        (world, boot)
    }

    fn bound(&self, alias: &Device, change: impl FnOnce(&mut Binding)) -> Vec<u8> {
        let mut binding = Binding { confirmation: key_thumbprint(self.csr.point()), nonce: NONCE };
        change(&mut binding);
        let mut payload = [0; 128];
        let length = binding.encode(&mut payload).unwrap();
        alias.sign_as(Content::DiceBinding, &payload[..length])
    }

    fn appraise_dice(&self, binding: &[u8], chain: &[Vec<u8>]) -> Result<Appraised, Refusal> {
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        self.appraise_proof(&Proof::Dice(Dice { binding, endorsements: &chain, nonce: &NONCE }))
    }

    pub(crate) fn enroll(&self, alias: &Device) -> Result<Appraised, Refusal> {
        self.appraise_dice(&self.bound(alias, |_| ()), &alias.chain)
    }
}

#[track_caller]
fn refused(found: Result<Appraised, Refusal>, reject: Reject, rule: &str) {
    let refusal = found.unwrap_err();
    assert_eq!((refusal.reject, refusal.rule), (reject, rule), "{refusal}");
}

#[test]
fn a_measured_alias_below_its_root_is_accepted_with_its_reasons() {
    let (world, boot) = World::dice();
    let appraised = world.enroll(&boot.alias).unwrap();
    let claims = appraised.claims().unwrap();
    assert_eq!(
        (claims.model.as_deref(), claims.software_version.as_deref()),
        (Some("sensor-a"), Some("1.2.0"))
    );
    assert_eq!(claims.debug, Some(DebugStatus::Disabled));
    assert_eq!(claims.measurements[0].component, "application");
    let root = appraisal::key::PublicKey::from_spki_der(&rcgen::PublicKeyData::subject_public_key_info(
        &boot.root.key,
    ));
    assert_eq!(
        appraised.idevid_spki_sha256(),
        Some(root.unwrap().spki_sha256()),
        "the root is what is pinned"
    );
    let rules: Vec<_> = appraised.rules().iter().map(|record| record.rule).collect();
    for wanted in [
        rule::ENDORSEMENT,
        rule::DICE_LAYERS,
        rule::EVIDENCE_SIGNATURE,
        rule::EVIDENCE_NONCE,
        rule::EVIDENCE_KEY,
        rule::EVIDENCE_DEVICE,
        rule::DEBUG,
        rule::MEASUREMENTS,
    ] {
        assert!(rules.contains(&wanted), "{wanted} is not in {rules:?}");
    }
    // The maker's own certificate may come along.
    let mut chain = boot.alias.chain.clone();
    chain.push(world.maker.der.clone());
    world.appraise_dice(&world.bound(&boot.alias, |_| ()), &chain).unwrap();
}

#[test]
fn layers_of_the_open_profile_are_followed() {
    let (mut world, _) = World::dice();
    let good = |byte, component: &str| appraisal::policy::KnownGood {
        component: component.into(),
        version: Some("1.2.0".into()),
        digest: vec![byte; 64],
        ..appraisal::policy::KnownGood::default()
    };
    world.reference_values = vec![good(1, "layer-1"), good(2, "layer-2")].into();
    let boot = |modes: [u8; 2], codes: [u8; 2]| {
        let root = world.maker.below("UDS", |p| named(p, "SN-0001"));
        let cdi_0 = root.below("CDI 0", |p| with_open_dice(p, open_dice([codes[0]; 64], modes[0])));
        let cdi_1 = cdi_0.below("CDI 1", |p| with_open_dice(p, open_dice([codes[1]; 64], modes[1])));
        let mut alias = cdi_1.device_with("attestation", P256, |_| ());
        alias.chain.extend([cdi_1.der, cdi_0.der, root.der]);
        alias
    };
    let appraised = world.enroll(&boot([1, 1], [1, 2])).unwrap();
    assert_eq!(appraised.claims().unwrap().measurements.len(), 2);
    for modes in [[2, 1], [1, 2], [0, 1], [1, 3], [1, 9]] {
        refused(world.enroll(&boot(modes, [1, 2])), Reject::DebugOpen, rule::DEBUG);
    }
    for codes in [[9, 2], [1, 9], [2, 1]] {
        refused(world.enroll(&boot([1, 1], codes)), Reject::FirmwareUnknown, rule::MEASUREMENTS);
    }
}

#[test]
fn the_binding_ties_the_chain_to_one_request() {
    let (world, boot) = World::dice();
    let bound =
        |change: fn(&mut Binding)| world.appraise_dice(&world.bound(&boot.alias, change), &boot.alias.chain);
    refused(bound(|b| b.nonce[31] ^= 1), Reject::EvidenceNonce, rule::EVIDENCE_NONCE);
    refused(bound(|b| b.confirmation[0] ^= 1), Reject::EvidenceKey, rule::EVIDENCE_KEY);
    // Another device's alias, under this device's chain and under its own.
    let other = Boot::new(&world.maker, "SN-0002");
    let signed = world.bound(&other.alias, |_| ());
    refused(
        world.appraise_dice(&signed, &boot.alias.chain),
        Reject::EvidenceSignature,
        rule::EVIDENCE_SIGNATURE,
    );
    refused(world.appraise_dice(&signed, &other.alias.chain), Reject::EvidenceDevice, rule::EVIDENCE_DEVICE);
    // An EAT with the same key is no binding.
    let mut payload = [0; 128];
    let binding = Binding { confirmation: key_thumbprint(world.csr.point()), nonce: NONCE };
    let length = binding.encode(&mut payload).unwrap();
    let eat = boot.alias.sign_as(Content::Eat, &payload[..length]);
    refused(world.appraise_dice(&eat, &boot.alias.chain), Reject::BadEvidence, rule::EVIDENCE_FORM);
    let noise = boot.alias.sign_as(Content::DiceBinding, &[0xa0]);
    refused(world.appraise_dice(&noise, &boot.alias.chain), Reject::BadEvidence, rule::EVIDENCE_FORM);
}

#[test]
fn every_mode_but_the_normal_one_counts_as_open() {
    let (world, _) = World::dice();
    let with = |flags| Boot::with(&world.maker, "SN-0001", tcb_info("1.2.0", &GOOD, flags, "application"));
    for flags in [0x80, 0x40, 0x20, 0x10, 0xf0] {
        refused(world.enroll(&with(Some(flags)).alias), Reject::DebugOpen, rule::DEBUG);
    }
    refused(world.enroll(&with(None).alias), Reject::DebugOpen, rule::DEBUG);
    // The other flags are no modes.
    world.enroll(&with(Some(0x0f)).alias).unwrap();
}

#[test]
fn firmware_is_held_against_policy_and_reference_values() {
    let (world, _) = World::dice();
    let with = |version, digest: &[u8; 32]| {
        Boot::with(&world.maker, "SN-0001", tcb_info(version, digest, Some(0), "application")).alias
    };
    let (old, changed) = (with("1.1.0", &GOOD), with("1.2.0", &[0xbb; 32]));
    refused(world.enroll(&changed), Reject::FirmwareUnknown, rule::MEASUREMENTS);
    refused(world.enroll(&old), Reject::FirmwareUnknown, rule::MEASUREMENTS);
    let good = with("1.2.0", &GOOD);
    let world = world.policy(
        "[evidence]\nkinds = [\"dice\"]\n[[model]]\nname = \"sensor-a\"\nminimum_firmware = \"1.2.0\"\n",
    );
    refused(world.enroll(&old), Reject::FirmwareTooOld, rule::FIRMWARE_VERSION);
    world.enroll(&good).unwrap();
}

#[test]
fn a_layer_that_nobody_measured_is_refused() {
    let (world, boot) = World::dice();
    // A silent layer could put any measurement into the certificates below it.
    let silent = boot.root.below("silent", |_| ());
    let mut alias = silent.device_with("alias", P256, |p| {
        with_tcb_info(p, tcb_info("1.2.0", &GOOD, Some(0), "application"));
    });
    alias.chain.extend([silent.der, boot.root.der]);
    refused(world.enroll(&alias), Reject::BadEndorsement, rule::DICE_LAYERS);
    let alone = Boot::under(world.maker.below("root", |p| named(p, "SN-0001")), |_| ());
    refused(world.enroll(&alone.alias), Reject::BadEndorsement, rule::DICE_LAYERS);
    let broken = Boot::with(&world.maker, "SN-0001", vec![0x30, 0x00]);
    refused(world.enroll(&broken.alias), Reject::BadEndorsement, rule::DICE_LAYERS);
}

/// A version and flags are what a changed layer has too: only a digest tells it apart.
#[test]
fn a_layer_that_speaks_without_a_digest_is_not_measured() {
    let (world, boot) = World::dice();
    let info = || tcb_info("1.2.0", &GOOD, Some(0), "application");
    let several = |infos: &[Vec<u8>]| {
        let infos: Vec<&[u8]> = infos.iter().map(Vec::as_slice).collect();
        extension(&[2, 23, 133, 5, 4, 5], tlv(0x30, &infos), true)
    };
    let through = |middle: CustomExtension, alias: CustomExtension| {
        let layer = boot.root.below("layer", |p| p.custom_extensions.push(middle));
        let mut device = layer.device_with("alias", P256, |p| p.custom_extensions.push(alias));
        device.chain.extend([layer.der, boot.root.der.clone()]);
        world.enroll(&device)
    };
    let one = |info| several(&[info]);
    refused(through(one(unmeasured()), one(info())), Reject::BadEndorsement, rule::DICE_LAYERS);
    let two = several(&[unmeasured(), unmeasured()]);
    refused(through(two, one(info())), Reject::BadEndorsement, rule::DICE_LAYERS);
    // One digest of several is a measurement, and below a measured layer the alias needs none.
    through(several(&[unmeasured(), info()]), one(info())).unwrap();
    through(one(info()), one(unmeasured())).unwrap();
}

/// Also where the policy does not ask for measurements.
#[test]
fn the_alias_below_the_root_is_measured_by_nobody_else() {
    let (world, _) = World::dice();
    let alias = Boot::with(&world.maker, "SN-0001", unmeasured()).alias;
    refused(world.enroll(&alias), Reject::BadEndorsement, rule::DICE_LAYERS);
    let world = world.policy("[evidence]\nkinds = [\"dice\"]\n[firmware]\nmeasurements = \"ignore\"\n");
    refused(world.enroll(&alias), Reject::BadEndorsement, rule::DICE_LAYERS);
}

/// A device may issue certificates of any name, another device's too.
#[test]
fn a_device_cannot_pass_its_own_root_off_as_a_makers_ca() {
    let (world, _) = World::dice();
    for own_name in ["SN-0002", "0"] {
        let thief = world.maker.below("thief", |p| named(p, own_name));
        let forged = thief.below("forged", |p| named(p, "SN-0001"));
        let mut alias = Boot::under(forged, |p| {
            with_tcb_info(p, tcb_info("1.2.0", &GOOD, Some(0), "application"));
        })
        .alias;
        alias.chain.push(thief.der.clone());
        assert!(world.enroll(&alias).is_err(), "{own_name}");
    }
    let nameless = world.maker.below("nameless", |_| ());
    let forged = nameless.below("forged", |p| named(p, "SN-0001"));
    let mut alias =
        Boot::under(forged, |p| with_tcb_info(p, tcb_info("1.2.0", &GOOD, Some(0), "application"))).alias;
    alias.chain.push(nameless.der);
    refused(world.enroll(&alias), Reject::BadEndorsement, rule::ENDORSEMENT);
}

#[test]
fn the_path_is_validated_link_by_link() {
    let (world, boot) = World::dice();
    let endorsement = |found| refused(found, Reject::BadEndorsement, rule::ENDORSEMENT);
    let chain = |chain: &[&Vec<u8>]| {
        let chain: Vec<Vec<u8>> = chain.iter().map(|der| (*der).clone()).collect();
        world.appraise_dice(&world.bound(&boot.alias, |_| ()), &chain)
    };
    let (alias, root) = (&boot.alias.chain[0], &boot.root.der);
    endorsement(chain(&[]));
    endorsement(chain(&[alias]));
    endorsement(chain(&[root, alias]));
    endorsement(chain(&[alias, root, root]));
    endorsement(chain(&[alias, alias, alias, alias, root]));
    endorsement(chain(&[alias, &vec![0x30; 1537]]));
    // Another root of the same name did not sign this alias.
    let twin = world.maker.below("root", |p| named(p, "SN-0001"));
    endorsement(chain(&[alias, &twin.der]));
    // A maker nobody knows.
    let stranger = Boot::new(&Maker::new("Stranger"), "SN-0001");
    refused(world.enroll(&stranger.alias), Reject::UnknownMaker, rule::ENDORSEMENT);

    let root_with = |change: &dyn Fn(&mut CertificateParams)| {
        let root = world.maker.below("root", |p| {
            named(p, "SN-0001");
            change(p);
        });
        world.enroll(
            &Boot::under(root, |p| with_tcb_info(p, tcb_info("1.2.0", &GOOD, Some(0), "application"))).alias,
        )
    };
    root_with(&|_| ()).unwrap();
    endorsement(root_with(&|p| p.not_after = date_time_ymd(2026, 11, 1)));
    endorsement(root_with(&|p| p.not_before = date_time_ymd(2026, 12, 1)));
    endorsement(root_with(&|p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature]));
    endorsement(root_with(&|p| {
        p.custom_extensions.push(extension(&[1, 3, 6, 1, 4, 1, 32473, 1], vec![5, 0], true))
    }));
    root_with(&|p| p.custom_extensions.push(extension(&[1, 3, 6, 1, 4, 1, 32473, 1], vec![5, 0], false)))
        .unwrap();
    root_with(&|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))).unwrap();

    let alias_with = |change: &dyn Fn(&mut CertificateParams)| {
        let root = world.maker.below("root", |p| named(p, "SN-0001"));
        let boot = Boot::under(root, |p| {
            with_tcb_info(p, tcb_info("1.2.0", &GOOD, Some(0), "application"));
            change(p);
        });
        world.enroll(&boot.alias)
    };
    alias_with(&|p| {
        p.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::Other(vec![2, 23, 133, 5, 4, 100, 9])]
    })
    .unwrap();
    endorsement(alias_with(&|p| p.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth]));
    endorsement(alias_with(&|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)));
    endorsement(alias_with(&|p| p.key_usages = vec![KeyUsagePurpose::KeyAgreement]));
}

#[test]
fn path_lengths_count_down_to_the_alias() {
    let (world, _) = World::dice();
    let info = || tcb_info("1.2.0", &GOOD, Some(0), "application");
    let through = |maker: &Maker, root_length: Option<u8>| {
        let root = maker.below("root", |p| {
            named(p, "SN-0001");
            if let Some(most) = root_length {
                p.is_ca = IsCa::Ca(BasicConstraints::Constrained(most));
            }
        });
        let layer = root.below("layer", |p| with_tcb_info(p, info()));
        let mut alias = layer.device_with("alias", P256, |p| with_tcb_info(p, info()));
        alias.chain.extend([layer.der, root.der]);
        alias
    };
    world.enroll(&through(&world.maker, None)).unwrap();
    world.enroll(&through(&world.maker, Some(1))).unwrap();
    refused(world.enroll(&through(&world.maker, Some(0))), Reject::BadEndorsement, rule::ENDORSEMENT);
    // The maker's own limit holds too.
    let mut world = world;
    for (most, good) in [(2, true), (1, false), (0, false)] {
        let maker = Maker::with("Maker", |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(most)));
        world.makers = Endorsements::new(vec![MakerCa::new("maker", &maker.der).unwrap()]);
        assert_eq!(world.enroll(&through(&maker, None)).is_ok(), good, "{most}");
    }
}

#[test]
fn layers_may_have_keys_of_other_kinds_and_the_alias_may_not() {
    let (world, _) = World::dice();
    let info = || tcb_info("1.2.0", &GOOD, Some(0), "application");
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let mut root = world.maker.below("root", |p| named(p, "SN-0001"));
        root.key = KeyPair::generate_for(algorithm).unwrap();
        root.der = root.params.signed_by(&root.key, &world.maker.issuer()).unwrap().der().to_vec();
        world.enroll(&Boot::under(root, |p| with_tcb_info(p, info())).alias).unwrap();
    }
    let root = world.maker.below("root", |p| named(p, "SN-0001"));
    let mut alias = root.device_with("alias", &rcgen::PKCS_ECDSA_P384_SHA384, |p| with_tcb_info(p, info()));
    alias.chain.push(root.der);
    let signed = world.bound(&Boot::new(&world.maker, "SN-0001").alias, |_| ());
    refused(world.appraise_dice(&signed, &alias.chain), Reject::BadEndorsement, rule::ENDORSEMENT);
}

#[test]
fn a_root_that_its_maker_revoked_or_that_is_not_the_registered_one_is_refused() {
    let (mut world, boot) = World::dice();
    let crl = list(1, &[&serial(&boot.root.der)]).signed_by(&world.maker.issuer()).unwrap();
    let crl =
        appraisal::MakerCrl::new(crl.der(), &[], &MakerCa::new("x", &world.maker.der).unwrap()).unwrap();
    let makers = world.makers.clone();
    world.makers = world.makers.with_crls([crl]);
    refused(world.enroll(&boot.alias), Reject::EndorsementRevoked, rule::ENDORSEMENT_REVOCATION);
    world.makers = makers;
    world.known.as_mut().unwrap().idevid_spki_sha256 = Some([7; 32]);
    refused(world.enroll(&boot.alias), Reject::IdentityConflict, rule::PINNED_KEY);
}

/// Every node of every certificate replaced: refused where it is not signed again, and no panic where it is.
#[test]
fn every_node_of_a_layered_chain_replaced_is_refused_or_harmless() {
    let (world, boot) = World::dice();
    let bound = world.bound(&boot.alias, |_| ());
    let (mut refused, mut passed) = (0, 0);
    for (link, signer) in [(0, &boot.root), (1, &world.maker)] {
        let whole = Node::read(&boot.alias.chain[link]);
        for at in 0..whole.count() {
            for replacement in replacements(whole.clone().nth(at).unwrap()) {
                let mut changed = whole.clone();
                *changed.nth(at).unwrap() = replacement;
                if changed == whole {
                    continue;
                }
                let mut chain = boot.alias.chain.clone();
                chain[link] = changed.write();
                assert!(
                    world.appraise_dice(&bound, &chain).is_err(),
                    "link {link}, node {at}, not signed again"
                );
                if at == 0 || changed.try_children().is_none_or(|parts| parts.len() != 3) {
                    continue;
                }
                signer.sign_again(&mut changed);
                chain[link] = changed.write();
                match world.appraise_dice(&bound, &chain) {
                    Ok(appraised) => {
                        assert_eq!(appraised.device(), &world.device.id);
                        passed += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(refused > 1000 && passed < 150, "{refused} refused, {passed} passed");
}

/// Nobody signs the algorithm beside a signature: a parser that lets its tag pass would take two spellings of one
/// certificate.
#[test]
fn what_stands_around_the_signed_part_has_one_form() {
    let (world, boot) = World::dice();
    let bound = world.bound(&boot.alias, |_| ());
    for link in 0..boot.alias.chain.len() {
        let signed = Node::read(&boot.alias.chain[link]).children()[0].write().len();
        let length = boot.alias.chain[link].len();
        for at in (0..4).chain(4 + signed..length) {
            for bit in 0..8 {
                let mut chain = boot.alias.chain.clone();
                chain[link][at] ^= 1 << bit;
                assert!(world.appraise_dice(&bound, &chain).is_err(), "link {link}, byte {at}, bit {bit}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_changed_byte_is_refused(link in 0_usize..3, at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let (world, boot) = World::dice();
        let mut bound = world.bound(&boot.alias, |_| ());
        let mut chain = boot.alias.chain;
        let bytes = if link == 2 { &mut bound } else { &mut chain[link] };
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(world.appraise_dice(&bound, &chain).is_err());
    }
}
