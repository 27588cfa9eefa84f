//! Enrollments with a PSA token (RFC 9783): both sources of the key, every fault by its rule.

use appraisal::psa::{AttestationKey, RegisteredKey, claimed_instance};
use appraisal::record::rule;
use appraisal::{
    Appraised, CheckedCsr, Endorsements, KnownDevice, Lifecycle, MakerCa, Presented, Proof, PsaToken,
    Refusal, Verdict,
};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use minicbor::encode::write::Cursor;
use minicbor::{Encoder, data::Tag};
use rcgen::{DnType, KeyUsagePurpose, PublicKeyData as _};
use shared::evidence::key_thumbprint;
use shared::message::latest::EvidenceKind;
use shared::{DeviceId, Reject};

use crate::hardware_module::{TYPE, alt_names, module};
use crate::support::{Device, GOOD, Maker, NONCE, NOW, World, registered};

const INSTANCE: [u8; 32] = [0x77; 32];
const IMPLEMENTATION: [u8; 32] = [0x55; 32];

/// What a token says.
#[derive(Clone)]
struct Claims {
    challenge: Vec<u8>,
    instance: [u8; 32],
    lifecycle: u16,
    /// Type, version, digest.
    components: Vec<(&'static str, &'static str, [u8; 32])>,
}

