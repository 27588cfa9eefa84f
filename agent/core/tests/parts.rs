//! Parts of the core on their own: evidence, tokens, trust bundles, identity records.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed assumption fails the test")]

mod support;

use agent_core::evidence::{Firmware, IdevidAttester, IdevidError, TokenAttester, TokenError};
use agent_core::platform::{
    AttestError, Attester as _, Record, SigningKey as _, Slot, Storage as _, StorageError,
};
use agent_core::slots::{Identity, IdentityError};
use agent_core::trust::{Offer, TrustAnchors, TrustError};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};
use shared::cose::{Content, Sign1};
use shared::evidence::{Claims, DebugStatus, Measurement, key_thumbprint};
use shared::limits::{MAX_ANSWER, MAX_EVIDENCE};
use shared::message::latest::BrokerSettings;
use shared::{DeviceId, UnixTime};
use support::pki::{Ca, bundle, key, spki};
use support::storage::MemoryStorage;
use support::world::World;

const FROM: UnixTime = UnixTime::from_secs(1_700_000_000);
const TO: UnixTime = UnixTime::from_secs(1_900_000_000);

fn firmware(measurements: usize) -> Firmware<'static> {
    let long = "abcdefghijklmnopqrstuvwxyz0123456789-abcdefghijklmnopqrstuvwxyz.";
    Firmware {
        oemid: 32473,
        hwmodel: "TH-100",
        hwversion: "B",
        swname: long,
        swversion: "1.2.0",
        debug: DebugStatus::DisabledPermanently,
        measurements: (0..measurements)
            .map(|_| Measurement { component: long, version: long, digest: [9; 32] })
            .collect(),
    }
}

#[test]
fn evidence_says_what_it_should_and_is_signed_by_the_idevid() {
    let maker = Ca::new("Maker");
    let chain = maker.issue("SN-7", &key(1).public_point(), 3, FROM, TO);
    for measurements in 0..=4 {
        let mut attester = IdevidAttester::new(key(1), &[&chain], firmware(measurements)).unwrap();
        assert_eq!(attester.device_id().as_str(), "SN-7");
        assert_eq!(attester.endorsements().as_slice(), [chain.as_slice()]);
        let csr_key = key(2).public_point();
        let mut out = [0; 4096];
        let length = attester.attest(&[5; 32], &csr_key, &mut out).unwrap();
        let sign1 = Sign1::decode(&out[..length], Content::Eat, MAX_EVIDENCE).unwrap();
        let mut hash = Sha256::new();
        sign1.signed_bytes(|part| hash.update(part));
        let verifier = VerifyingKey::from_sec1_bytes(&key(1).public_point()).unwrap();
        let signature = Signature::from_slice(sign1.signature()).unwrap();
        verifier.verify_prehash(&hash.finalize(), &signature).unwrap();
        let claims = Claims::decode(sign1.unverified_payload()).unwrap();
        assert_eq!(claims.nonce, [5; 32]);
        assert_eq!(claims.confirmation, key_thumbprint(&csr_key));
        assert_eq!(claims.ueid[0], 1);
        assert_eq!(claims.ueid[1..], Sha256::digest(spki(&key(1).public_point()))[..]);
        assert_eq!((claims.oemid, claims.hwmodel, claims.swversion), (32473, "TH-100", "1.2.0"));
        assert_eq!(claims.measurements.len(), measurements);
        // A shorter buffer is refused, never overrun, and twice the evidence is always enough.
        let mut shorter = [0; 4096];
        let enough = (length..4096)
            .step_by(16)
            .find(|room| attester.attest(&[5; 32], &csr_key, &mut shorter[..*room]).is_ok());
        assert!(enough.is_some_and(|room| room <= 2 * MAX_EVIDENCE));
    }
}

