//! The records of a device, whatever it keeps them in: state, identities, trust bundle. The checksums are put right, so that
//! what is changed is read to the end.

use std::sync::LazyLock;

use agent_core::keystore::SoftKey;
use agent_core::platform::{KeyError, KeyStore, Record, Slot, Storage, StorageError};
use agent_core::slots::{self, Asked, Identity, Inspection, State, identity_record};
use agent_core::trust::TrustAnchors;
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha256};
use shared::message::latest::{Answer, Outcome};
use shared::{DeviceId, UnixTime};
use x509_cert::der::Decode as _;

use super::boards::now;
use super::pieces::{join, split};
use crate::exchange;

/// The bodies of state, both identities and trust bundle, a piece each; an empty piece is no record. The keys are those of the
/// recorded exchange.
pub(super) fn device_records(data: &[u8]) -> bool {
    let mut storage = Memory::default();
    for (record, body) in RECORDS.into_iter().zip(split(data)) {
        if !body.is_empty() {
            storage.0[record as usize] = Some(seal(record, body));
        }
    }
    let identities = [Slot::A, Slot::B].map(|slot| identity(&storage, slot));
    let found = look(&mut storage.clone());
    for (slot, dates) in [Slot::A, Slot::B].into_iter().zip(&found.dates) {
        assert!(dates.is_none() || names_the_device(&storage, slot), "{slot:?} is another's");
    }
    if let Some(current) = found.state.current() {
        assert!(found.dates[current.slot as usize].is_some(), "the identity in use is not whole");
        assert_ne!(found.state.next().map(|next| next.slot), Some(current.slot), "one slot twice");
    }
    // Decided once, it stays decided.
    let (stored, _) =
        now(slots::boot(&mut Keys, &mut storage, &device(), FLOOR, &mut room())).expect("memory");
    let again = look(&mut storage);
    assert_eq!(again.state, *stored.state());
    assert!(again.is_stored(), "{again:?}");
    let mut trust = TrustAnchors::none();
    let trusted = now(trust.load(&mut storage, &[], &mut room())).expect("memory").is_ok();
    assert_eq!(trust.bundle().is_ok(), trusted, "what is held is no bundle");
    identities.contains(&true) || trusted
}

/// Whether there is an identity; what was read and written again reads the same, and is of no use in the other slot.
fn identity(storage: &Memory, slot: Slot) -> bool {
    let Some(bytes) = &storage.0[identity_record(slot) as usize] else { return false };
    let Ok(read) = Identity::read(slot, bytes) else { return false };
    let mut again = vec![0; bytes.len() + 1024];
    let length = read.write(slot, &mut again).expect("not longer than before");
    assert_eq!(Identity::read(slot, &again[..length]), Ok(read));
    assert!(Identity::read(slot.other(), bytes).is_err(), "taken in another record's place");
    true
}

/// Another decoder finds the device in the leaf, where it reads it at all.
fn names_the_device(storage: &Memory, slot: Slot) -> bool {
    let bytes = storage.0[identity_record(slot) as usize].as_ref().expect("a record");
    let read = Identity::read(slot, bytes).expect("an identity");
    let name = format!("CN={}", device().as_str());
    x509_cert::Certificate::from_der(read.chain[0])
        .map_or(true, |leaf| leaf.tbs_certificate.subject.to_string().contains(&name))
}

fn look(storage: &mut Memory) -> Inspection {
    now(slots::inspect(&mut Keys, storage, &device(), FLOOR, &mut room())).expect("memory does not fail")
}

const RECORDS: [Record; 4] = [Record::State, Record::IdentityA, Record::IdentityB, Record::Trust];
const FLOOR: UnixTime = UnixTime::from_secs(1_700_000_000);

/// The keys of the recorded exchange, wherever it is that a device keeps keys.
struct Keys;

static KEYS: LazyLock<[SoftKey; 2]> = LazyLock::new(|| {
    ["ldevid_key", "renewed_key"].map(|name| {
        let key = p256::ecdsa::SigningKey::from_slice(&exchange::bytes(name)).expect("a key");
        SoftKey::from(key)
    })
});