impl Claims {
    fn new(csr: &CheckedCsr) -> Self {
        Self {
            challenge: [NONCE, key_thumbprint(csr.point())].concat(),
            instance: INSTANCE,
            lifecycle: 0x3000,
            components: vec![("BL", "1.0.0", [1; 32]), ("PRoT", "2.1.0", [2; 32]), ("App", "1.2.0", GOOD)],
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut buffer = [0; 1024];
        let mut e = Encoder::new(Cursor::new(buffer.as_mut_slice()));
        e.map(8).unwrap().u32(10).unwrap().bytes(&self.challenge).unwrap();
        e.u32(256).unwrap().bytes(&[&[1], self.instance.as_slice()].concat()).unwrap();
        e.u32(265).unwrap().str("tag:psacertified.org,2023:psa#tfm").unwrap();
        e.u32(268).unwrap().bytes(&[8; 16]).unwrap();
        e.u32(2394).unwrap().i32(-1).unwrap();
        e.u32(2395).unwrap().u16(self.lifecycle).unwrap();
        e.u32(2396).unwrap().bytes(&IMPLEMENTATION).unwrap();
        e.u32(2399).unwrap().array(self.components.len() as u64).unwrap();
        for (kind, version, digest) in &self.components {
            e.map(4).unwrap().u8(1).unwrap().str(kind).unwrap().u8(2).unwrap().bytes(digest).unwrap();
            e.u8(4).unwrap().str(version).unwrap().u8(5).unwrap().bytes(&[9; 32]).unwrap();
        }
        let length = e.writer().position();
        buffer[..length].to_vec()
    }
}

/// Signs `payload` as COSE_Sign1; `sign` gets the Sig_structure.
fn sign1(
    algorithm: &[u8],
    payload: &[u8],
    x5chain: Option<&[u8]>,
    sign: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let mut e = Encoder::new(Cursor::new(buffer.as_mut_slice()));
    e.array(4).unwrap().str("Signature1").unwrap().bytes(algorithm).unwrap();
    e.bytes(&[]).unwrap().bytes(payload).unwrap();
    let length = e.writer().position();
    let signature = sign(&buffer[..length]);
    let mut e = Encoder::new(Cursor::new(buffer.as_mut_slice()));
    e.tag(Tag::new(18)).unwrap().array(4).unwrap().bytes(algorithm).unwrap();
    match x5chain {
        Some(der) => e.map(1).unwrap().u8(33).unwrap().bytes(der).unwrap(),
        None => e.map(0).unwrap(),
    };
    e.bytes(payload).unwrap().bytes(&signature).unwrap();
    let length = e.writer().position();
    buffer[..length].to_vec()
}

const ES256: &[u8] = &[0xa1, 0x01, 0x26];
const ES384: &[u8] = &[0xa1, 0x01, 0x38, 0x22];

fn es256(key: &Device, payload: &[u8]) -> Vec<u8> {
    sign1(ES256, payload, None, |signed| key.sign_fixed(signed))
}

/// A world whose policy takes PSA tokens and knows their components.
fn world() -> World {
    let policy = "[evidence]\nkinds = [\"psa-token\"]\n".to_owned()
        + &[("BL", "1.0.0", "01"), ("PRoT", "2.1.0", "02"), ("App", "1.2.0", "aa"), ("App", "1.1.0", "bb")]
            .map(|(component, version, byte)| {
                let digest = byte.repeat(32);
                format!("[[measurement]]\ncomponent = \"{component}\"\nversion = \"{version}\"\ndigest = \"{digest}\"\n")
            })
            .concat();
    World::new().policy(&policy)
}

fn registration(world: &World) -> RegisteredKey {
    RegisteredKey {
        instance: INSTANCE,
        device: world.device.id.clone(),
        key: AttestationKey::from_spki_der(&world.device.key.subject_public_key_info()).unwrap(),
        maker: None,
        model: Some("sensor-a".into()),
    }
}

fn appraise(
    world: &World,
    token: &[u8],
    chain: &[Vec<u8>],
    registered: Option<RegisteredKey>,
) -> Result<Appraised, Refusal> {
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let proof = Proof::PsaToken(PsaToken { token, endorsements: &chain, nonce: &NONCE, registered });
    let presented = Presented { device: &world.device.id, csr: &world.csr, proof: &proof };
    appraisal::appraise(&presented, &world.basis(), world.known.as_ref(), NOW)
}

/// By a registered key, with changed claims.
fn by_registration(world: &World, change: impl FnOnce(&mut Claims)) -> Result<Appraised, Refusal> {
    let mut claims = Claims::new(&world.csr);
    change(&mut claims);
    appraise(world, &es256(&world.device, &claims.encode()), &[], Some(registration(world)))
}

fn assert_refused(result: Result<Appraised, Refusal>, reject: Reject, rule: &str) {
    let refusal = result.unwrap_err();
    assert_eq!((refusal.reject, refusal.rule), (reject, rule), "{refusal}");
    assert_eq!(refusal.rules.last().map(|r| (r.rule, r.verdict)), Some((refusal.rule, Verdict::Refused)));
}

#[test]
fn a_registered_key_gets_in_with_all_that_the_token_says() {
    let world = world();
    let appraised = by_registration(&world, |_| ()).unwrap();
    assert_eq!(appraised.kind(), Some(EvidenceKind::PsaToken));
    assert_eq!(appraised.model(), Some("sensor-a"));
    assert_eq!(appraised.idevid_spki_sha256(), Some(&INSTANCE));
    assert_eq!(appraised.maker(), None);
    let claims = appraised.claims().unwrap();
    assert_eq!(claims.software_name.as_deref(), Some("App"));
    assert_eq!(claims.software_version.as_deref(), Some("1.2.0"));
    assert_eq!(claims.lifecycle, Some(Lifecycle::Secured));
    assert_eq!(claims.implementation_id, Some(IMPLEMENTATION));
    assert_eq!(claims.boot_seed, Some(vec![8; 16]));
    assert_eq!(claims.measurements.len(), 3);
    assert_eq!(claims.measurements[0].signer, Some(vec![9; 32]));
    let rules: Vec<_> = appraised.rules().iter().map(|r| r.rule).collect();
    for wanted in [rule::EVIDENCE_FORM, rule::ENDORSEMENT, rule::EVIDENCE_SIGNATURE, rule::LIFECYCLE] {
        assert!(rules.contains(&wanted), "{wanted} is not in {rules:?}");
    }
}

#[test]
fn each_fault_of_a_token_is_refused_by_its_rule() {
    let world = world();
    let refused = |reject, rule, change: &dyn Fn(&mut Claims)| {
        assert_refused(by_registration(&world, change), reject, rule);
    };
    refused(Reject::EvidenceNonce, rule::EVIDENCE_NONCE, &|c| c.challenge[31] ^= 1);
    refused(Reject::EvidenceNonce, rule::EVIDENCE_NONCE, &|c| c.challenge.truncate(32));
    refused(Reject::EvidenceKey, rule::EVIDENCE_KEY, &|c| c.challenge[32] ^= 1);
    refused(Reject::BadEvidence, rule::EVIDENCE_FORM, &|c| c.challenge.truncate(33));
    refused(Reject::UnknownMaker, rule::ENDORSEMENT, &|c| c.instance[0] ^= 1);
    refused(Reject::FirmwareUnknown, rule::MEASUREMENTS, &|c| c.components[0].2[0] ^= 1);
    refused(Reject::FirmwareUnknown, rule::MEASUREMENTS, &|c| c.components[2].1 = "1.2.1");
    for lifecycle in [0x0000, 0x1000, 0x2000, 0x4000, 0x5000, 0x6000, 0x7000] {
        refused(Reject::DebugOpen, rule::DEBUG, &move |c| c.lifecycle = lifecycle);
    }
}

/// A policy that lets the debug port be open still says which states of the lifecycle it allows.
#[test]
fn the_policy_names_the_states_of_the_lifecycle() {
    let text =
        "[evidence]\nkinds = [\"psa-token\"]\n[firmware]\nmeasurements = \"ignore\"\ndebug = \"enabled\"\n";
    let strict = World::new().policy(text);
    let debug = |c: &mut Claims| c.lifecycle = 0x4001;
    assert_refused(by_registration(&strict, debug), Reject::DebugOpen, rule::LIFECYCLE);
    let lax = World::new().policy(&format!("{text}lifecycle = [\"secured\", \"non-rot-debug\"]\n"));
    by_registration(&lax, debug).unwrap();
}

#[test]
fn an_old_application_is_refused_whatever_else_is_new() {
    let mut world = world();
    let known = world.policy.reference_values().clone();
    world = world.policy(
        "[evidence]\nkinds = [\"psa-token\"]\n[[model]]\nname = \"sensor-a\"\nminimum_firmware = \"1.2.0\"\n",
    );
    world.reference_values = known;
    by_registration(&world, |_| ()).unwrap();
    let old = by_registration(&world, |c| c.components[2] = ("App", "1.1.0", [0xbb; 32]));
    assert_refused(old, Reject::FirmwareTooOld, rule::FIRMWARE_VERSION);
    // Without an application that says its version, the lowest of all reference values that fit counts.
    let without = by_registration(&world, |c| c.components.truncate(2));
    assert_refused(without, Reject::FirmwareTooOld, rule::FIRMWARE_VERSION);
}

#[test]
fn another_devices_token_and_a_broken_signature_are_refused() {
    let world = world();
    let claims = Claims::new(&world.csr).encode();
    let other = RegisteredKey { device: DeviceId::new("SN-0002").unwrap(), ..registration(&world) };
    let token = es256(&world.device, &claims);
    assert_refused(appraise(&world, &token, &[], Some(other)), Reject::EvidenceDevice, rule::EVIDENCE_DEVICE);

    let mut broken = token;
    *broken.last_mut().unwrap() ^= 1;
    let result = appraise(&world, &broken, &[], Some(registration(&world)));
    assert_refused(result, Reject::EvidenceSignature, rule::EVIDENCE_SIGNATURE);
    let stranger = world.maker.device("SN-0001");
    let result = appraise(&world, &es256(&stranger, &claims), &[], Some(registration(&world)));
    assert_refused(result, Reject::EvidenceSignature, rule::EVIDENCE_SIGNATURE);

    // Pinned to another instance: a second device under one name.
    let pinned =
        World { known: Some(KnownDevice { idevid_spki_sha256: Some([1; 32]), ..registered() }), ..world };
    assert_refused(by_registration(&pinned, |_| ()), Reject::IdentityConflict, rule::PINNED_KEY);
}

#[test]
fn a_token_cut_short_or_too_long_is_refused() {
    let world = world();
    let token = es256(&world.device, &Claims::new(&world.csr).encode());
    let appraise = |token: &[u8]| appraise(&world, token, &[], Some(registration(&world)));
    for length in [0, 1, token.len() / 2, token.len() - 1] {
        assert_refused(appraise(&token[..length]), Reject::BadEvidence, rule::EVIDENCE_FORM);
        assert_eq!(claimed_instance(&token[..length]), None);
    }
    let mut long = token;
    long.resize(2049, 0);
    assert_refused(appraise(&long), Reject::BadEvidence, rule::EVIDENCE_FORM);
}

/// By the chain of the attestation key's certificate, which names the device or does not.
#[test]
fn a_chain_endorses_the_key_and_the_device_has_to_be_known_by_it() {
    let world = world();
    let token = es256(&world.device, &Claims::new(&world.csr).encode());
    let appraised = appraise(&world, &token, &world.device.chain, None).unwrap();
    assert_eq!(appraised.maker().unwrap().name, "example");
    assert_eq!(appraised.idevid_spki_sha256(), Some(&INSTANCE));

    // A leaf of another device's name.
    let named = |name: &str| {
        let mut device = world.maker.device(name);
        device.id = world.device.id.clone();
        let token = es256(&device, &Claims::new(&world.csr).encode());
        appraise(&world, &token, &device.chain, None)
    };
    assert_refused(named("SN-0002"), Reject::EvidenceDevice, rule::EVIDENCE_DEVICE);

    // A leaf without a name says nothing of which device it is; the inventory may.
    let nameless = world.maker.device_with("SN-0001", &rcgen::PKCS_ECDSA_P256_SHA256, |p| {
        p.distinguished_name = rcgen::DistinguishedName::new();
        p.distinguished_name.push(DnType::CommonName, "IAK");
    });
    let token = es256(&nameless, &Claims::new(&world.csr).encode());
    let result = appraise(&world, &token, &nameless.chain, None);
    assert_refused(result, Reject::EvidenceDevice, rule::EVIDENCE_DEVICE);
    let known = Some(KnownDevice { idevid_spki_sha256: Some(INSTANCE), ..registered() });
    let pinned = World { known, ..world };
    appraise(&pinned, &token, &nameless.chain, None).unwrap();
}

/// A maker may name a device by its hardware module alone: the inventory does not say otherwise.
#[test]
fn a_leaf_that_names_its_hardware_module_is_that_devices_and_nobody_elses() {
    let known = Some(KnownDevice { idevid_spki_sha256: Some(INSTANCE), ..registered() });
    let pinned = World { known, ..world() };
    let by = |world: &World, names: &[Vec<u8>]| {
        let key = world.maker.device_with("SN-0001", &rcgen::PKCS_ECDSA_P256_SHA256, |p| {
            p.distinguished_name = rcgen::DistinguishedName::new();
            p.distinguished_name.push(DnType::CommonName, "IAK");
            alt_names(p, names, false);
        });
        let token = es256(&key, &Claims::new(&world.csr).encode());
        appraise(world, &token, &key.chain, None)
    };
    let module = |serial: &[u8]| module(TYPE, serial);
    let other = by(&pinned, &[module(b"SN-0002")]);
    assert_refused(other, Reject::EvidenceDevice, rule::EVIDENCE_DEVICE);
    // What names a device and cannot be read is no certificate without a name.
    let two = vec![module(b"SN-0001"), module(b"SN-0002")];
    for unreadable in [vec![module(b"")], two, vec![module(&[0; 25])]] {
        assert_refused(by(&pinned, &unreadable), Reject::BadEndorsement, rule::ENDORSEMENT);
    }
    by(&pinned, &[module(b"SN-0001")]).unwrap();
    by(&world(), &[module(b"SN-0001")]).unwrap();
}

#[test]
fn a_chain_of_another_maker_or_a_certificate_of_another_use_is_refused() {
    let mut world = world();
    let token = es256(&world.device, &Claims::new(&world.csr).encode());
    let result = appraise(&world, &token, &[], None);
    assert_refused(result, Reject::UnknownMaker, rule::ENDORSEMENT);
    let stranger = Maker::new("Stranger");
    let device = stranger.device("SN-0001");
    let result = appraise(&world, &es256(&device, &Claims::new(&world.csr).encode()), &device.chain, None);
    assert_refused(result, Reject::UnknownMaker, rule::ENDORSEMENT);
    for usages in [vec![KeyUsagePurpose::KeyAgreement], vec![KeyUsagePurpose::KeyCertSign]] {
        let device = world.maker.device_with("SN-0001", &rcgen::PKCS_ECDSA_P256_SHA256, |p| {
            p.key_usages = usages;
        });
        let token = es256(&device, &Claims::new(&world.csr).encode());
        let result = appraise(&world, &token, &device.chain, None);
        assert_refused(result, Reject::BadEndorsement, rule::ENDORSEMENT);
    }
    // Known to the server, and not to the policy.
    let known = vec![MakerCa::new("example", &world.maker.der).unwrap()];
    world.makers = Endorsements::new(known);
    let world = world.policy("[evidence]\nkinds = [\"psa-token\"]\n[[maker]]\nname = \"other\"\n");
    let result = appraise(&world, &token, &world.device.chain, None);
    assert_refused(result, Reject::ModelNotAllowed, rule::MAKER);
    // A registered key that no maker vouches for passes no policy that lists makers.
    assert_refused(by_registration(&world, |_| ()), Reject::ModelNotAllowed, rule::MAKER);
}

/// A registered key rules out a chain: whoever registered it knows what is in the device.
#[test]
fn a_registered_key_goes_before_a_chain() {
    let world = world();
    let device = world.maker.device("SN-0001");
    let token = es256(&device, &Claims::new(&world.csr).encode());
    appraise(&world, &token, &device.chain, None).unwrap();
    let result = appraise(&world, &token, &device.chain, Some(registration(&world)));
    assert_refused(result, Reject::EvidenceSignature, rule::EVIDENCE_SIGNATURE);
    // One that is registered for another instance says nothing.
    let other = RegisteredKey { instance: [0; 32], ..registration(&world) };
    appraise(&world, &token, &device.chain, Some(other)).unwrap();
}

#[test]
fn a_chain_may_stand_in_the_token_and_the_key_be_of_p384() {
    let world = world();
    let device = world.maker.device_with("SN-0001", &rcgen::PKCS_ECDSA_P384_SHA384, |_| ());
    let key =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, device.key.serialized_der()).unwrap();
    let sign = |signed: &[u8]| key.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec();
    let claims = Claims::new(&world.csr).encode();
    let token = sign1(ES384, &claims, Some(&device.chain[0]), sign);
    appraise(&world, &token, &[], None).unwrap();
    // The algorithm has to be the key's.
    let token = sign1(ES256, &claims, Some(&device.chain[0]), sign);
    assert_refused(appraise(&world, &token, &[], None), Reject::EvidenceSignature, rule::EVIDENCE_SIGNATURE);
}