#[test]
fn evidence_that_cannot_be_made_is_refused() {
    let maker = Ca::new("Maker");
    let chain = maker.issue("SN-7", &key(1).public_point(), 3, FROM, TO);
    let result = IdevidAttester::new(key(2), &[&chain], firmware(1));
    assert_eq!(result.unwrap_err(), IdevidError::OtherKey);
    assert_eq!(IdevidAttester::new(key(1), &[], firmware(1)).unwrap_err(), IdevidError::ChainLength);
    let result = IdevidAttester::new(key(1), &[&chain[..]; 5], firmware(1));
    assert_eq!(result.unwrap_err(), IdevidError::ChainLength);
    let result = IdevidAttester::new(key(1), &[&chain[1..]], firmware(1));
    assert!(matches!(result, Err(IdevidError::Certificate(_))));
    let spaced = maker.issue("SN 7", &key(1).public_point(), 3, FROM, TO);
    let result = IdevidAttester::new(key(1), &[&spaced], firmware(1));
    assert!(matches!(result, Err(IdevidError::Device(_))));
    let mut attester = IdevidAttester::new(key(1), &[&chain], firmware(1)).unwrap();
    let point = key(2).public_point();
    for room in [0, 1, 100, 200] {
        let result = attester.attest(&[5; 32], &point, &mut [0; 4096][..room]);
        assert_eq!(result, Err(AttestError::TooLong));
    }
}

#[test]
fn a_token_is_handed_over_as_it_is_and_never_shown() {
    let device = DeviceId::new("SN-7").unwrap();
    for wrong in ["", "with space", "umlaut-ä", &"x".repeat(65)] {
        assert_eq!(TokenAttester::new(device.clone(), wrong).unwrap_err(), TokenError::Form);
    }
    let mut attester = TokenAttester::new(device, "s3cret-t0ken").unwrap();
    assert!(!format!("{attester:?}").contains("s3cret"));
    let point = key(2).public_point();
    let mut out = [0; 64];
    let length = attester.attest(&[5; 32], &point, &mut out).unwrap();
    assert_eq!(&out[..length], b"s3cret-t0ken");
    assert!(attester.endorsements().is_empty());
}

struct Trust {
    world: World,
    storage: MemoryStorage,
    anchors: TrustAnchors,
}

impl Trust {
    fn new() -> Self {
        Self { world: World::new(), storage: MemoryStorage::default(), anchors: TrustAnchors::none() }
    }

    fn load(&mut self, provisioned: &[u8]) -> Result<(), TrustError> {
        let mut buffer = [0; MAX_ANSWER];
        self.world.drive(self.anchors.load(&mut self.storage, provisioned, &mut buffer)).unwrap().unwrap()
    }

    fn take(&mut self, offered: &[u8]) -> Result<(), StorageError> {
        let Ok(Offer::Newer(offer)) = self.anchors.verify(offered) else { panic!("not newer") };
        let mut buffer = [0; MAX_ANSWER];
        self.world.drive(self.anchors.take(offer, &mut self.storage, &mut buffer)).unwrap()
    }

    fn number(&self) -> u64 {
        self.anchors.bundle().unwrap().number
    }
}

#[test]
fn the_higher_of_stored_and_provisioned_bundle_counts() {
    let mut trust = Trust::new();
    let signed = |number| bundle(number, &[b"anchor"], &key(8), &key(8));
    assert_eq!(trust.load(b""), Err(TrustError::Missing));
    trust.load(&signed(3)).unwrap();
    assert_eq!(trust.number(), 3);
    trust.take(&signed(4)).unwrap();
    for (provisioned, number) in [(signed(3), 4), (Vec::new(), 4), (b"junk".to_vec(), 4), (signed(9), 9)] {
        trust.load(&provisioned).unwrap();
        assert_eq!(trust.number(), number);
    }
    // A stored bundle that is damaged counts for nothing.
    trust.storage.damage(Record::Trust);
    trust.load(&signed(2)).unwrap();
    assert_eq!(trust.number(), 2);
}