impl KeyStore for Keys {
    type Key = SoftKey;

    async fn generate(
        &mut self,
        _: Slot,
        _: &mut impl Storage,
        _: &mut impl CryptoRngCore,
    ) -> Result<SoftKey, KeyError> {
        Err(KeyError::Random)
    }

    async fn open(&mut self, slot: Slot, _: &mut impl Storage) -> Result<Option<SoftKey>, KeyError> {
        Ok(Some(KEYS[slot as usize].clone()))
    }

    async fn erase(&mut self, _: Slot, _: &mut impl Storage) -> Result<(), KeyError> {
        Ok(())
    }
}

fn device() -> DeviceId {
    DeviceId::new(exchange::text("device")).expect("the device of the exchange")
}

fn room() -> Vec<u8> {
    vec![0; Record::MAX]
}

/// Version, body, and 8 bytes of SHA-256 over version, number of the record and body.
fn seal(record: Record, body: &[u8]) -> Vec<u8> {
    let checksum = Sha256::new().chain_update([1, record.number()]).chain_update(body).finalize();
    [&[1], body, &checksum[..8]].concat()
}

#[derive(Clone, Debug, Default)]
struct Memory([Option<Vec<u8>>; 6]);

impl Storage for Memory {
    async fn load(&mut self, record: Record, buffer: &mut [u8]) -> Result<Option<usize>, StorageError> {
        let Some(content) = &self.0[record as usize] else { return Ok(None) };
        buffer.get_mut(..content.len()).ok_or(StorageError::TooLong)?.copy_from_slice(content);
        Ok(Some(content.len()))
    }

    async fn store(&mut self, record: Record, content: &[u8]) -> Result<(), StorageError> {
        self.0[record as usize] = Some(content.to_vec());
        Ok(())
    }

    async fn erase(&mut self, record: Record) -> Result<(), StorageError> {
        self.0[record as usize] = None;
        Ok(())
    }
}

/// Seeds of this target: one identity in use, and a second one on trial.
pub(super) fn seeds(target: &str) -> Option<Vec<(String, Vec<u8>)>> {
    if target != "device_records" {
        return None;
    }
    let identity = |slot, name: &str, order| {
        let answer = exchange::bytes(name);
        let Ok(Answer { outcome: Outcome::Issued(issued), .. }) = Answer::decode(&answer) else {
            panic!("exchange.json: no identity was issued")
        };
        let identity =
            Identity { chain: issued.chain, renew_at: issued.renew_from, order, broker: issued.broker };
        let mut out = vec![0; Record::MAX];
        let length = identity.write(slot, &mut out).expect("room");
        body(&out[..length])
    };
    let (a, b) = (identity(Slot::A, "enroll_answer", 2), identity(Slot::B, "renew_answer", 5));
    let mut state = State::blank(FLOOR);
    state.request(Asked::bare_renewal());
    let asked = stored(&state);
    state.issued();
    let in_use = stored(&state);
    state.request(Asked::bare_renewal());
    state.refused(60, false, FLOOR);
    let renewing = stored(&state);
    state.issued();
    let trial = stored(&state);
    let trust = [&[0xe3, 0x04][..], &exchange::bytes("trust_bundle")].concat();
    Some(vec![
        ("asked".into(), join(&[&asked])),
        ("in-use".into(), join(&[&in_use, &a])),
        ("renewing".into(), join(&[&renewing, &a, &[], &trust])),
        ("on-trial".into(), join(&[&trial, &a, &b])),
        ("without-state".into(), join(&[&[], &a, &b])),
    ])
}

/// The state as a device stores it, without version and checksum.
fn stored(state: &State) -> Vec<u8> {
    let mut storage = Memory::default();
    now(slots::save(&mut storage, state.clone(), 0)).expect("memory");
    body(storage.0[Record::State as usize].as_ref().expect("it was stored"))
}

fn body(record: &[u8]) -> Vec<u8> {
    record[1..record.len() - 8].to_vec()
}