#[test]
fn the_make_of_the_root_of_trust_stands_for_a_model() {
    let text = |name: &str, id: &str| {
        format!(
            "[evidence]\nkinds = [\"psa-token\"]\n[firmware]\nmeasurements = \"ignore\"\n\
             [[model]]\nname = \"{name}\"\nimplementation_id = \"{id}\"\n"
        )
    };
    let token = |world: &World| es256(&world.device, &Claims::new(&world.csr).encode());
    let fitting = World::new().policy(&text("sensor-b", &"55".repeat(32)));
    let appraised = appraise(&fitting, &token(&fitting), &fitting.device.chain, None).unwrap();
    assert_eq!(appraised.model(), Some("sensor-b"));
    // The key was registered for another model than the policy has for this root of trust.
    assert_refused(by_registration(&fitting, |_| ()), Reject::ModelNotAllowed, rule::MODEL);
    // The model's rule names another root of trust.
    let other = World::new().policy(&text("sensor-a", &"56".repeat(32)));
    assert_refused(by_registration(&other, |_| ()), Reject::ModelNotAllowed, rule::MODEL);
}

#[test]
fn the_default_policy_does_not_take_psa_tokens() {
    let world = World::new();
    assert_refused(by_registration(&world, |_| ()), Reject::NoAcceptedEvidenceKind, rule::EVIDENCE_KIND);
}