#[test]
fn each_bundle_names_the_signer_of_the_next() {
    let mut trust = Trust::new();
    trust.load(&bundle(1, &[b"anchor"], &key(8), &key(8))).unwrap();
    let rolled = bundle(2, &[b"anchor"], &key(8), &key(9));
    assert!(matches!(trust.anchors.verify(&bundle(1, &[b"anchor"], &key(8), &key(8))), Ok(Offer::Same)));
    trust.take(&rolled).unwrap();
    assert!(matches!(trust.anchors.verify(&rolled), Ok(Offer::Same)));
    for (offered, expected) in [
        (bundle(3, &[b"anchor"], &key(8), &key(8)), TrustError::Signature),
        (bundle(2, &[b"other"], &key(9), &key(9)), TrustError::NotNewer { held: 2, offered: 2 }),
        (bundle(1, &[b"anchor"], &key(9), &key(9)), TrustError::NotNewer { held: 2, offered: 1 }),
    ] {
        assert_eq!(trust.anchors.verify(&offered).unwrap_err(), expected);
    }
    let next = bundle(3, &[b"anchor"], &key(9), &key(9));
    for bit in 0..next.len() * 8 {
        let mut forged = next.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(trust.anchors.verify(&forged).is_err(), "bit {bit}");
    }
    assert!(matches!(trust.anchors.verify(&next), Ok(Offer::Newer(offer)) if offer.number() == 3));
}

#[test]
fn a_provisioned_bundle_has_to_be_whole() {
    let signed = bundle(1, &[b"anchor"], &key(8), &key(8));
    for byte in 0..signed.len() {
        let mut broken = signed.clone();
        broken[byte] ^= 1;
        assert!(Trust::new().load(&broken).is_err(), "byte {byte}");
    }
    let by_another = bundle(1, &[b"anchor"], &key(8), &key(9));
    assert_eq!(Trust::new().load(&by_another), Err(TrustError::Signature));
}

#[test]
fn a_full_storage_leaves_the_bundle_before_in_force() {
    let mut trust = Trust::new();
    trust.load(&bundle(1, &[b"anchor"], &key(8), &key(8))).unwrap();
    trust.storage.0.borrow_mut().failing = Some(StorageError::Full);
    assert_eq!(trust.take(&bundle(2, &[b"anchor"], &key(8), &key(8))), Err(StorageError::Full));
    assert_eq!(trust.number(), 1);
}

#[test]
fn an_identity_record_is_read_back_for_its_slot_key_and_device_only() {
    let ca = Ca::new("CA");
    let leaf = ca.issue("SN-7", &key(1).public_point(), 3, FROM, TO);
    let topic = "t".repeat(128);
    let identity = Identity {
        chain: [leaf.as_slice(), ca.der.as_slice()].into_iter().collect(),
        renew_at: UnixTime::from_secs(1_800_000_000),
        order: 7,
        broker: BrokerSettings {
            host: &"h".repeat(253),
            port: 8883,
            telemetry_topic: &topic,
            status_topic: &topic,
            command_topic: &topic,
            keep_alive: 60,
        },
    };
    let mut out = [0; MAX_ANSWER];
    let length = identity.write(Slot::A, &mut out).unwrap();
    let record = &out[..length];
    assert_eq!(Identity::read(Slot::A, record).as_ref(), Ok(&identity));
    assert_eq!(Identity::read(Slot::B, record), Err(IdentityError::Damaged));
    let device = DeviceId::new("SN-7").unwrap();
    let dates = identity.check(&key(1).public_point(), &device).unwrap();
    assert_eq!((dates.not_after, dates.order), (TO, 7));
    assert_eq!(identity.check(&key(2).public_point(), &device), Err(IdentityError::OtherKey));
    let other = DeviceId::new("SN-8").unwrap();
    assert_eq!(identity.check(&key(1).public_point(), &other), Err(IdentityError::OtherDevice));
    for room in [0, 100, 1000, length] {
        assert_eq!(identity.write(Slot::A, &mut vec![0; room]), Err(StorageError::TooLong));
    }
}

#[test]
fn the_storage_of_the_tests_keeps_its_contract() {
    let world = World::new();
    let mut storage = MemoryStorage::default();
    world.drive(storage.store(Record::Trust, b"abc")).unwrap().unwrap();
    let mut buffer = [0; 8];
    assert_eq!(world.drive(storage.load(Record::Trust, &mut buffer)).unwrap(), Ok(Some(3)));
    assert_eq!(
        world.drive(storage.load(Record::Trust, &mut buffer[..2])).unwrap(),
        Err(StorageError::TooLong)
    );
    world.drive(storage.erase(Record::Trust)).unwrap().unwrap();
    assert_eq!(world.drive(storage.load(Record::Trust, &mut buffer)).unwrap(), Ok(None));
}
